// SPDX-License-Identifier: Apache-2.0
//
// `gantry state`: the store of the project state, for people: a host does what is asked for.
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <utility>

#include "host/cli/archive.hpp"
#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/paths.hpp"

namespace gantry::host {

namespace {

constexpr auto kTimeout = std::chrono::minutes(30);  // a large store is read or copied whole

[[nodiscard]] std::string text(const json& object, const char* member) {
  const json value = object.value(member, json());
  const std::string plain = value.is_string() ? value.get<std::string>() : dump_json(value);
  return shown(std::string_view(plain));
}

[[nodiscard]] std::string day_of(std::int64_t ms) {
  const std::time_t seconds = ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> out{};
  (void)std::strftime(out.data(), out.size(), "%Y-%m-%d", &parts);
  return out.data();
}

void print_info(const json& info) {
  std::printf("folder   %s\nschema   %s\nlog      %s, seq %s, kept from %s on\nholds    ", text(info, "folder").c_str(),
              text(info, "schema").c_str(), text(info, "epoch").c_str(), text(info, "seq").c_str(),
              std::to_string(info.value("floor", std::uint64_t{0}) + 1).c_str());
  const char* comma = "";
  for (const auto& [type, count] : info.value("objects", json::object()).items()) {
    std::printf("%s%s %s", std::exchange(comma, ", "), dump_json(count).c_str(), type.c_str());
  }
  std::printf("\nbytes    %s of objects, %s of the log\n", text(info, "data_bytes").c_str(),
              text(info, "log_bytes").c_str());
}

void print_backup(const json& backup) {
  std::printf("%s  seq %s, %s bytes\n", text(backup, "file").c_str(), text(backup, "seq").c_str(),
              text(backup, "bytes").c_str());
}

int print(const StateArgs& args, const json& answer) {
  if (args.as_json) {
    std::printf("%s\n", dump_json(answer).c_str());
  } else if (args.verb == "info" || args.verb == "migrate") {
    print_info(answer);
  } else if (args.verb == "check") {
    if (answer.value("sound", false)) {
      std::printf("sound, as of seq %s\n", text(answer, "seq").c_str());
    } else {
      std::printf("damaged: %s; the next change or read recovers from a backup\n", text(answer, "damage").c_str());
    }
  } else if (args.verb == "backup") {
    print_backup(answer.value("backup", json::object()));
  } else if (args.verb == "backups") {
    for (const auto& backup : answer.value("items", json::array())) print_backup(backup);
  } else if (args.verb == "restore-backup") {
    std::printf("restored %s; the log goes on as %s, seq %s\n", text(answer, "restored").c_str(),
                text(answer, "epoch").c_str(), text(answer, "seq").c_str());
  } else {
    const json sessions = answer.value("sessions", json::array());
    for (const auto& session : sessions) {
      std::printf("%s  %s  last touched %s\n", text(session, "id").c_str(), text(session, "name").c_str(),
                  day_of(session.value("touched_ms", std::int64_t{0})).c_str());
    }
    std::printf("%zu stale sessions %s\n", sessions.size(), args.dry_run ? "would be deleted" : "deleted");
  }
  return args.verb == "check" && !answer.value("sound", true) ? 1 : 0;
}

/// The method, and its params.
[[nodiscard]] std::pair<const char*, json> call_of(const StateArgs& args) {
  if (args.verb == "check") return {"state.check", json::object()};
  if (args.verb == "backup") return {"state.backup.create", json::object()};
  if (args.verb == "backups") return {"state.backup.list", json::object()};
  if (args.verb == "restore-backup") return {"state.backup.restore", {{"file", args.file}}};
  if (args.verb == "gc") return {"state.gc", {{"stale_days", args.stale_days}, {"dry_run", args.dry_run}}};
  return {"state.info", json::object()};  // a store is migrated when it is opened
}

int run_export(Client& client, const StateArgs& args) {
  const auto count = export_state(client, args.file, args.seq);
  if (!count) return complain(count.error());
  std::FILE* const where = args.file == "-" ? stderr : stdout;
  std::fprintf(where, "%llu objects in %s\n", static_cast<unsigned long long>(*count),
               shown(std::string_view(args.file)).c_str());
  return 0;
}

int run_import(Connected& host, const StateArgs& args) {
  const auto done = import_state(host.client, args.file, {args.on_conflict, args.dry_run, host.max_message_bytes});
  if (!done) return complain(done.error());
  if (args.as_json) {
    std::printf("%s\n", dump_json(*done).c_str());
    return 0;
  }
  std::printf("%s%s created, %s replaced, %s kept, %s unchanged\n", args.dry_run ? "would be: " : "",
              text(*done, "created").c_str(), text(*done, "replaced").c_str(), text(*done, "kept").c_str(),
              text(*done, "unchanged").c_str());
  return 0;
}

int run_profile(Client& client, const StateArgs& args) {
  const bool to_file = !args.file.empty() && args.file != "-";
  std::FILE* const out = to_file ? std::fopen(args.file.c_str(), "we") : stdout;
  if (out == nullptr) return complain({ErrorKind::storage_failed, "cannot write to " + args.file, {}});
  const auto answer = client.call("state.profile", {{"seconds", args.seconds}}, kTimeout);
  const json trace = answer ? answer->value("trace", json::object()) : json();
  const std::string text = answer ? dump_json(trace) + "\n" : std::string();
  bool written = std::fwrite(text.data(), 1, text.size(), out) == text.size();
  written = (to_file ? std::fclose(out) : std::fflush(out)) == 0 && written;
  if (!answer) return complain(answer.error());
  if (!written) return complain({ErrorKind::storage_failed, "cannot write the trace to " + args.file, {}});
  std::fprintf(stderr, "%zu entries%s; open them in ui.perfetto.dev or chrome://tracing\n",
               trace.value("traceEvents", json::array()).size(),
               trace.value("dropped", 0) == 0 ? "" : ", later ones were dropped");
  return 0;
}

}  // namespace

int state(const Common& common, const StateArgs& args) {
  if (args.verb == "watch")
    return events(common, {.patterns = {},
                           .since = args.since,
                           .as_json = args.as_json,
                           .scopes = {"sessions", "panes", "layouts", "settings", "turns"}});
  if (auto ok = check_utf8({args.file}); !ok) return complain(ok.error());
  auto connected = connect_or_start(connect_options(common, "gantry state"));
  if (!connected) return complain(connected.error());
  print_notes(connected->notes);
  if (args.verb == "export") return run_export(connected->client, args);
  if (args.verb == "profile") return run_profile(connected->client, args);
  if (args.verb == "import") return run_import(*connected, args);
  const auto [method, params] = call_of(args);
  const auto answer = connected->client.call(method, params, kTimeout);
  return answer ? print(args, *answer) : complain(answer.error());
}

}  // namespace gantry::host
