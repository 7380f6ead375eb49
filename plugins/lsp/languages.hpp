// SPDX-License-Identifier: Apache-2.0
//
// languages.hpp: LSP language ids by file name, as the specification lists them.
//
// Thread rule: pure function.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace gantry::lsp {

inline constexpr std::array<std::pair<std::string_view, std::string_view>, 73> kLanguages{{
    {".c", "c"},
    {".h", "cpp"},
    {".cc", "cpp"},
    {".cpp", "cpp"},
    {".cxx", "cpp"},
    {".c++", "cpp"},
    {".C", "cpp"},
    {".hh", "cpp"},
    {".hpp", "cpp"},
    {".hxx", "cpp"},
    {".h++", "cpp"},
    {".inl", "cpp"},
    {".ipp", "cpp"},
    {".tpp", "cpp"},
    {".cppm", "cpp"},
    {".ixx", "cpp"},
    {".m", "objective-c"},
    {".mm", "objective-cpp"},
    {".cu", "cuda-cpp"},
    {".cuh", "cuda-cpp"},
    {".rs", "rust"},
    {".go", "go"},
    {".py", "python"},
    {".pyi", "python"},
    {".js", "javascript"},
    {".mjs", "javascript"},
    {".cjs", "javascript"},
    {".jsx", "javascriptreact"},
    {".ts", "typescript"},
    {".mts", "typescript"},
    {".cts", "typescript"},
    {".tsx", "typescriptreact"},
    {".java", "java"},
    {".kt", "kotlin"},
    {".kts", "kotlin"},
    {".cs", "csharp"},
    {".fs", "fsharp"},
    {".rb", "ruby"},
    {".php", "php"},
    {".swift", "swift"},
    {".lua", "lua"},
    {".zig", "zig"},
    {".hs", "haskell"},
    {".ml", "ocaml"},
    {".mli", "ocaml"},
    {".ex", "elixir"},
    {".exs", "elixir"},
    {".erl", "erlang"},
    {".scala", "scala"},
    {".dart", "dart"},
    {".sh", "shellscript"},
    {".bash", "shellscript"},
    {".pl", "perl"},
    {".r", "r"},
    {".sql", "sql"},
    {".json", "json"},
    {".jsonc", "jsonc"},
    {".yaml", "yaml"},
    {".yml", "yaml"},
    {".toml", "toml"},
    {".html", "html"},
    {".css", "css"},
    {".scss", "scss"},
    {".md", "markdown"},
    {".tex", "latex"},
    {".cmake", "cmake"},
    {".less", "less"},
    {".vue", "vue"},
    {".svelte", "svelte"},
    {".astro", "astro"},
    {".nix", "nix"},
    {".tf", "terraform"},
    {".tmpl", "gotmpl"},
}};

[[nodiscard]] inline std::string_view language_of_file(std::string_view name) {
  if (name == "CMakeLists.txt") return "cmake";
  if (name == "Dockerfile") return "dockerfile";
  if (name == "Makefile") return "makefile";
  if (name == "go.mod" || name == "go.work") return name;
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos) return {};
  for (const auto& [extension, language] : kLanguages) {
    if (name.substr(dot) == extension) return language;
  }
  return {};
}

}  // namespace gantry::lsp
