// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/library/elf.hpp: reads the dynamic section of a shared library, without executing
// any of its code.
//
// Thread rule: pure functions; they block on the disk.
#pragma once

#include <filesystem>
#include <gantry/result.hpp>
#include <string>
#include <vector>

namespace gantry::host {

struct ElfFacts {
  std::vector<std::string> exported;  ///< symbols that other libraries may bind to
  /// Those of `exported` that the loader binds once in a process, for all libraries: a second build
  /// beside the first would use the first one's.
  std::vector<std::string> unique;
  std::vector<std::string> needed;    ///< the libraries that this one needs
  std::vector<std::string> run_path;  ///< where the loader searches them, as written ($ORIGIN is the library's folder)
};

/// Checks that the loader can map the file: a shared library of this machine, all of whose segments
/// lie within the file. A page beyond the end of a truncated file has no bytes: a thread that reads
/// it is ended by a signal, the loader's first. `unavailable` with the reason, which names the
/// library as `shown`.
[[nodiscard]] Result<void> check_segments(const std::filesystem::path& library, const std::string& shown);

/// `unavailable`: the file is no shared library of this machine, is truncated, or is larger than 4
/// GiB. Errors name the file as `shown`; empty: by its path.
[[nodiscard]] Result<ElfFacts> read_elf(const std::filesystem::path& library, const std::string& shown = {});

}  // namespace gantry::host
