// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/known_servers.hpp"

#include <algorithm>
#include <array>
#include <gantry/detail/known_servers.hpp>

namespace gantry::lsp {

namespace {

constexpr std::string_view kVersionControl = ".git .hg .jj";
constexpr std::string_view kPython = "pyproject.toml setup.py setup.cfg requirements.txt Pipfile pyrightconfig.json";
constexpr std::string_view kJvm = "settings.gradle settings.gradle.kts build.gradle build.gradle.kts pom.xml";

constexpr auto kKnown = std::to_array<KnownServer>({
    {"clangd", "clangd-19|clangd", "c cpp objective-c objective-cpp cuda-cpp",
     "compile_commands.json compile_flags.txt .clangd"},
    {"rust-analyzer", "rust-analyzer", "rust", "Cargo.toml rust-project.json"},
    {"gopls", "gopls", "go go.mod go.work gotmpl", "go.work go.mod"},
    {"pyright", "pyright-langserver --stdio", "python", kPython},
    {"basedpyright", "basedpyright-langserver --stdio", "python", kPython},
    {"pylsp", "pylsp", "python", kPython},
    {"jedi", "jedi-language-server", "python", kPython},
    {"ruff", "ruff server", "python", kPython},
    {"typescript", "typescript-language-server --stdio", "typescript typescriptreact javascript javascriptreact",
     "tsconfig.json jsconfig.json package.json"},
    {"vue", "vue-language-server --stdio", "vue", "package.json"},
    {"svelte", "svelteserver --stdio", "svelte", "package.json"},
    {"astro", "astro-ls --stdio", "astro", "package.json"},
    {"bash", "bash-language-server start", "shellscript", ""},
    {"lua", "lua-language-server", "lua", ".luarc.json .luarc.jsonc .luacheckrc .stylua.toml stylua.toml"},
    {"zls", "zls", "zig", "zls.json build.zig"},
    {"jdtls", "jdtls", "java", kJvm},
    {"kotlin", "kotlin-language-server", "kotlin", kJvm},
    {"metals", "metals", "scala", "build.sbt build.sc build.gradle pom.xml"},
    {"json", "vscode-json-language-server --stdio|vscode-json-languageserver --stdio", "json jsonc", ""},
    {"html", "vscode-html-language-server --stdio", "html", "package.json"},
    {"css", "vscode-css-language-server --stdio", "css scss less", "package.json"},
    {"yaml", "yaml-language-server --stdio", "yaml", ""},
    {"toml", "taplo lsp stdio", "toml", ""},
    {"markdown", "marksman server", "markdown", ".marksman.toml"},
    {"docker", "docker-langserver --stdio", "dockerfile", ""},
    {"cmake", "neocmakelsp --stdio|neocmakelsp stdio|cmake-language-server", "cmake", "CMakePresets.json"},
    {"csharp", "csharp-ls|omnisharp -lsp|OmniSharp -lsp", "csharp", ""},
    {"fsharp", "fsautocomplete", "fsharp", ""},
    {"ruby", "ruby-lsp|solargraph stdio", "ruby", "Gemfile"},
    {"php", "intelephense --stdio|phpactor language-server", "php", "composer.json"},
    {"haskell", "haskell-language-server-wrapper --lsp|haskell-language-server --lsp", "haskell",
     "hie.yaml stack.yaml cabal.project package.yaml"},
    {"ocaml", "ocamllsp", "ocaml", "dune-project dune-workspace"},
    {"elixir", "elixir-ls", "elixir", "mix.exs"},
    {"erlang", "erlang_ls|elp server", "erlang", "rebar.config erlang.mk"},
    {"dart", "dart language-server --protocol=lsp", "dart", "pubspec.yaml"},
    {"swift", "sourcekit-lsp", "swift", "Package.swift buildServer.json"},
    {"nix", "nixd|nil", "nix", "flake.nix"},
    {"terraform", "terraform-ls serve", "terraform", ".terraform"},
    {"latex", "texlab", "latex", ".latexmkrc"},
});

static_assert(std::ranges::equal(kKnown, detail::kKnownServers, {}, &KnownServer::name));

[[nodiscard]] std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const auto end = std::min(text.find(at), text.size());
    if (end > 0) out.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

/// Empty: none is.
template <class Found>
[[nodiscard]] std::vector<std::string> first_command(const KnownServer& server, Found&& found) {
  for (const auto& command : split(server.commands, '|')) {
    auto words = split(command, ' ');
    if (found(words.front())) return words;
  }
  return {};
}

[[nodiscard]] std::vector<std::string> command_on_path(const KnownServer& server) {
  return first_command(server, [](std::string_view program) { return find_on_path(program); });
}

}  // namespace

std::span<const KnownServer> known_servers() { return kKnown; }

const KnownServer* known_server(std::string_view name) {
  const auto* const it = std::ranges::find(kKnown, name, &KnownServer::name);
  return it == kKnown.end() ? nullptr : it;
}

bool found_on_path(const KnownServer& server) { return !command_on_path(server).empty(); }

std::vector<std::string> command_on_path(const KnownServer& server, std::string_view path) {
  return first_command(server, [path](std::string_view program) { return find_on_path(program, path); });
}

ServerConfig config_of(const KnownServer& server) {
  ServerConfig out;
  out.name = server.name;
  out.command = command_on_path(server);
  if (out.command.empty()) out.command = split(split(server.commands, '|').front(), ' ');
  out.languages = split(server.languages, ' ');
  out.root_markers = split(server.root_markers, ' ');
  for (auto& marker : split(kVersionControl, ' ')) out.root_markers.push_back(std::move(marker));
  return out;
}

bool speaks(const KnownServer& server, std::string_view language) {
  const auto languages = split(server.languages, ' ');
  return std::ranges::find(languages, language) != languages.end();
}

std::string names_for(std::string_view language) {
  std::string out;
  for (const auto& server : kKnown) {
    if (speaks(server, language)) out += (out.empty() ? "" : ", ") + std::string(server.name);
  }
  return out;
}

}  // namespace gantry::lsp
