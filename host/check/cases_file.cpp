// SPDX-License-Identifier: Apache-2.0
//
// What can be said of a plugin without a host.
#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

#include "host/check/cases.hpp"
#include "host/plugins/library/elf.hpp"
#include "host/plugins/library/library.hpp"

namespace gantry::host::check {

namespace {

constexpr const char* kBuildWithSdk = "build it with gantry_add_plugin, which hides every symbol but gantry_entry";

[[nodiscard]] std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 3;
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) out += (i == 0 ? "" : ", ") + names[i];
  return names.size() > kShown ? out + " and " + std::to_string(names.size() - kShown) + " more" : out;
}

[[nodiscard]] Outcome unreadable(const Error& error) {
  return Outcome::failed("a shared library of this machine", error.message, "name the file that the build has made");
}

[[nodiscard]] std::string all_of(const std::filesystem::path& file) {
  std::error_code failed;
  std::string out(std::filesystem::file_size(file, failed), '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(out.data(), static_cast<std::streamsize>(out.size()));
  return out;
}

/// What a C++ library that is linked statically cannot be without: the words with which it ends a process.
constexpr std::array<std::pair<const char*, const char*>, 2> kRuntimes{
    std::pair{"libstdc++.so", "terminate called after throwing an instance of"},
    std::pair{"libc++", "libc++abi: terminating"}};

}  // namespace

Outcome check_exports(Subject& s) {
  const auto elf = read_elf(s.library);
  if (!elf) return unreadable(elf.error());
  std::vector<std::string> others;
  std::copy_if(elf->exported.begin(), elf->exported.end(), std::back_inserter(others),
               [](const auto& name) { return name != GANTRY_ENTRY_SYMBOL; });
  // Those of binding UNIQUE are the next case's.
  std::erase_if(others,
                [&](const auto& name) { return std::count(elf->unique.begin(), elf->unique.end(), name) != 0; });
  if (std::count(elf->exported.begin(), elf->exported.end(), GANTRY_ENTRY_SYMBOL) == 0)
    return Outcome::failed("gantry_entry is exported", "it is not: " + (others.empty() ? "nothing is" : listed(others)),
                           "write GANTRY_PLUGIN(Class), or define `const gantry_entry_t gantry_entry` with default "
                           "visibility and C linkage");
  if (others.empty()) return Outcome::passed("gantry_entry alone");
  return Outcome::failed("gantry_entry is the only exported symbol", "also exported: " + listed(others), kBuildWithSdk);
}

Outcome check_unique_symbols(Subject& s) {
  const auto elf = read_elf(s.library);
  if (!elf) return unreadable(elf.error());
  if (elf->unique.empty()) return Outcome::passed("none");
  return Outcome::failed("no symbol of binding UNIQUE, which the loader binds once in a process",
                         std::to_string(elf->unique.size()) + ": " + listed(elf->unique),
                         "an inline host will refuse to reload it; build with -fvisibility=hidden "
                         "-fvisibility-inlines-hidden, or with g++ also -fno-gnu-unique");
}

Outcome check_libstdcxx(Subject& s) {
  const auto elf = read_elf(s.library);
  if (!elf) return unreadable(elf.error());
  const std::string bytes = all_of(s.library);
  std::string linked;
  for (const auto& [library, words] : kRuntimes) {
    const auto needed = std::find_if(elf->needed.begin(), elf->needed.end(),
                                     [&](const auto& name) { return name.starts_with(library); });
    if (needed != elf->needed.end()) {
      linked = *needed;
    } else if (bytes.find(words) != std::string::npos) {
      return Outcome::failed(std::string(library) + " is one of the libraries that it needs",
                             "it is linked into the plugin: what it throws ends the host, whatever the host catches",
                             "link without -static-libstdc++ and -static");
    }
  }
  return Outcome::passed(linked.empty() ? "no C++ library in it" : linked);
}

Outcome check_loads(Subject& s) {
  const auto entry = open_library(s.library, s.library);
  if (!entry)
    return Outcome::failed("it loads with RTLD_NOW and RTLD_LOCAL, and its gantry_entry is one of this ABI",
                           entry.error().message, "link what it needs, and build it with this host's sdk");
  const auto manifest = parse_manifest(describe(**entry));
  if (!manifest)
    return Outcome::failed("`describe` gives a manifest", manifest.error().message,
                           "mend what it declares of itself (Definition, or the text that `describe` gives)");
  return Outcome::passed(manifest->id + " " + manifest->version + ", ABI " + std::to_string((*entry)->major) + "." +
                         std::to_string((*entry)->minor));
}

Outcome check_manifest(Subject& s) {
  const std::string once = describe(*s.entry);
  if (describe(*s.entry) != once)
    return Outcome::failed("`describe` says the same whenever it is asked", "its second answer differs from the first",
                           "describe what the plugin is, not the state it is in");
  const auto beside = read_manifest(s.library);
  if (!beside)
    return Outcome::failed("a manifest lies beside the library: " + manifest_path(s.library).string(),
                           beside.error().message, "let gantry_add_plugin, or gantry-describe, write it at each build");
  if (const auto same = check_described(once, beside->document); !same)
    return Outcome::failed("the manifest beside the library is what `describe` says", same.error().message,
                           "build it again, so that gantry-describe writes the manifest anew");
  return Outcome::passed(std::to_string(s.manifest.methods.size()) + " methods");
}

}  // namespace gantry::host::check
