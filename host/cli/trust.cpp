// SPDX-License-Identifier: Apache-2.0
//
// `gantry trust`: shows what is asked for, and says yes to exactly that.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/observe/printable.hpp"

namespace gantry::host {

namespace {

constexpr auto kTimeout = std::chrono::seconds(60);  // what is revoked is stopped first

// What a manifest or a project says is printed by one line each, without control characters.
[[nodiscard]] std::string one_line(const json& text) {
  return printable(text.is_string() ? text.get<std::string>() : dump_json(text), 400);
}

void print_list(const json& list) {
  for (const auto& [name, entry] : list.value("plugins", json::object()).items()) {
    std::printf("plugin  %s  %s\n", one_line(name).c_str(), one_line(entry.value("library", "")).c_str());
    for (const auto& grant : entry.value("grants", json::array())) std::printf("        %s\n", one_line(grant).c_str());
  }
  for (const auto& [path, entry] : list.value("folders", json::object()).items())
    std::printf("folder  %s\n        %s\n", one_line(path).c_str(), one_line(entry.value("digest", "")).c_str());
}

/// No terminal: nobody can be asked.
[[nodiscard]] Result<bool> agreed(const TrustArgs& args, const std::string& question) {
  if (args.yes) return true;
  if (::isatty(STDIN_FILENO) != 1)
    return fail(ErrorKind::invalid_params, "there is no terminal to ask on; look at the above and say --yes");
  std::printf("%s [y/N] ", question.c_str());
  (void)std::fflush(stdout);
  std::array<char, 16> line{};
  return std::fgets(line.data(), line.size(), stdin) != nullptr && (line[0] == 'y' || line[0] == 'Y');
}

[[nodiscard]] Result<void> trust_plugin(Client& client, const TrustArgs& args) {
  const auto look = client.call("trust.look", {{"plugin", args.plugin}}, kTimeout);
  if (!look) return std::unexpected(look.error());
  const auto grants = look->value("grants", json::array());
  const auto untrusted = look->value("untrusted", json::array());
  std::printf("plugin %s %s, %s\n", one_line(args.plugin).c_str(), one_line(look->value("version", "")).c_str(),
              one_line(look->value("library", "")).c_str());
  for (const auto& grant : grants) {
    const bool waits = std::find(untrusted.begin(), untrusted.end(), grant) != untrusted.end();
    std::printf("  %s%s\n", one_line(grant).c_str(), waits ? "  (new)" : "");
  }
  if (grants.empty()) std::printf("  it asks for nothing\n");
  if (look->value("decided_by", "") == "configuration") {
    std::printf("grants in [plugins.%s] of the configuration decide: trust does not apply\n",
                one_line(args.plugin).c_str());
    return {};
  }
  if (untrusted.empty()) {
    std::printf("nothing waits for trust\n");
    return {};
  }
  const auto yes = agreed(args, "Trust it with what is new?");
  if (!yes) return std::unexpected(yes.error());
  if (!*yes) return fail(ErrorKind::cancelled, "plugin " + args.plugin + " is not trusted with more than before");
  const auto done = client.call("trust.plugin", {{"name", args.plugin}, {"grants", grants}}, kTimeout);
  if (!done) return std::unexpected(done.error());
  std::printf("trusted\n");
  if (done->contains("reload")) return fail(ErrorKind::unavailable, one_line(done->at("reload")));
  return {};
}

[[nodiscard]] Result<void> trust_folder(Client& client, const TrustArgs& args, const std::string& folder) {
  const auto look = client.call("trust.look", {{"folder", folder}}, kTimeout);
  if (!look) return std::unexpected(look.error());
  const std::string file = look->value("file", "");
  std::printf("%s%s\n", one_line(folder).c_str(), file.empty() ? ": it has no .gantry.toml" : "/.gantry.toml");
  if (look->contains("errors")) {
    for (const auto& error : look->at("errors")) std::printf("  %s\n", one_line(error).c_str());
    return fail(ErrorKind::invalid_params, "it has errors, and nothing of it is in force; correct them first");
  }
  for (const auto& key : look->value("keys", json::array())) {
    std::printf("  %s = %s%s\n", one_line(key.at("key")).c_str(), printable(key.value("value", ""), 4000).c_str(),
                key.value("safe", false) ? "" : "  (needs trust)");
  }
  if (look->value("trusted", false)) {
    std::printf("it is trusted as it is\n");
    return {};
  }
  const auto yes = agreed(args, "Trust this folder? All of the above is in force then, and servers may run its code.");
  if (!yes) return std::unexpected(yes.error());
  if (!*yes) return fail(ErrorKind::cancelled, "the folder is not trusted");
  const auto done = client.call("trust.folder", {{"path", folder}, {"digest", look->at("digest")}}, kTimeout);
  if (!done) return std::unexpected(done.error());
  std::printf("trusted until its .gantry.toml changes\n");
  for (const auto& error : done->value("errors", json::array())) std::printf("  %s\n", one_line(error).c_str());
  return {};
}

[[nodiscard]] Result<void> revoke(Client& client, const TrustArgs& args, const std::string& folder) {
  const json what = args.plugin.empty() ? json{{"folder", folder}} : json{{"plugin", args.plugin}};
  if (auto done = client.call("trust.revoke", what, kTimeout); !done) return std::unexpected(done.error());
  std::printf("%s is not trusted any more\n", one_line(args.plugin.empty() ? folder : "plugin " + args.plugin).c_str());
  return {};
}

}  // namespace

int trust(const Common& common, const TrustArgs& args) {
  if (auto ok = check_utf8({args.folder, args.plugin}); !ok) return complain(ok.error());
  auto connected = connect_or_start(connect_options(common, "gantry trust"));
  if (!connected) return complain(connected.error());
  print_notes(connected->notes);
  Client& client = connected->client;
  if (args.list) {
    const auto list = client.call("trust.list", json::object(), kTimeout);
    if (!list) return complain(list.error());
    print_list(*list);
    return 0;
  }
  std::error_code failed;
  const auto absolute = std::filesystem::absolute(args.folder.empty() ? "." : args.folder, failed);
  if (failed)
    return complain(Error{
        ErrorKind::not_found,
        "the working folder cannot be found: " + failed.message() + "; name the project's folder by an absolute path",
        {}});
  const auto folder = absolute.lexically_normal().string();
  const auto done = args.revoke           ? revoke(client, args, folder)
                    : args.plugin.empty() ? trust_folder(client, args, folder)
                                          : trust_plugin(client, args);
  return done ? 0 : complain(done.error());
}

}  // namespace gantry::host
