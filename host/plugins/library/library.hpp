// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/library/library.hpp: opens a plugin's shared library with Boost.DLL, for the life of
// the process, and checks it.
//
// The file that is opened is a copy of the user's library (library_copies.hpp): a build, or `cp`,
// may overwrite the user's file at any moment, which would end the process that runs it. Two things
// follow. Errors name the user's file. And libraries that this one searches beside itself ($ORIGIN)
// are opened from the user's folder before the copy is: the loader knows them by name then.
//
// Thread rule: any thread; blocks on the disk.
#pragma once

#include <gantry/abi.h>

#include <filesystem>
#include <gantry/result.hpp>
#include <string>

#include "host/plugins/library/manifest.hpp"

namespace gantry::host {

/// Opens the library at `file`, which is `origin` or a copy of it, and returns its entry, whatever
/// its manifest is. Errors as load_library().
[[nodiscard]] Result<const gantry_entry_t*> open_library(const std::filesystem::path& file,
                                                         const std::filesystem::path& origin);
/// The manifest that is compiled into the library.
[[nodiscard]] std::string describe(const gantry_entry_t& entry);
/// `unavailable`, with the members in which the two manifests differ.
[[nodiscard]] Result<void> check_described(const std::string& described, const json& manifest);

/// Opens the library, which stays loaded until the process ends, and returns its entry.
/// `unavailable` with the reason: no such file, no shared library, a truncated one, no plugin,
/// another ABI, or another manifest than the one beside the library.
[[nodiscard]] Result<const gantry_entry_t*> load_library(const std::filesystem::path& file,
                                                         const std::filesystem::path& origin, const Manifest& manifest);

}  // namespace gantry::host
