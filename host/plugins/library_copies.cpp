// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/library_copies.hpp"

#include <elf.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <span>
#include <system_error>
#include <utility>

namespace gantry::host {

namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMaxLibraryBytes = std::uintmax_t{4} << 30;

/// A file of which parts are read; what lies outside of it is an error.
class ElfFile {
 public:
  explicit ElfFile(const fs::path& file) : in_(file, std::ios::binary) {
    std::error_code failed;
    size_ = fs::file_size(file, failed);
    if (failed || size_ > kMaxLibraryBytes) in_.setstate(std::ios::failbit);
  }
  template <class T>
  [[nodiscard]] bool read(std::uint64_t at, std::span<T> out) {
    if (!in_ || at > size_ || out.size_bytes() > size_ - at) return false;
    in_.seekg(static_cast<std::streamoff>(at));
    in_.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size_bytes()));
    return static_cast<bool>(in_);
  }
  template <class T>
  [[nodiscard]] bool read(std::uint64_t at, T& out) {
    return read(at, std::span<T>(&out, 1));
  }
  template <class T>
  [[nodiscard]] bool read_all(const Elf64_Shdr& section, std::vector<T>& out) {
    if (section.sh_size > size_) return false;
    out.resize(section.sh_size / sizeof(T));
    return read(section.sh_offset, std::span<T>(out));
  }

 private:
  std::ifstream in_;
  std::uintmax_t size_ = 0;
};

}  // namespace

Result<std::vector<std::string>> unique_symbols(const fs::path& library) {
  const auto wrong = [&](const char* why) { return fail(ErrorKind::unavailable, library.string() + " " + why); };
  ElfFile file(library);
  Elf64_Ehdr header{};
  if (!file.read(0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_shentsize != sizeof(Elf64_Shdr))
    return wrong("is no shared library of this machine");
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  if (!file.read(header.e_shoff, std::span<Elf64_Shdr>(sections))) return wrong("is cut short");
  std::vector<std::string> out;
  for (const auto& section : sections) {
    if (section.sh_type != SHT_DYNSYM) continue;
    std::vector<Elf64_Sym> symbols;
    std::vector<char> names;
    if (section.sh_link >= sections.size() || !file.read_all(section, symbols) ||
        !file.read_all(sections[section.sh_link], names))
      return wrong("is cut short");
    names.push_back('\0');
    for (const auto& symbol : symbols) {
      if (ELF64_ST_BIND(symbol.st_info) != STB_GNU_UNIQUE || symbol.st_shndx == SHN_UNDEF) continue;
      out.emplace_back(symbol.st_name < names.size() ? &names[symbol.st_name] : "");
    }
  }
  return out;
}

LibraryCopies::LibraryCopies(fs::path folder) : folder_(std::move(folder)) {
  std::error_code failed;  // what cannot be removed is in nobody's way
  if (!folder_.empty()) fs::remove_all(folder_, failed);
}

Result<fs::path> LibraryCopies::take(const std::string& name, const fs::path& library) {
  if (folder_.empty()) return fail(ErrorKind::unavailable, "this host keeps no copies of libraries");
  std::error_code failed;
  std::uint64_t number = 0;
  {
    const Lock lock(mutex_);
    number = ++taken_;
  }
  fs::create_directories(folder_, failed);
  if (!failed) fs::permissions(folder_, fs::perms::owner_all, failed);
  fs::path copy = folder_ / (name + "." + std::to_string(::getpid()) + "." + std::to_string(number) + ".so");
  if (!failed) fs::copy_file(library, copy, failed);
  if (!failed) return copy;
  drop(copy);
  return fail(ErrorKind::unavailable,
              library.string() + " cannot be copied into " + folder_.string() + ": " + failed.message());
}

void LibraryCopies::drop(const fs::path& copy) {
  std::error_code failed;
  if (!copy.empty()) fs::remove(copy, failed);
}

}  // namespace gantry::host
