// SPDX-License-Identifier: Apache-2.0
//
// host/check/cases.hpp: the cases of `gantry plugin check`, in the order in which they run.
//
// A case runs on the main thread of a process of its own (case_main.hpp), and may leave threads
// behind. It judges only the property that it is named after: a plugin that does one thing wrong
// fails one case.
#pragma once

#include <gantry/abi.h>

#include <chrono>
#include <filesystem>
#include <span>
#include <string_view>

#include "host/check/case_report.hpp"
#include "host/check/values.hpp"
#include "host/plugins/library/manifest.hpp"

namespace gantry::host::check {

/// The plugin that a case examines.
struct Subject {
  std::filesystem::path library;
  std::filesystem::path folder;  ///< a folder of the case's own, empty
  std::uint64_t seed = 0;
  CaseReport& report;
  Manifest manifest{};                    ///< the compiled-in manifest; set for cases that need it
  const gantry_entry_t* entry = nullptr;  ///< set for cases that need it

  /// The plugin's start configuration; different objects get different values of `name`.
  [[nodiscard]] json config(const std::string& name = "state") const;
};

enum class Needs : std::uint8_t {
  file,    ///< no code of the plugin is executed
  loaded,  ///< the library is loaded, and describes itself
  started,
};

struct Case {
  const char* name;
  const char* shows;  ///< what the case shows, in one line, for `--list` and docs/plugin-check.md
  Needs needs;
  std::chrono::seconds bound;
  Outcome (*run)(Subject&);
};

[[nodiscard]] std::span<const Case> cases();
/// nullptr: there is none.
[[nodiscard]] const Case* find_case(std::string_view name);

// cases_file.cpp: these need no host.
Outcome check_exports(Subject& s);
Outcome check_unique_symbols(Subject& s);
Outcome check_libstdcxx(Subject& s);
Outcome check_loads(Subject& s);
Outcome check_manifest(Subject& s);
// cases_life.cpp
Outcome check_start(Subject& s);
Outcome check_bare_host(Subject& s);
Outcome check_double_create(Subject& s);
Outcome check_stop(Subject& s);
Outcome check_send_after_stop(Subject& s);
Outcome check_threads(Subject& s);
Outcome check_descriptors(Subject& s);
// cases_calls.cpp
Outcome check_answers_once(Subject& s);
Outcome check_other_threads(Subject& s);
Outcome check_cancel_before_reply(Subject& s);
Outcome check_cancel_after_reply(Subject& s);
Outcome check_deadline(Subject& s);
Outcome check_exceptions(Subject& s);
// cases_payloads.cpp
Outcome check_unknown_topic(Subject& s);
Outcome check_truncated(Subject& s);
Outcome check_oversized(Subject& s);
Outcome check_deep(Subject& s);
Outcome check_non_utf8(Subject& s);
// case_growth.cpp, case_overload.cpp, case_transcript.cpp, case_fuzz.cpp
Outcome check_growth(Subject& s);
Outcome check_overload(Subject& s);
Outcome check_transcript(Subject& s);
Outcome check_fuzz(Subject& s);

}  // namespace gantry::host::check
