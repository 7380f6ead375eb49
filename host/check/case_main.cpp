// SPDX-License-Identifier: Apache-2.0
#include "host/check/case_main.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "host/check/cases.hpp"
#include "host/plugins/library/library.hpp"

namespace gantry::host::check {

namespace {

constexpr int kReport = 3;

[[nodiscard]] Outcome run(const Case& one, Subject& subject, const std::vector<std::string>& leave_out) {
  if (one.needs != Needs::file) {
    const auto entry = open_library(subject.library, subject.library);
    if (!entry) return Outcome::failed("it loads", entry.error().message, "see the case `loads`");
    auto manifest = parse_manifest(describe(**entry));
    if (!manifest) return Outcome::failed("it describes itself", manifest.error().message, "see the case `loads`");
    subject.entry = *entry;
    subject.manifest = std::move(*manifest);
    for (const auto& method : leave_out) subject.manifest.methods.erase(method);
  }
  return one.run(subject);
}

}  // namespace

int case_main(const char* plan) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return 1;
  const auto doc = parse_json(plan);
  const Case* const one = doc && doc->is_object() ? find_case(doc->value("case", "")) : nullptr;
  if (one == nullptr) return 1;
  // On the heap for good: a thread that the plugin has left may still use the report.
  auto* const report = new CaseReport(kReport);
  auto* const subject =
      new Subject{doc->value("library", ""), doc->value("folder", ""), doc->value("seed", std::uint64_t{0}), *report};
  report->outcome(run(*one, *subject, doc->value("leave_out", std::vector<std::string>{})));
  (void)std::fflush(nullptr);
  // What the library's statics would do now is no part of the case, nor what was left on purpose.
  std::_Exit(0);
}

}  // namespace gantry::host::check
