// SPDX-License-Identifier: Apache-2.0
//
// host/cli/archive.hpp: archives of the project state, as docs/state.md ("Archives") describes them: one JSON object a
// line, the first says what it is, the last how many objects lie between them.
//
// Thread rule: one thread.
// Bounds: a line of kMaxLine bytes; one part of an archive in memory.
#pragma once

#include <cstdint>
#include <gantry/framing.hpp>
#include <gantry/json.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace gantry::host {

/// Writes an archive to a file, which has the name only when all of it is on the disk.
class ArchiveWriter {
 public:
  /// `file` "-": standard output. `storage_failed`.
  [[nodiscard]] static Result<ArchiveWriter> create(const std::string& file, const json& header);
  [[nodiscard]] Result<void> add(std::string_view type, const json& object);
  [[nodiscard]] Result<void> finish();

 private:
  struct Output;
  explicit ArchiveWriter(std::shared_ptr<Output> output) : output_(std::move(output)) {}
  std::shared_ptr<Output> output_;
  std::uint64_t objects_ = 0;
};

/// Reads an archive from its beginning to its end.
class ArchiveReader {
 public:
  static constexpr std::size_t kMaxLine = std::size_t{4} << 20;

  /// `storage_failed`: the file cannot be read; `invalid_params`: it is no archive, or one of a newer version.
  [[nodiscard]] static Result<ArchiveReader> open(const std::string& file);
  struct Line {
    std::string text;
    std::uint64_t number = 0;
  };
  /// The next {type, object}; empty: the end, and the archive is whole. `invalid_params` names the line.
  [[nodiscard]] Result<std::optional<Line>> next();

 private:
  struct Input;
  explicit ArchiveReader(std::shared_ptr<Input> input) : input_(std::move(input)) {}
  [[nodiscard]] Result<std::optional<Line>> next_line();
  [[nodiscard]] std::unexpected<Error> wrong(const std::string& why) const;

  std::shared_ptr<Input> input_;
  std::uint64_t line_ = 0;
  std::uint64_t objects_ = 0;
};

class Client;
/// Writes the state as it is now, or as it was after the event `seq`. Returns the number of objects.
[[nodiscard]] Result<std::uint64_t> export_state(Client& client, const std::string& file,
                                                 std::optional<std::uint64_t> seq);

struct Import {
  std::string on_conflict;
  bool dry_run = false;
  std::size_t max_message_bytes = 0;  ///< that the host takes
};
/// Reads the whole archive once before anything is changed. Returns the sums of what `state.import` answers, with
/// `parts`. The error of a part that fails says how many went before.
[[nodiscard]] Result<json> import_state(Client& client, const std::string& file, const Import& how);

}  // namespace gantry::host
