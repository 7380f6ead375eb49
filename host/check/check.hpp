// SPDX-License-Identifier: Apache-2.0
//
// host/check/check.hpp: `gantry plugin check`: runs the cases, each in a process of its own, one
// after the other.
//
// A case's process gets a new folder as its working folder, HOME, TMPDIR and XDG_*; the folder is
// removed afterwards. The process leads a process group, which is killed when the case is over, or
// exceeds its time limit.
//
// Thread rule: check_plugin() on a thread that may block; `told` is called there.
// Bounds: of each kind kMaxEvidence lines from a case's process are kept; the rest is read and
// dropped.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "host/check/cases.hpp"

namespace gantry::host::check {

inline constexpr std::size_t kMaxEvidence = 8;

struct CheckOptions {
  std::filesystem::path library;  ///< absolute
  std::filesystem::path program;  ///< `gantry`: it runs a case when its first argument is `plugin-check-case`
  std::vector<const Case*> only;  ///< empty: all
  std::uint64_t seed = 0;
};

struct CaseResult {
  const Case* which;
  Outcome outcome;
  Duration took{};
  std::vector<std::string> left_out{};  ///< methods that the later cases do not call
};

/// Runs the cases. `told` is called with each result at once. `unavailable`: the system gives no
/// folder or process.
[[nodiscard]] Result<std::vector<CaseResult>> check_plugin(const CheckOptions& options,
                                                           const std::function<void(const CaseResult&)>& told);

}  // namespace gantry::host::check
