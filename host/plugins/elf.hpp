// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/elf.hpp: what a shared library says of itself in its dynamic section. Nothing of it is executed.
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
  std::vector<std::string> needed;  ///< the libraries that it names
};

/// `unavailable`: it is no shared library of this machine, or is cut short, or larger than 4 GiB.
[[nodiscard]] Result<ElfFacts> read_elf(const std::filesystem::path& library);

}  // namespace gantry::host
