// SPDX-License-Identifier: Apache-2.0
//
// gantry/framing.hpp: finds where one message ends and the next begins, on a byte stream.
//
// Two framings: `Content-Length` headers, as in LSP, and one message a line. A FrameDecoder finds
//   out from the first byte which framing the peer uses, unless its constructor is given one.
//
// Thread rule: one thread at a time.
// Bounds: a message longer than max_message is skipped, not stored, and reported once as
//   `too_large`; a header block longer than kMaxHeader, or one without a valid Content-Length,
//   breaks the stream for good (`broken`).
// Noise: many programs print text on the stream that carries their messages. A decoder with
//   Noise::skipped steps over the lines in front of a line that begins with `Content-Length:`, and
//   takes a lone newline for the end of a header line. A byte order mark in front of that line is
//   skipped. More than kMaxNoise bytes without a message break the stream.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>

namespace gantry {

enum class Framing { unknown, headers, lines };

/// Whether lines that are no header, between messages with headers, break the stream or are
/// skipped.
enum class Noise { refused, skipped };

/// Appends one message, which consists of `parts`, with its frame to `out`. With `lines` it must
/// not contain a newline.
inline void append_frame(std::string& out, Framing framing, std::initializer_list<std::string_view> parts) {
  if (framing == Framing::headers) {
    std::size_t size = 0;
    for (const auto part : parts) size += part.size();
    out += "Content-Length: ";
    out += std::to_string(size);
    out += "\r\n\r\n";
  }
  for (const auto part : parts) out += part;
  if (framing != Framing::headers) out += '\n';
}
inline void append_frame(std::string& out, Framing framing, std::string_view message) {
  append_frame(out, framing, {message});
}

class FrameDecoder {
 public:
  static constexpr std::size_t kMaxHeader = 8192;
  static constexpr std::size_t kMaxNoise = std::size_t{64} << 10;
  static constexpr std::size_t kNoiseKept = 200;
  static constexpr std::string_view kLengthName = "content-length:";
  static constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  /// simdjson reads up to this many bytes behind a message; they lie within the buffer.
  static constexpr std::size_t kPadding = 64;

  enum class Status {
    message,    ///< `message` is the next message
    need_more,  ///< feed more bytes
    too_large,  ///< one message was over the limit and is being skipped
    broken      ///< the stream cannot be understood any more; `error` says why
  };

  explicit FrameDecoder(std::size_t max_message, Framing framing = Framing::unknown, Noise noise = Noise::refused)
      : max_message_(max_message), handling_(noise), framing_(framing) {}

  [[nodiscard]] Framing framing() const { return framing_; }
  [[nodiscard]] const std::string& error() const { return error_; }
  /// The first kNoiseKept bytes of the lines that were skipped since the last message, or of the
  /// bytes that broke the stream. Blank lines are left out. Empty where noise is refused.
  [[nodiscard]] const std::string& noise() const { return noise_; }
  /// The number of bytes held.
  [[nodiscard]] std::size_t buffered() const { return end_ - begin_; }
  /// The number of bytes allocated, used or not.
  [[nodiscard]] std::size_t allocated() const { return buffer_.size(); }

  /// The bytes that are held; valid until the next call. Another decoder that is fed these bytes
  /// goes on where this one stands, unless this one is skipping.
  [[nodiscard]] std::string_view held() const { return std::string_view(buffer_).substr(begin_, end_ - begin_); }
  [[nodiscard]] bool skipping() const { return skip_left_ > 0 || skip_line_; }

  /// Returns room for at least `size` bytes, which the caller fills before it calls commit().
  /// Invalidates messages.
  [[nodiscard]] char* prepare(std::size_t size) {
    if (begin_ == end_) begin_ = end_ = scanned_ = 0;
    if (end_ + size + kPadding > buffer_.size() && begin_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
      scanned_ -= std::min(scanned_, begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    const std::size_t needed = end_ + size + kPadding;
    const std::size_t most = max_message_ + kMaxHeader + size + kPadding;  // no message needs more
    if (needed > buffer_.size()) buffer_.resize(std::max(needed, std::min(buffer_.size() * 2, most)));
    return buffer_.data() + end_;
  }
  void commit(std::size_t size) { end_ += size; }
  void feed(std::string_view bytes) {
    if (bytes.empty()) return;
    std::memcpy(prepare(bytes.size()), bytes.data(), bytes.size());
    commit(bytes.size());
  }

  /// Returns the next message in `message`, which stays valid until the next prepare(), feed() or
  /// release().
  [[nodiscard]] Status next(std::string_view& message) {
    if (!error_.empty()) return Status::broken;
    while (true) {
      if (skip_left_ > 0 || skip_line_) {
        if (!skip()) return Status::need_more;
        continue;
      }
      if (begin_ == end_) return Status::need_more;
      if (framing_ == Framing::unknown) {
        const char first = buffer_[begin_];
        if (first == ' ' || first == '\t' || first == '\r' || first == '\n') {
          ++begin_;
          continue;
        }
        framing_ = first == 'C' || first == 'c' ? Framing::headers : Framing::lines;
      }
      if (framing_ == Framing::lines) return next_line(message);
      if (skips_noise()) {
        if (skipped_ == 0) noise_.clear();
        if (const auto status = skip_noise(); status != Status::message) return status;
      }
      return next_with_headers(message);
    }
  }

  /// The size of the headers at the front of `held`; sets `body` to the offset of the message
  /// behind them. npos: the headers are not complete.
  [[nodiscard]] static std::size_t header_size(std::string_view held, Noise noise, std::size_t& body) {
    if (noise == Noise::refused) {
      const std::size_t blank = held.find("\r\n\r\n");
      body = blank + 4;
      return blank;
    }
    for (auto end = held.find('\n'); end != std::string_view::npos; end = held.find('\n', end + 1)) {
      body = end + 1;
      if (body < held.size() && held[body] == '\r') ++body;
      if (body < held.size() && held[body] == '\n') {
        ++body;
        return end;
      }
    }
    return std::string_view::npos;
  }

  /// True: `text` begins with `name` (in lower case), or is too short to tell.
  [[nodiscard]] static bool may_begin_with(std::string_view text, std::string_view name) {
    const std::size_t size = std::min(text.size(), name.size());
    return std::equal(name.begin(), name.begin() + static_cast<std::ptrdiff_t>(size), text.begin(), is_same_letter);
  }

  /// After next() has returned need_more: drops the bytes that are held of an unfinished message;
  /// the rest of that message will be skipped. False: none are held, or only a part of a header.
  bool abandon() {
    if (begin_ == end_ || skipping() || !error_.empty()) return false;
    if (framing_ == Framing::lines) {
      skip_line_ = true;
    } else {
      const std::string_view held(buffer_.data() + begin_, end_ - begin_);
      if (skips_noise() && !may_begin_with(held, kLengthName)) return false;
      std::size_t body = 0, length = 0;
      const std::size_t size = header_size(held.substr(0, kMaxHeader), handling_, body);
      if (size == std::string_view::npos || !content_length(held.substr(0, size), length)) return false;
      skip_left_ = length - (held.size() - body);
    }
    begin_ = end_;
    return true;
  }

  /// Gives back memory that a large message has claimed.
  void release() {
    constexpr std::size_t kKeep = 128 * 1024;
    if (buffer_.size() <= kKeep || end_ - begin_ > kKeep / 2) return;
    std::string rest(buffer_, begin_, end_ - begin_);
    scanned_ -= std::min(scanned_, begin_);
    end_ = rest.size();
    begin_ = 0;
    buffer_.swap(rest);
  }

 private:
  [[nodiscard]] bool skip() {
    if (skip_line_) {
      const void* newline = std::memchr(buffer_.data() + begin_, '\n', end_ - begin_);
      if (newline == nullptr) {
        begin_ = end_;
        return false;
      }
      begin_ = static_cast<std::size_t>(static_cast<const char*>(newline) - buffer_.data()) + 1;
      skip_line_ = false;
      return true;
    }
    const std::size_t now = std::min(skip_left_, end_ - begin_);
    begin_ += now;
    skip_left_ -= now;
    return skip_left_ == 0;
  }

  [[nodiscard]] Status next_line(std::string_view& message) {
    while (true) {
      const std::size_t from = std::max(scanned_, begin_);
      const void* newline = std::memchr(buffer_.data() + from, '\n', end_ - from);
      if (newline == nullptr) {
        scanned_ = end_;
        if (end_ - begin_ <= max_message_) return Status::need_more;
        begin_ = end_;
        skip_line_ = true;
        return Status::too_large;
      }
      const auto at = static_cast<std::size_t>(static_cast<const char*>(newline) - buffer_.data());
      std::string_view line(buffer_.data() + begin_, at - begin_);
      begin_ = at + 1;
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      if (line.empty()) {
        if (begin_ == end_) return Status::need_more;
        continue;
      }
      if (line.size() > max_message_) return Status::too_large;
      message = line;
      return Status::message;
    }
  }

  // Status::message: a message begins here.
  [[nodiscard]] Status skip_noise() {
    while (true) {
      const std::string_view held(buffer_.data() + begin_, end_ - begin_);
      if (may_begin_with(held, kLengthName))
        return held.size() >= kLengthName.size() ? Status::message : Status::need_more;
      if (held.starts_with(kByteOrderMark) && skipped_ < kMaxNoise) {
        begin_ += kByteOrderMark.size();
        skipped_ += kByteOrderMark.size();
        continue;
      }
      const std::size_t from = std::max(scanned_, begin_);
      const void* newline = std::memchr(buffer_.data() + from, '\n', end_ - from);
      const bool whole = newline != nullptr;
      const std::size_t end =
          whole ? static_cast<std::size_t>(static_cast<const char*>(newline) - buffer_.data()) + 1 : end_;
      if (skipped_ + (end - begin_) > kMaxNoise)
        return broke("more than " + std::to_string(kMaxNoise >> 10) + " KiB without one");
      scanned_ = end;
      if (!whole) return Status::need_more;
      const std::string_view line = held.substr(0, end - begin_);
      // A header that may stand before the length, and has no meaning here.
      constexpr std::string_view kTypeName = "content-type:";
      const bool is_type = line.size() > kTypeName.size() && may_begin_with(line, kTypeName);
      if (line != "\n" && line != "\r\n" && !is_type) keep_noise(line);
      skipped_ += line.size();
      begin_ = end;
    }
  }
  void keep_noise(std::string_view text) { noise_ += text.substr(0, kNoiseKept - noise_.size()); }

  [[nodiscard]] Status next_with_headers(std::string_view& message) {
    const std::string_view held(buffer_.data() + begin_, end_ - begin_);
    std::size_t body = 0, length = 0;
    const std::size_t size = header_size(held.substr(0, kMaxHeader), handling_, body);
    if (size == std::string_view::npos) {
      if (held.size() < kMaxHeader) return Status::need_more;
      return broke("a header block longer than " + std::to_string(kMaxHeader) + " bytes");
    }
    if (!content_length(held.substr(0, size), length)) return Status::broken;
    if (length > max_message_) {
      begin_ += body;
      skip_left_ = length;
      skipped_ = 0;
      return Status::too_large;
    }
    if (held.size() - body < length) return Status::need_more;
    message = held.substr(body, length);
    begin_ += body + length;
    skipped_ = 0;
    return Status::message;
  }

  [[nodiscard]] bool content_length(std::string_view headers, std::size_t& length) {
    const std::string_view line_end = skips_noise() ? "\n" : "\r\n";
    bool found = false;
    while (!headers.empty()) {
      const std::size_t end = std::min(headers.find(line_end), headers.size());
      std::string_view line = headers.substr(0, end);
      headers.remove_prefix(std::min(end + line_end.size(), headers.size()));
      if (skips_noise() && line.ends_with('\r')) line.remove_suffix(1);
      const std::size_t colon = line.find(':');
      if (colon == std::string_view::npos) {
        (void)broke("a header line without a colon");
        return false;
      }
      if (colon + 1 != kLengthName.size() || !may_begin_with(line, kLengthName)) continue;
      std::string_view value = line.substr(colon + 1);
      while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
      while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
      const auto [stop, failed] = std::from_chars(value.data(), value.data() + value.size(), length);
      if (failed != std::errc() || stop != value.data() + value.size() || value.empty() || found) {
        (void)broke("a Content-Length that is no single number");
        return false;
      }
      found = true;
    }
    if (!found) (void)broke("a header block without Content-Length");
    return found;
  }

  Status broke(std::string why) {
    error_ = std::move(why);
    if (skips_noise()) keep_noise(held());
    return Status::broken;
  }

  [[nodiscard]] bool skips_noise() const { return handling_ == Noise::skipped; }
  [[nodiscard]] static bool is_same_letter(char lower, char any) {
    return lower == (any >= 'A' && any <= 'Z' ? static_cast<char>(any + 32) : any);
  }

  const std::size_t max_message_;
  const Noise handling_;
  Framing framing_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t scanned_ = 0;
  std::size_t skip_left_ = 0;
  bool skip_line_ = false;
  std::size_t skipped_ = 0;  ///< bytes of noise since the last message
  std::string noise_;
  std::string error_;
};

}  // namespace gantry
