// SPDX-License-Identifier: Apache-2.0
//
// documents.hpp: the texts that an editor has open, as its server knows them, so that a restarted server can be told.
//
// Follows the document notifications in the order in which the server gets them, in full and incremental sync.
//
// Thread rule: one thread at a time.
// Bounds: kMaxBytes of text over all documents. Beyond it, or after a change that makes no sense, nothing is followed
//   any more, the texts are freed, and `lost()` says why: a replay would lie.
#pragma once

#include <cstddef>
#include <functional>
#include <gantry/json.hpp>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace simdjson::dom {
class parser;
}

namespace gantry::lsp {

enum class Encoding { utf8, utf16, utf32 };

/// The offset in `text` of a position. A character behind the line's end means the line's end; a line behind the last,
/// the text's end.
[[nodiscard]] std::size_t offset_of(std::string_view text, std::size_t line, std::size_t character, Encoding encoding);

class TrackedDocuments {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{64} << 20;

  TrackedDocuments();
  ~TrackedDocuments();
  TrackedDocuments(const TrackedDocuments&) = delete;
  TrackedDocuments& operator=(const TrackedDocuments&) = delete;

  [[nodiscard]] static bool concerns(std::string_view method) {
    return method == "textDocument/didOpen" || method == "textDocument/didChange" || method == "textDocument/didClose";
  }

  void set_encoding(Encoding encoding) { encoding_ = encoding; }
  /// `params`: the raw text of that notification's params.
  /// Returns the language of the document that is opened by it, if one is.
  std::string follow(std::string_view method, std::string_view params);
  /// Empty while the texts are known.
  [[nodiscard]] const std::string& lost() const { return lost_; }
  [[nodiscard]] std::size_t size() const { return documents_.size(); }
  /// For the instance of the plugin that comes next, whose restore() goes on with it.
  [[nodiscard]] json suspend() const;
  /// Throws json::exception when it is not what suspend() returns.
  void restore(const json& suspended);
  /// A didOpen notification for each document, under the URI that it was opened with.
  void replay(const std::function<void(std::string_view message)>& send) const;

 private:
  struct Document {
    std::string uri;  // as it was opened
    std::string language;
    long long version = 0;
    std::string text;
  };
  struct Parsed;

  std::string open(const Parsed& params);
  void change(const Parsed& params);
  void lose(std::string why);
  void grown(std::size_t before, std::size_t after);

  std::unique_ptr<simdjson::dom::parser> parser_;
  std::map<std::string, Document> documents_;  // by path; what is no file of this machine by URI
  std::size_t bytes_ = 0;
  Encoding encoding_ = Encoding::utf16;
  std::string lost_;
};

}  // namespace gantry::lsp
