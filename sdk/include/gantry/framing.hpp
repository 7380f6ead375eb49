// SPDX-License-Identifier: Apache-2.0
//
// gantry/framing.hpp: where one message ends and the next begins, on a byte stream.
//
// Two framings: `Content-Length` headers, as in LSP, and one message a line. A FrameDecoder finds out from the first
// byte which one the peer speaks, unless it is told.
//
// Thread rule: one thread at a time.
// Bounds: a message longer than max_message is skipped, not stored, and reported once as `too_large`; a header block
//   longer than kMaxHeader, or one without a valid Content-Length, breaks the stream for good (`broken`).
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

namespace gantry {

enum class Framing { unknown, headers, lines };

/// Appends one framed message to `out`. For `lines` the message must not contain a newline.
inline void append_frame(std::string& out, Framing framing, std::string_view message) {
  if (framing == Framing::headers) {
    out += "Content-Length: ";
    out += std::to_string(message.size());
    out += "\r\n\r\n";
    out += message;
  } else {
    out += message;
    out += '\n';
  }
}

class FrameDecoder {
 public:
  static constexpr std::size_t kMaxHeader = 8192;
  /// simdjson reads up to this many bytes behind a message; they lie within the buffer.
  static constexpr std::size_t kPadding = 64;

  enum class Status {
    message,    ///< `message` holds one
    need_more,  ///< feed more bytes
    too_large,  ///< one message was over the limit and is being skipped
    broken      ///< the stream cannot be understood any more; `error` says why
  };

  explicit FrameDecoder(std::size_t max_message, Framing framing = Framing::unknown)
      : max_message_(max_message), framing_(framing) {}

  [[nodiscard]] Framing framing() const { return framing_; }
  [[nodiscard]] const std::string& error() const { return error_; }
  /// Bytes held.
  [[nodiscard]] std::size_t buffered() const { return end_ - begin_; }
  /// Bytes of memory that hold them, and have room for more.
  [[nodiscard]] std::size_t allocated() const { return buffer_.size(); }

  /// They themselves, until the next call: fed to another decoder it goes on here, unless this one is skipping.
  [[nodiscard]] std::string_view held() const { return std::string_view(buffer_).substr(begin_, end_ - begin_); }
  [[nodiscard]] bool skipping() const { return skip_left_ > 0 || skip_line_; }

  /// Room for at least `size` bytes, to be filled by the caller; then commit(). Invalidates messages.
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

  /// The next message; it stays valid until the next prepare(), feed() or release().
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
      return framing_ == Framing::headers ? next_with_headers(message) : next_line(message);
    }
  }

  /// After next() has said need_more: what is held of a message is dropped, and the rest of it will be skipped. False:
  /// nothing is held of any but a header.
  bool abandon() {
    if (begin_ == end_ || skipping() || !error_.empty()) return false;
    if (framing_ == Framing::lines) {
      skip_line_ = true;
    } else {
      const std::string_view held(buffer_.data() + begin_, end_ - begin_);
      const std::size_t blank = held.substr(0, kMaxHeader).find("\r\n\r\n");
      std::size_t length = 0;
      if (blank == std::string_view::npos || !content_length(held.substr(0, blank), length)) return false;
      skip_left_ = length - (held.size() - blank - 4);
    }
    begin_ = end_;
    return true;
  }

  /// Gives memory back that one large message has claimed.
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

  [[nodiscard]] Status next_with_headers(std::string_view& message) {
    const std::string_view held(buffer_.data() + begin_, end_ - begin_);
    const std::size_t blank = held.substr(0, kMaxHeader).find("\r\n\r\n");
    if (blank == std::string_view::npos) {
      if (held.size() < kMaxHeader) return Status::need_more;
      return broke("a header block longer than " + std::to_string(kMaxHeader) + " bytes");
    }
    std::size_t length = 0;
    if (!content_length(held.substr(0, blank), length)) return Status::broken;
    const std::size_t body = blank + 4;
    if (length > max_message_) {
      begin_ += body;
      skip_left_ = length;
      return Status::too_large;
    }
    if (held.size() - body < length) return Status::need_more;
    message = held.substr(body, length);
    begin_ += body + length;
    return Status::message;
  }

  [[nodiscard]] bool content_length(std::string_view headers, std::size_t& length) {
    bool found = false;
    while (!headers.empty()) {
      const std::size_t end = std::min(headers.find("\r\n"), headers.size());
      const std::string_view line = headers.substr(0, end);
      headers.remove_prefix(std::min(end + 2, headers.size()));
      const std::size_t colon = line.find(':');
      if (colon == std::string_view::npos) {
        (void)broke("a header line without a colon");
        return false;
      }
      constexpr std::string_view kName = "content-length";
      const bool is_length =
          colon == kName.size() && std::equal(kName.begin(), kName.end(), line.begin(), [](char a, char b) {
            return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b + 32) : b);
          });
      if (!is_length) continue;
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
    return Status::broken;
  }

  const std::size_t max_message_;
  Framing framing_;
  std::string buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t scanned_ = 0;
  std::size_t skip_left_ = 0;
  bool skip_line_ = false;
  std::string error_;
};

}  // namespace gantry
