// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/library/elf.hpp: what a shared library says of itself in its dynamic section.
// Nothing of it is executed.
//
// Thread rule: pure functions; block for the disk.
#pragma once

#include <filesystem>
#include <gantry/result.hpp>
#include <string>
#include <vector>

namespace gantry::host {

struct ElfFacts {
  std::vector<std::string> exported;  ///< symbols that others may bind to
  /// Those of them that the loader binds once in a process, whatever asks for them: a second build beside the first one
  /// would use the first one's.
  std::vector<std::string> unique;
  std::vector<std::string> needed;    ///< the libraries that it names
  std::vector<std::string> run_path;  ///< where it has them looked for, as written ($ORIGIN is its own folder)
};

/// Whether the loader may map it: a shared library of this machine, all of whose segments lie within the file. A page
/// of one that is cut short has no bytes: whoever reads there is ended by a signal, the loader first. `unavailable`
/// with the reason, which names the library as `shown`.
[[nodiscard]] Result<void> check_segments(const std::filesystem::path& library, const std::string& shown);

/// `unavailable`: it is no shared library of this machine, or is cut short, or larger than 4 GiB. Errors name it as
/// `shown`; empty: as it is.
[[nodiscard]] Result<ElfFacts> read_elf(const std::filesystem::path& library, const std::string& shown = {});

}  // namespace gantry::host
