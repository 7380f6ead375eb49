// SPDX-License-Identifier: Apache-2.0
//
// sse_parser.hpp: parses server-sent events from bytes, by the WHATWG's rules (HTML, 9.2.6).
//
// Lines end with CRLF, LF or CR, also when a CRLF is split between two reads; one leading BOM is
// dropped; a line that begins with ':' is a comment; the data lines of an event are joined with LF;
// a blank line dispatches, but never an event without data. `id` and `retry` are ignored: nothing
// reconnects here.
//
// Beyond the rules: finish() passes on an event that is unfinished when the bytes end without an
// error, for its reader to judge; and lines that are no fields of an event stream are kept as
// stray(), because servers put errors and whole answers there.
//
// Thread rule: one thread.
// Bounds: a line over kMaxLine or an event over kMaxEvent is `too_large`; the parser must not be
// fed after an error. The first kMaxLine bytes of stray lines are kept.
#pragma once

#include <cstddef>
#include <gantry/result.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace gantry::ai {

struct SseEvent {
  std::string name;  ///< empty: "message"
  std::string data;
};

class SseParser {
 public:
  static constexpr std::size_t kMaxLine = 1U << 20U;
  static constexpr std::size_t kMaxEvent = 4U << 20U;

  /// Calls `sink(SseEvent) -> Result<void>` for each complete event; its first failure is returned
  /// at once.
  template <class Sink>
  [[nodiscard]] Result<void> feed(std::string_view bytes, Sink&& sink) {
    while (!bytes.empty()) {
      if (std::exchange(after_cr_, false) && bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
      const std::size_t end = bytes.find_first_of("\r\n");
      const std::string_view part = bytes.substr(0, end);
      if (line_.size() + part.size() > kMaxLine) {
        return fail(ErrorKind::too_large, "a line of the event stream is longer than 1 MiB");
      }
      line_ += part;
      if (end == std::string_view::npos) return {};
      after_cr_ = bytes[end] == '\r';
      bytes.remove_prefix(end + 1);
      if (auto taken = end_line(sink); !taken) return taken;
    }
    return {};
  }

  /// The bytes have ended: an unfinished event counts as finished.
  template <class Sink>
  [[nodiscard]] Result<void> finish(Sink&& sink) {
    if (!line_.empty()) {
      if (auto taken = end_line(sink); !taken) return taken;
    }
    return dispatch(sink);
  }

  /// The lines that are no fields, each with LF.
  [[nodiscard]] const std::string& stray() const { return stray_; }

 private:
  template <class Sink>
  [[nodiscard]] Result<void> end_line(Sink& sink) {
    std::string_view line = line_;
    if (std::exchange(first_line_, false) && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    Result<void> taken;
    if (line.empty()) {
      taken = dispatch(sink);
    } else {
      taken = field(line);
    }
    line_.clear();
    return taken;
  }

  template <class Sink>
  [[nodiscard]] Result<void> dispatch(Sink& sink) {
    SseEvent event{std::exchange(name_, {}), std::exchange(data_, {})};
    if (!std::exchange(has_data_, false) || event.data.empty()) return {};
    return sink(std::move(event));
  }

  [[nodiscard]] Result<void> field(std::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == 0) return {};
    const std::string_view name = line.substr(0, colon);
    std::string_view value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (name == "event") {
      name_ = value;
    } else if (name == "data") {
      if (data_.size() + value.size() >= kMaxEvent) {
        return fail(ErrorKind::too_large, "an event of the stream is longer than 4 MiB");
      }
      if (has_data_) data_ += '\n';
      data_ += value;
      has_data_ = true;
    } else if (name != "id" && name != "retry" && stray_.size() + line.size() < kMaxLine) {
      stray_ += line;
      stray_ += '\n';
    }
    return {};
  }

  std::string line_;
  std::string name_;
  std::string data_;
  std::string stray_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool first_line_ = true;
};

}  // namespace gantry::ai
