// SPDX-License-Identifier: Apache-2.0
//
// usage.hpp: the memory and the processor time that a language server uses, with all that it has started: a server may
// be a script that starts node, which starts more.
//
// Source: proc_pid_stat(5), proc_pid_smaps_rollup(5), proc_tid_children(5). A server is started behind a guard
// (host/processes/helper_guard.hpp), which is its parent and takes its orphans; so what belongs to the server is what
// descends from the guard. Where the parent is no such guard, it is the server and what descends from it.
//
// Thread rule: any thread that may wait for the disk: smaps_rollup walks a process's page tables.
// Bounds: kMaxProcesses of a server are counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <gantry/json.hpp>
#include <optional>
#include <string_view>

namespace gantry::lsp {

struct Usage {
  static constexpr std::size_t kMaxProcesses = 1024;

  std::uint64_t rss_bytes = 0;  ///< resident sets; what processes share counts for each of them
  /// Proportional set sizes: what n processes share counts as an nth for each. Empty where the kernel does not tell
  /// them of every process: the plugin runs confined, say.
  std::optional<std::uint64_t> pss_bytes;
  double cpu_seconds = 0;     ///< user and system, those of children that have ended and were waited for included
  std::size_t processes = 0;  ///< that were counted

  /// The number that a limit is compared with.
  [[nodiscard]] std::uint64_t memory() const { return pss_bytes.value_or(rss_bytes); }
};

/// What the process `pid` of a server uses. Empty: there is no such process. `pss_above`: the proportional sizes are
/// asked for only if the resident sets, which are never smaller, come to more bytes.
[[nodiscard]] std::optional<Usage> usage_of(int pid, std::uint64_t pss_above = 0);

/// Adds `rss_bytes`, `pss_bytes`, `cpu_seconds` and `processes` to each object of the array that has a `pid`.
void add_usage(json& servers);

}  // namespace gantry::lsp
