// SPDX-License-Identifier: Apache-2.0
#include "host/cli/archive.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <utility>
#include <vector>

#include "host/cli/client.hpp"

namespace gantry::host {

namespace {

constexpr int kVersion = 1;
constexpr auto kTimeout = std::chrono::minutes(30);
constexpr std::array kTypes{"session", "pane", "layout", "setting", "turn"};  // what others belong to goes first

// Of one part, which is one message and one transaction.
constexpr std::size_t kPartObjects = 5000;
constexpr std::size_t kAroundPart = 4096;  // of a message, besides the objects

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
  std::string target;  ///< what gets its name at the end; empty: nothing does
  std::string beside;  ///< where it is written until then
  File file;

  ~Output() {
    if (file.get() == stdout) (void)file.release();
    if (!beside.empty()) (void)::unlink(beside.c_str());  // unless it has its name
  }
  [[nodiscard]] Result<void> write(const json& line) {
    const std::string text = dump_json(line) + "\n";
    return std::fwrite(text.data(), 1, text.size(), file.get()) == text.size() ? Result<void>() : cannot("write", name);
  }
};

// A device and a pipe are written to as they are; of a link what it leads to is replaced.
Result<ArchiveWriter> ArchiveWriter::create(const std::string& file, const json& header) {
  auto output = std::make_shared<Output>();
  output->name = file;
  struct stat info{};
  const bool exists = ::stat(file.c_str(), &info) == 0;
  if (file == "-") {
    output->file.reset(stdout);
  } else if (exists && !S_ISREG(info.st_mode)) {
    output->file.reset(std::fopen(file.c_str(), "we"));
  } else {
    std::error_code none;
    const auto target = exists ? std::filesystem::canonical(file, none) : std::filesystem::path(file);
    output->target = none ? file : target.string();
    output->beside = output->target + ".part-" + std::to_string(::getpid());
    const int fd = ::open(output->beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) output->file.reset(::fdopen(fd, "w"));
  }
  if (!output->file) return cannot("create", output->beside.empty() ? file : output->beside);
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
  if (out.target.empty()) return {};
  if (::fsync(::fileno(out.file.get())) != 0) return cannot("write", out.name);
  if (::rename(out.beside.c_str(), out.target.c_str()) != 0) return cannot("replace", out.name);
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
  if (file == "-") return fail(ErrorKind::invalid_params, "an archive is read twice: name a file instead of -");
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
  const json header = *first ? parse_json((*first)->text).value_or(json()) : json();
  const json version = header.is_object() ? header.value("gantry_archive", json()) : json();
  if (!is_integer(version)) return out.wrong("this is no archive, which begins with {\"gantry_archive\": 1, ...}");
  if (version != kVersion) {
    return out.wrong("an archive of version " + dump_json(version) + ", and this Gantry knows version " +
                     std::to_string(kVersion));
  }
  return out;
}

Result<std::optional<ArchiveReader::Line>> ArchiveReader::next_line() {
  Input& in = *input_;
  ++line_;
  std::string_view text;
  while (true) {
    const auto status = in.decoder.next(text);
    if (status == FrameDecoder::Status::message) return std::optional(Line{std::string(text), line_});
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

Result<std::optional<ArchiveReader::Line>> ArchiveReader::next() {
  auto line = next_line();
  if (!line) return line;
  if (!*line) return wrong("the archive ends here, before the line that says how many objects it has");
  const auto entry = parse_json((*line)->text);
  if (!entry) return wrong(entry.error().message);
  if (entry->is_object() && entry->size() == 1 && entry->contains("end")) {
    if (const json& end = entry->at("end"); !is_integer(end) || end != objects_)
      return wrong("the archive does not end with {\"end\": " + std::to_string(objects_) +
                   "}, the number of its objects");
    const auto more = next_line();
    if (!more) return more;
    if (*more) return wrong("there is more behind the end of the archive");
    return std::nullopt;
  }
  if (!entry->is_object() || !entry->contains("type") || !entry->contains("object"))
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

/// Lines that are imported together.
class Part {
 public:
  explicit Part(std::size_t most) : most_(most) {}
  void add(ArchiveReader::Line line) {
    bytes_ += size_of(line);
    lines_.push_back(std::move(line));
  }
  [[nodiscard]] bool has_room_for(const ArchiveReader::Line& line) const {
    return lines_.size() < kPartObjects && bytes_ + size_of(line) <= most_;
  }
  [[nodiscard]] bool empty() const { return lines_.empty(); }
  [[nodiscard]] std::vector<ArchiveReader::Line> take() {
    bytes_ = 0;
    return std::exchange(lines_, {});
  }

 private:
  /// In a message.
  [[nodiscard]] static std::size_t size_of(const ArchiveReader::Line& line) {
    return dump_json(json(line.text)).size();
  }

  const std::size_t most_;
  std::vector<ArchiveReader::Line> lines_;
  std::size_t bytes_ = 0;
};

/// Calls `take` with each part of the archive, of `most` bytes.
template <class F>
[[nodiscard]] Result<void> each_part(const std::string& file, std::size_t most, F take) {
  auto archive = ArchiveReader::open(file);
  if (!archive) return std::unexpected(archive.error());
  Part part(most);
  while (true) {
    auto line = archive->next();
    if (!line) return std::unexpected(line.error());
    if (!part.empty() && (!*line || !part.has_room_for(**line))) {
      if (auto ok = take(part.take()); !ok) return ok;
    }
    if (!*line) return {};
    part.add(std::move(**line));
  }
}

/// Sends parts to the store, and adds up what becomes of them.
class Importer {
 public:
  using Lines = std::span<const ArchiveReader::Line>;
  Importer(Client& client, const Import& how) : client_(client), how_(how) {}

  [[nodiscard]] Result<void> send(Lines lines) {
    json objects = json::array();
    for (const auto& line : lines) objects.push_back(line.text);
    const auto answer = client_.call(
        "state.import", {{"objects", std::move(objects)}, {"on_conflict", how_.on_conflict}, {"dry_run", how_.dry_run}},
        kTimeout);
    if (!answer) return failed(answer.error(), lines);
    for (const char* member : {"created", "replaced", "kept", "unchanged"})
      sums_[member] = sums_[member].get<std::uint64_t>() + answer->value(member, std::uint64_t{0});
    ++parts_;
    return {};
  }
  [[nodiscard]] json sums() const {
    json out = sums_;
    out["parts"] = parts_;
    return out;
  }

 private:
  // The event that names all of a part has a bound of its own.
  [[nodiscard]] Result<void> failed(Error error, Lines lines) {
    const json data = parse_json(error.data).value_or(json());
    if (data.is_object() && data.contains("event_bytes") && lines.size() > 1 && !how_.dry_run) {
      if (auto ok = send(lines.first(lines.size() / 2)); !ok) return ok;
      return send(lines.subspan(lines.size() / 2));
    }
    const json index = data.is_object() ? data.value("index", json()) : json();
    if (index.is_number_unsigned() && index < lines.size())
      error.message = "line " + std::to_string(lines[index.get<std::size_t>()].number) + ": " + error.message;
    if (parts_ != 0) {
      error.message +=
          "; the " + std::to_string(parts_) +
          " parts before are imported: import the file again once that is mended, and it goes on from there";
    }
    return std::unexpected(std::move(error));
  }

  Client& client_;
  const Import& how_;
  std::uint64_t parts_ = 0;
  json sums_{{"created", 0}, {"replaced", 0}, {"kept", 0}, {"unchanged", 0}};
};

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
  const std::size_t most = std::max(how.max_message_bytes, 2 * kAroundPart) - kAroundPart;
  std::uint64_t parts = 0;
  const auto whole = each_part(file, most, [&](const auto& /*lines*/) -> Result<void> {
    ++parts;
    return {};
  });
  if (!whole) return std::unexpected(whole.error());
  if (how.dry_run && parts > 1) {
    return fail(ErrorKind::too_large, file + " is imported in " + std::to_string(parts) +
                                          " parts, of which a later one needs the ones before; it cannot be tried");
  }
  Importer importer(client, how);
  const auto done = each_part(file, most, [&](const auto& lines) { return importer.send(lines); });
  if (!done) return std::unexpected(done.error());
  return importer.sums();
}

}  // namespace gantry::host
