// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/library/library.hpp"

#include <dlfcn.h>

#define BOOST_DLL_USE_STD_FS
#include <boost/dll/shared_library.hpp>
#include <string>
#include <system_error>

#include "host/plugins/library/elf.hpp"

namespace gantry::host {

namespace {

// Boost says "boost::dll::shared_library::load() failed (dlerror system message: WORDS): Bad file descriptor [...]".
[[nodiscard]] std::string loaders_words(const std::string& what) {
  constexpr std::string_view kBegin = "dlerror system message: ";
  const auto begin = what.find(kBegin);
  const auto end = what.rfind("):");
  if (begin == std::string::npos || end == std::string::npos || end < begin) return "the loader refuses it";
  return what.substr(begin + kBegin.size(), end - begin - kBegin.size());
}

[[nodiscard]] Result<void> check_entry(const gantry_entry_t& entry) {
  if (entry.magic != GANTRY_MAGIC)
    return fail(ErrorKind::unavailable,
                "its gantry_entry has another magic number: it is no plugin, or one for a later release");
  if (entry.major != GANTRY_ABI_MAJOR) {
    return fail(ErrorKind::unavailable, "it is built for ABI major version " + std::to_string(entry.major) +
                                            ", this host speaks " + std::to_string(GANTRY_ABI_MAJOR) +
                                            "; rebuild it with this host's sdk");
  }
  if (entry.minor > GANTRY_ABI_MINOR) {
    return fail(ErrorKind::unavailable, "it needs ABI version 1." + std::to_string(entry.minor) +
                                            ", this host speaks 1." + std::to_string(GANTRY_ABI_MINOR) +
                                            "; update the host");
  }
  if (entry.size < sizeof(gantry_entry_t) || entry.create == nullptr || entry.describe == nullptr)
    return fail(ErrorKind::unavailable, "its gantry_entry is incomplete");
  return {};
}

[[nodiscard]] std::string with_origin(std::string words, const std::string& file, const std::string& origin) {
  for (auto at = words.find(file); at != std::string::npos; at = words.find(file, at + origin.size()))
    words.replace(at, file.size(), origin);
  return words;
}

/// What it looks for in $ORIGIN, its own folder, is there, and not beside the copy.
[[nodiscard]] Result<void> open_neighbours(const std::filesystem::path& file, const std::filesystem::path& origin) {
  const auto facts = read_elf(file, origin.string());
  if (!facts) return {};  // without sections, which the loader does not need
  for (const auto& needed : facts->needed) {
    for (const auto& written : facts->run_path) {
      std::string folder = with_origin(written, "${ORIGIN}", origin.parent_path());
      folder = with_origin(std::move(folder), "$ORIGIN", origin.parent_path());
      const auto neighbour = std::filesystem::path(folder) / needed;
      std::error_code failed;
      if (folder == written || needed.contains('/') || !std::filesystem::exists(neighbour, failed)) continue;
      if (auto whole = check_segments(neighbour, neighbour.string()); !whole) return whole;
      if (::dlopen(neighbour.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) == nullptr)
        return fail(ErrorKind::unavailable, std::string("it cannot be loaded: ") + ::dlerror());
      break;
    }
  }
  return {};
}

}  // namespace

Result<const gantry_entry_t*> open_library(const std::filesystem::path& file, const std::filesystem::path& origin) {
  // Where it is loaded already, nothing is read of the file.
  if (::dlopen(file.c_str(), RTLD_NOW | RTLD_NOLOAD) == nullptr) {
    if (auto whole = check_segments(file, origin.string()); !whole)
      return fail(whole.error().kind, "it cannot be loaded: " + whole.error().message);
    if (file != origin) {
      if (auto opened = open_neighbours(file, origin); !opened) return std::unexpected(opened.error());
    }
  }
  try {
    boost::dll::shared_library library(file, boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
    // Nothing is ever closed: from here on the loader keeps it, whatever Boost's destructor asks for.
    (void)dlopen(file.c_str(), RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
    if (!library.has(GANTRY_ENTRY_SYMBOL))
      return fail(ErrorKind::unavailable, "it is no Gantry plugin: it does not export gantry_entry");
    const auto& entry = library.get<const gantry_entry_t>(GANTRY_ENTRY_SYMBOL);
    if (auto ok = check_entry(entry); !ok) return std::unexpected(ok.error());
    return &entry;
  } catch (const std::exception& e) {
    return fail(ErrorKind::unavailable, "it cannot be loaded: " + with_origin(loaders_words(e.what()), file, origin));
  }
}

std::string describe(const gantry_entry_t& entry) {
  std::string described;
  entry.describe(&described, [](void* out, gantry_bytes text) {
    static_cast<std::string*>(out)->assign(text.data == nullptr ? "" : text.data, text.size);
  });
  return described;
}

Result<void> check_described(const std::string& described, const json& manifest) {
  const auto own = parse_json(described);
  if (!own) return fail(ErrorKind::unavailable, "it describes itself with " + own.error().message);
  if (*own == manifest) return {};
  std::string where;
  for (const auto& [name, value] : own->items()) {
    if (!manifest.contains(name) || manifest[name] != value) where += (where.empty() ? "" : ", ") + name;
  }
  for (const auto& [name, value] : manifest.items()) {
    if (!own->contains(name)) where += (where.empty() ? "" : ", ") + name;
  }
  return fail(ErrorKind::unavailable,
              "its manifest disagrees with what it says of itself (" + where + "); build it again");
}

Result<const gantry_entry_t*> load_library(const std::filesystem::path& file, const std::filesystem::path& origin,
                                           const Manifest& manifest) {
  auto entry = open_library(file, origin);
  if (!entry) return entry;
  if (auto ok = check_described(describe(**entry), manifest.document); !ok) return std::unexpected(ok.error());
  return entry;
}

}  // namespace gantry::host
