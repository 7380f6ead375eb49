// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/elf.hpp"

#include <elf.h>

#include <cstring>
#include <fstream>
#include <span>
#include <system_error>

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

/// A section of names, which end with a NUL.
class Names {
 public:
  [[nodiscard]] bool read(ElfFile& file, const std::vector<Elf64_Shdr>& sections, std::size_t index) {
    if (index >= sections.size() || !file.read_all(sections[index], bytes_)) return false;
    bytes_.push_back('\0');
    return true;
  }
  [[nodiscard]] std::string at(std::uint64_t offset) const {
    return offset < bytes_.size() ? std::string(&bytes_[offset]) : std::string();
  }

 private:
  std::vector<char> bytes_;
};

[[nodiscard]] bool is_exported(const Elf64_Sym& symbol) {
  const auto binding = ELF64_ST_BIND(symbol.st_info);
  const auto visibility = ELF64_ST_VISIBILITY(symbol.st_other);
  return symbol.st_shndx != SHN_UNDEF && binding != STB_LOCAL &&
         (visibility == STV_DEFAULT || visibility == STV_PROTECTED);
}

}  // namespace

Result<ElfFacts> read_elf(const fs::path& library) {
  const auto wrong = [&](const char* why) { return fail(ErrorKind::unavailable, library.string() + " " + why); };
  ElfFile file(library);
  Elf64_Ehdr header{};
  if (!file.read(0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_shentsize != sizeof(Elf64_Shdr))
    return wrong("is no shared library of this machine");
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  if (!file.read(header.e_shoff, std::span<Elf64_Shdr>(sections))) return wrong("is cut short");
  ElfFacts out;
  for (const auto& section : sections) {
    Names names;
    std::vector<Elf64_Sym> symbols;
    std::vector<Elf64_Dyn> entries;
    const bool read = section.sh_type == SHT_DYNSYM    ? file.read_all(section, symbols)
                      : section.sh_type == SHT_DYNAMIC ? file.read_all(section, entries)
                                                       : true;
    if (!read) return wrong("is cut short");
    if (symbols.empty() && entries.empty()) continue;
    if (!names.read(file, sections, section.sh_link)) return wrong("is cut short");
    for (const auto& symbol : symbols) {
      if (ELF64_ST_BIND(symbol.st_info) == STB_GNU_UNIQUE && symbol.st_shndx != SHN_UNDEF)
        out.unique.push_back(names.at(symbol.st_name));
      if (is_exported(symbol)) out.exported.push_back(names.at(symbol.st_name));
    }
    for (const auto& entry : entries) {
      if (entry.d_tag == DT_NEEDED) out.needed.push_back(names.at(entry.d_un.d_val));
    }
  }
  return out;
}

}  // namespace gantry::host
