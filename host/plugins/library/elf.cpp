// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/library/elf.hpp"

#include <elf.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>
#include <string_view>
#include <system_error>

namespace gantry::host {

namespace {

namespace fs = std::filesystem;

#if defined(__x86_64__)
constexpr std::uint16_t kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr std::uint16_t kMachine = EM_AARCH64;
#elif defined(__riscv)
constexpr std::uint16_t kMachine = EM_RISCV;
#else
#error "which machine's libraries does this one load?"
#endif
constexpr unsigned char kData = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
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
  [[nodiscard]] std::uintmax_t size() const { return size_; }
  [[nodiscard]] bool is_open() const { return in_.is_open(); }

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

void add_folders(std::vector<std::string>& out, std::string_view joined) {
  while (!joined.empty()) {
    const auto end = std::min(joined.find(':'), joined.size());
    if (end != 0) out.emplace_back(joined.substr(0, end));
    joined.remove_prefix(std::min(end + 1, joined.size()));
  }
}

}  // namespace

Result<void> check_segments(const fs::path& library, const std::string& shown) {
  const auto wrong = [&](const std::string& why) { return fail(ErrorKind::unavailable, shown + " " + why); };
  ElfFile file(library);
  if (!file.is_open()) return wrong(std::string("cannot be read: ") + std::strerror(errno));
  Elf64_Ehdr header{};
  if (!file.read(0, header)) return wrong("is no shared library (file too short)");
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return wrong("is no shared library (invalid ELF header)");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != kData || header.e_machine != kMachine)
    return wrong("is for another architecture (ELF machine " + std::to_string(header.e_machine) +
                 "), this host is for " + std::to_string(kMachine));
  if (header.e_type != ET_DYN) return wrong("is no shared library (ELF type " + std::to_string(header.e_type) + ")");
  const auto cut = [&](std::uint64_t end) {
    return wrong("is cut short: it has " + std::to_string(file.size()) + " bytes and says that it has " +
                 std::to_string(end) + " at least; build or copy it again");
  };
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  if (header.e_phnum == 0 || header.e_phentsize != sizeof(Elf64_Phdr))
    return wrong("is no shared library (it has no program headers)");
  if (!file.read(header.e_phoff, std::span<Elf64_Phdr>(segments)))
    return cut(header.e_phoff + segments.size() * sizeof(Elf64_Phdr));
  for (const auto& segment : segments) {
    if (segment.p_filesz == 0) continue;
    const std::uint64_t end = segment.p_offset + segment.p_filesz;
    if (end < segment.p_offset || (segment.p_type == PT_LOAD && segment.p_filesz > segment.p_memsz))
      return wrong("is no shared library (a segment of it is larger than it can be)");
    if (end > file.size()) return cut(end);
  }
  return {};
}

Result<ElfFacts> read_elf(const fs::path& library, const std::string& shown) {
  const auto wrong = [&](const char* why) {
    return fail(ErrorKind::unavailable, (shown.empty() ? library.string() : shown) + " " + why);
  };
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
      if (entry.d_tag == DT_RUNPATH || entry.d_tag == DT_RPATH) add_folders(out.run_path, names.at(entry.d_un.d_val));
    }
  }
  return out;
}

}  // namespace gantry::host
