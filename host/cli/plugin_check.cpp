// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <gantry/decimal.hpp>
#include <gantry/params.hpp>
#include <map>
#include <random>

#include "host/check/check.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/paths.hpp"

#include "host/observe/printable.hpp"

namespace gantry::host {

namespace {

using check::CaseResult;
using check::Status;

constexpr int kUsage = 2;
constexpr std::size_t kMaxShown = 400;

int refuse(const std::string& why) {
  (void)complain(Error{ErrorKind::invalid_params, why, {}});
  return kUsage;
}

int list_cases() {
  for (const auto& one : check::cases()) std::printf("%-20s %s\n", one.name, one.shows);
  return 0;
}

[[nodiscard]] double seconds(Duration took) { return std::chrono::duration<double>(took).count(); }

void print(const CaseResult& result) {
  const auto& outcome = result.outcome;
  std::printf("%-10s%-21s%6s s  %s\n", std::string(check::status_name(outcome.status)).c_str(), result.which->name,
              decimal(seconds(result.took), 2).c_str(),
              printable(outcome.note.empty() ? result.which->shows : outcome.note, kMaxShown).c_str());
  for (const auto& [what, text] :
       {std::pair{"expected", &outcome.expected}, {"happened", &outcome.happened}, {"to do", &outcome.advice}}) {
    if (!text->empty()) std::printf("            %-9s %s\n", what, printable(*text, kMaxShown).c_str());
  }
  for (const auto& method : result.left_out)
    std::printf("            left out  %s, of the cases that follow\n", printable(method, kMaxShown).c_str());
  for (const auto& line : outcome.evidence) std::printf("            | %s\n", printable(line, kMaxShown).c_str());
  (void)std::fflush(stdout);
}

[[nodiscard]] json to_json(const CaseResult& result) {
  json doc = check::to_json(result.outcome);
  doc["case"] = result.which->name;
  doc["shows"] = result.which->shows;
  doc["seconds"] = seconds(result.took);
  if (!result.left_out.empty()) doc["left_out"] = result.left_out;
  return doc;
}

/// "27 cases: 25 passed, 2 skipped, in 4.2 s"
[[nodiscard]] std::string summary(const std::map<Status, int>& counts, std::size_t cases, double took) {
  std::string out = std::to_string(cases) + (cases == 1 ? " case: " : " cases: ");
  bool first = true;
  for (const auto& [status, count] : counts) {
    out += (first ? "" : ", ") + std::to_string(count) + " " + std::string(check::status_name(status));
    first = false;
  }
  return out + ", in " + decimal(took, 1) + " s";
}

[[nodiscard]] Result<check::CheckOptions> options_of(const PluginCheckArgs& args) {
  check::CheckOptions options;
  std::error_code failed;
  options.library = std::filesystem::absolute(args.file, failed);
  if (args.file.empty() || !std::filesystem::is_regular_file(options.library, failed))
    return fail(ErrorKind::not_found, args.file.empty() ? "name the plugin's library: gantry plugin check FILE"
                                                        : "there is no file " + args.file);
  options.program = kOwnProgram;
  std::vector<std::string> names;
  for (const auto& one : check::cases()) names.emplace_back(one.name);
  std::vector<std::string> only = args.only;
  if (args.reproduce) only = {"fuzz"};
  for (const auto& name : only) {
    const auto* const one = check::find_case(name);
    if (one == nullptr) {
      const auto hint = did_you_mean(name, names, "");
      return fail(ErrorKind::not_found, "no case is named " + printable(name, 100) +
                                            (hint.empty() ? "; see gantry plugin check --list" : hint));
    }
    options.only.push_back(one);
  }
  options.seed = args.reproduce ? *args.reproduce : args.seed ? *args.seed : std::random_device()();
  return options;
}

}  // namespace

int plugin_check(const PluginCheckArgs& args) {
  if (args.list) return list_cases();
  const auto options = options_of(args);
  if (!options) return refuse(options.error().message);
  if (!args.as_json)
    std::printf("%s, seed %llu\n", options->library.c_str(), static_cast<unsigned long long>(options->seed));
  (void)std::fflush(stdout);
  const auto begun = std::chrono::steady_clock::now();
  const auto results = check::check_plugin(*options, [&](const CaseResult& result) {
    if (!args.as_json) print(result);
  });
  if (!results) return complain(results.error());
  const double took = seconds(std::chrono::steady_clock::now() - begun);
  std::map<Status, int> counts;
  bool failed = false;
  json cases = json::array();
  for (const auto& result : *results) {
    ++counts[result.outcome.status];
    failed = failed || check::is_failure(result.outcome.status);
    cases.push_back(to_json(result));
  }
  if (!args.as_json) {
    std::printf("%s\n", summary(counts, results->size(), took).c_str());
    return failed ? 1 : 0;
  }
  json tally = json::object();
  for (const auto& [status, count] : counts) tally[std::string(check::status_name(status))] = count;
  std::printf("%s\n", dump_json({{"file", options->library.string()},
                                 {"seed", options->seed},
                                 {"ok", !failed},
                                 {"seconds", took},
                                 {"counts", std::move(tally)},
                                 {"cases", std::move(cases)}})
                          .c_str());
  return failed ? 1 : 0;
}

}  // namespace gantry::host
