// SPDX-License-Identifier: Apache-2.0
#include "host/cli/archive.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

#include "host/cli/client.hpp"

namespace gantry::host {

namespace {

constexpr int kVersion = 1;
constexpr auto kTimeout = std::chrono::minutes(30);
constexpr std::array kTypes{"session", "pane", "layout", "setting", "turn"};  // what others belong to goes first

// Of one part, which is one transaction: objects, bytes, and bytes of the event that names all of them.
constexpr std::size_t kPartObjects = 5000;
constexpr std::size_t kPartBytes = std::size_t{12} << 20;
constexpr std::size_t kPartNames = 900 << 10;
constexpr std::size_t kNameBytes = 180;  // of an object with two ids

[[nodiscard]] std::unexpected<Error> cannot(const std::string& what, const std::string& file) {
  return fail(ErrorKind::storage_failed, "cannot " + what + " " + file + ": " + std::strerror(errno));
}

[[nodiscard]] std::int64_t wall_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

struct CloseFile {
  void operator()(std::FILE* file) const { (void)std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

}  // namespace

// ---- writing -----------------------------------------------------------------------------------------------------

struct ArchiveWriter::Output {
  std::string name;
  std::string beside;  ///< empty: standard output
  File file;

  ~Output() {
    if (beside.empty()) {
      (void)file.release();
    } else {
      (void)::unlink(beside.c_str());  // unless it has its name
    }
  }
  [[nodiscard]] Result<void> write(const json& line) {
    const std::string text = dump_json(line) + "\n";
    return std::fwrite(text.data(), 1, text.size(), file.get()) == text.size() ? Result<void>() : cannot("write", name);
  }
};

Result<ArchiveWriter> ArchiveWriter::create(const std::string& file, const json& header) {
  auto output = std::make_shared<Output>();
  output->name = file;
  if (file == "-") {
    output->file.reset(stdout);
  } else {
    output->beside = file + ".part-" + std::to_string(::getpid());
    const int fd = ::open(output->beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return cannot("create", output->beside);
    output->file.reset(::fdopen(fd, "w"));
    if (!output->file) return cannot("create", output->beside);
  }
  if (auto ok = output->write(header); !ok) return std::unexpected(ok.error());
  return ArchiveWriter(std::move(output));
}

Result<void> ArchiveWriter::add(std::string_view type, const json& object) {
  ++objects_;
  return output_->write({{"type", type}, {"object", object}});
}

Result<void> ArchiveWriter::finish() {
  Output& out = *output_;
  if (auto ok = out.write({{"end", objects_}}); !ok) return ok;
  if (std::fflush(out.file.get()) != 0) return cannot("write", out.name);
  if (out.beside.empty()) return {};
  if (::fsync(::fileno(out.file.get())) != 0) return cannot("write", out.name);
  if (::rename(out.beside.c_str(), out.name.c_str()) != 0) return cannot("replace", out.name);
  return {};
}

// ---- reading -----------------------------------------------------------------------------------------------------

struct ArchiveReader::Input {
  std::string name;
  File file;
  FrameDecoder decoder{kMaxLine, Framing::lines};
};

std::unexpected<Error> ArchiveReader::wrong(const std::string& why) const {
  return fail(ErrorKind::invalid_params, input_->name + ", line " + std::to_string(line_) + ": " + why);
}

Result<ArchiveReader> ArchiveReader::open(const std::string& file) {
  auto input = std::make_shared<Input>();
  input->name = file;
  input->file.reset(std::fopen(file.c_str(), "re"));
  if (!input->file) return cannot("read", file);
  struct stat info{};
  if (::fstat(::fileno(input->file.get()), &info) != 0 || !S_ISREG(info.st_mode))
    return fail(ErrorKind::invalid_params, file + " is no regular file, which is read twice");
  ArchiveReader out(std::move(input));
  auto first = out.next_line();
  if (!first) return std::unexpected(first.error());
  out.header_ = first->value_or(json());
  const json version = out.header_.is_object() ? out.header_.value("gantry_archive", json()) : json();
  if (!is_integer(version)) return out.wrong("this is no archive, which begins with {\"gantry_archive\": 1, ...}");
  if (version != kVersion) {
    return out.wrong("an archive of version " + dump_json(version) + ", and this Gantry knows version " +
                     std::to_string(kVersion));
  }
  return out;
}

Result<std::optional<json>> ArchiveReader::next_line() {
  Input& in = *input_;
  ++line_;
  std::string_view line;
  while (true) {
    const auto status = in.decoder.next(line);
    if (status == FrameDecoder::Status::message) {
      auto value = parse_json(line);
      if (!value) return wrong(value.error().message);
      return std::optional(std::move(*value));
    }
    if (status != FrameDecoder::Status::need_more) return wrong("longer than 4 MiB");
    constexpr std::size_t kChunk = std::size_t{64} << 10;
    const std::size_t read = std::fread(in.decoder.prepare(kChunk), 1, kChunk, in.file.get());
    in.decoder.commit(read);
    if (read != 0) continue;
    if (std::ferror(in.file.get()) != 0) return cannot("read", in.name);
    if (in.decoder.buffered() == 0) return std::nullopt;
    in.decoder.feed("\n");  // the last line may lack it
  }
}

Result<std::optional<json>> ArchiveReader::next() {
  auto line = next_line();
  if (!line) return line;
  if (!*line) return wrong("the archive ends here, before the line that says how many objects it has");
  json& entry = **line;
  if (entry.is_object() && entry.size() == 1 && entry.contains("end")) {
    if (entry["end"] != objects_) {
      return wrong("the archive had " + dump_json(entry["end"]) + " objects, and " + std::to_string(objects_) +
                   " are here");
    }
    return std::nullopt;
  }
  if (!entry.is_object() || !entry.contains("type") || !entry.contains("object"))
    return wrong("a line must be {\"type\": ..., \"object\": ...}");
  ++objects_;
  return line;
}

// ---- export and import -------------------------------------------------------------------------------------------

namespace {

struct Point {
  std::string epoch;
  std::uint64_t seq = 0;
};

[[nodiscard]] Result<std::uint64_t> export_type(Client& client, ArchiveWriter& out, const std::string& type,
                                                const Point& point) {
  json params{{"seq", point.seq}, {"scope", type + "s"}, {"limit", 1000}};
  std::uint64_t count = 0;
  while (true) {
    const auto page = client.call("state.at", params, kTimeout);
    if (!page) return std::unexpected(page.error());
    if (page->value("epoch", "") != point.epoch)
      return fail(ErrorKind::conflict, "the store was replaced while it was read; export it again");
    for (const auto& item : page->at("items")) {
      if (auto ok = out.add(type, item); !ok) return std::unexpected(ok.error());
      ++count;
    }
    if (!page->contains("next_cursor")) return count;
    params["cursor"] = page->at("next_cursor");
  }
}

/// Objects that are imported together.
class Part {
 public:
  void add(json entry) {
    bytes_ += dump_json(entry).size();
    names_ += name_bytes(entry);
    objects_.push_back(std::move(entry));
  }
  [[nodiscard]] bool has_room_for(const json& entry) const {
    return objects_.empty() || (objects_.size() < kPartObjects && bytes_ + dump_json(entry).size() <= kPartBytes &&
                                names_ + name_bytes(entry) <= kPartNames);
  }
  [[nodiscard]] bool empty() const { return objects_.empty(); }
  [[nodiscard]] json take() {
    bytes_ = names_ = 0;
    return std::exchange(objects_, json::array());
  }

 private:
  [[nodiscard]] static std::size_t name_bytes(const json& entry) {
    const json& object = entry["object"];
    std::size_t out = kNameBytes;
    for (const char* member : {"key", "workspace"}) {
      if (object.is_object() && object.contains(member)) out += dump_json(object[member]).size();
    }
    return out;
  }

  json objects_ = json::array();
  std::size_t bytes_ = 0;
  std::size_t names_ = 0;
};

/// Calls `take` with each part of the archive.
template <class F>
[[nodiscard]] Result<void> each_part(const std::string& file, F take) {
  auto archive = ArchiveReader::open(file);
  if (!archive) return std::unexpected(archive.error());
  Part part;
  while (true) {
    auto entry = archive->next();
    if (!entry) return std::unexpected(entry.error());
    if (!part.empty() && (!*entry || !part.has_room_for(**entry))) {
      if (auto ok = take(part.take()); !ok) return ok;
    }
    if (!*entry) return {};
    part.add(std::move(**entry));
  }
}

}  // namespace

Result<std::uint64_t> export_state(Client& client, const std::string& file, std::optional<std::uint64_t> seq) {
  const auto info = client.call("state.info", json::object(), kTimeout);
  if (!info) return std::unexpected(info.error());
  const Point point{info->value("epoch", ""), seq.value_or(info->value("seq", std::uint64_t{0}))};
  auto out = ArchiveWriter::create(
      file, {{"gantry_archive", kVersion}, {"epoch", point.epoch}, {"seq", point.seq}, {"at_ms", wall_ms()}});
  if (!out) return std::unexpected(out.error());
  std::uint64_t count = 0;
  for (const char* type : kTypes) {
    const auto some = export_type(client, *out, type, point);
    if (!some) return some;
    count += *some;
  }
  if (auto ok = out->finish(); !ok) return std::unexpected(ok.error());
  return count;
}

Result<json> import_state(Client& client, const std::string& file, const Import& how) {
  std::uint64_t parts = 0;
  const auto whole = each_part(file, [&](const json& /*part*/) -> Result<void> {
    ++parts;
    return {};
  });
  if (!whole) return std::unexpected(whole.error());
  if (how.dry_run && parts > 1) {
    return fail(ErrorKind::too_large, file + " is imported in " + std::to_string(parts) +
                                          " parts, of which a later one needs the ones before; it cannot be tried");
  }
  json sums{{"created", 0}, {"replaced", 0}, {"kept", 0}, {"unchanged", 0}, {"parts", 0}};
  const auto done = each_part(file, [&](json part) -> Result<void> {
    const json params{{"objects", std::move(part)}, {"on_conflict", how.on_conflict}, {"dry_run", how.dry_run}};
    const auto answer = client.call("state.import", params, kTimeout);
    if (!answer) {
      Error error = answer.error();
      if (sums["parts"] != 0) {
        error.message += "; of " + std::to_string(parts) + " parts, " + dump_json(sums["parts"]) +
                         " are imported: import the file again once that is mended, and it goes on from there";
      }
      return std::unexpected(std::move(error));
    }
    for (const char* member : {"created", "replaced", "kept", "unchanged"})
      sums[member] = sums[member].get<std::uint64_t>() + answer->value(member, std::uint64_t{0});
    sums["parts"] = sums["parts"].get<std::uint64_t>() + 1;
    return {};
  });
  if (!done) return std::unexpected(done.error());
  return sums;
}

}  // namespace gantry::host
