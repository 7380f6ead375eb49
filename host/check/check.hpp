// SPDX-License-Identifier: Apache-2.0
//
// host/check/check.hpp: `gantry plugin check`: runs the cases, each in a process of its own, one after the other.
//
// A case's process gets a new folder as its working folder, HOME, TMPDIR and XDG_*; it is removed afterwards. It leads
// a process group, which is killed when the case is over, or lasts longer than its bound.
//
// Thread rule: check_plugin() on a thread that may block; `told` is called there.
// Bounds: kMaxEvidence lines of each kind are kept of what a case's process has said; the rest is read and dropped.
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
  std::filesystem::path program;  ///< that is a case's process when its first argument is `plugin-check-case`
  std::vector<const Case*> only;  ///< empty: all
  std::uint64_t seed = 0;
};

struct CaseResult {
  const Case* which;
  Outcome outcome;
  Duration took{};
  std::vector<std::string> left_out{};  ///< methods that the cases after it do without
};

/// Each result is also told as it comes. `unavailable`: there is no folder or process to be had.
[[nodiscard]] Result<std::vector<CaseResult>> check_plugin(const CheckOptions& options,
                                                           const std::function<void(const CaseResult&)>& told);

}  // namespace gantry::host::check
