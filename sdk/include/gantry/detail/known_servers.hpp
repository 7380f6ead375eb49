// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/known_servers.hpp: the language servers that need no table [lsp.servers.NAME], by name. The lsp plugin
// knows how each is started (plugins/lsp/known_servers.cpp); the host refuses a table of another name that does not say
// so.
//
// Thread rule: constants.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace gantry::detail {

inline constexpr auto kKnownServers = std::to_array<std::string_view>(
    {"clangd",     "rust-analyzer", "gopls",  "pyright", "basedpyright", "pylsp",     "jedi",    "ruff",
     "typescript", "vue",           "svelte", "astro",   "bash",         "lua",       "zls",     "jdtls",
     "kotlin",     "metals",        "json",   "html",    "css",          "yaml",      "toml",    "markdown",
     "docker",     "cmake",         "csharp", "fsharp",  "ruby",         "php",       "haskell", "ocaml",
     "elixir",     "erlang",        "dart",   "swift",   "nix",          "terraform", "latex"});

[[nodiscard]] constexpr bool is_known_server(std::string_view name) {
  return std::ranges::find(kKnownServers, name) != kKnownServers.end();
}

}  // namespace gantry::detail
