// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/library/library.hpp: opens a plugin's shared library with Boost.DLL, once and for
// ever, and checks what it is.
//
// What is opened is a copy of the library that the user has (library_copies.hpp): a build, or `cp`, may write over that
// one at any moment, which would end whatever runs it. Two things follow. Errors name the user's file. And what the
// library has looked for beside itself ($ORIGIN) is opened from where the user has it, before the copy is: the loader
// knows it by name then.
//
// Thread rule: any thread; blocks on the disk.
#pragma once

#include <gantry/abi.h>

#include <filesystem>
#include <gantry/result.hpp>
#include <string>

#include "host/plugins/library/manifest.hpp"

namespace gantry::host {

/// The entry of the library at `file`, a copy of `origin` or that itself, whatever its manifest is; as load_library()
/// otherwise.
[[nodiscard]] Result<const gantry_entry_t*> open_library(const std::filesystem::path& file,
                                                         const std::filesystem::path& origin);
/// The manifest that is compiled into it.
[[nodiscard]] std::string describe(const gantry_entry_t& entry);
/// `unavailable`, with the members that differ.
[[nodiscard]] Result<void> check_described(const std::string& described, const json& manifest);

/// The entry of the library, which stays loaded until the process ends. `unavailable` with the reason otherwise: no
/// such file, no shared library, one that is cut short, no plugin, another ABI, or another manifest than the one beside
/// it.
[[nodiscard]] Result<const gantry_entry_t*> load_library(const std::filesystem::path& file,
                                                         const std::filesystem::path& origin, const Manifest& manifest);

}  // namespace gantry::host
