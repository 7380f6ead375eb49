// SPDX-License-Identifier: Apache-2.0
//
// documents.hpp: the texts of an editor's open documents, as its server knows them, for a restarted
// server.
//
// It follows the document notifications in the order in which the server gets them, in full and
// incremental sync.
//
// Thread rule: one thread at a time.
// Bounds: kMaxBytes of text over all documents. Beyond that, or after an invalid change, nothing is
//   followed any more, the texts are freed, and `lost()` says why: a replay would send wrong texts.
#pragma once

#include <cstddef>
#include <functional>
#include <gantry/json.hpp>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace simdjson::dom {
class parser;
}

namespace gantry::lsp {

enum class Encoding { utf8, utf16, utf32 };

/// The bytes of the code point that begins so, in UTF-8.
[[nodiscard]] constexpr std::size_t sequence_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  if (byte < 0x80) return 1;
  if (byte >= 0xF0) return 4;
  return byte >= 0xE0 ? 3 : 2;
}

/// The key of a document: the path that its URI names, or the URI, if that names no file of this machine. So two
/// spellings of one file's URI are one document.
[[nodiscard]] std::string document_key(std::string_view uri);
/// The key of the document that these params (raw text) name as their `textDocument`; empty: none.
[[nodiscard]] std::string document_in(std::string_view params);

/// The text of a didOpen notification.
[[nodiscard]] std::string did_open(const std::string& uri, const std::string& language, long long version,
                                   const std::string& text);

/// The offset in `text` of a position. A character behind the end of its line means that end; a
/// line behind the last, the end of the text.
[[nodiscard]] std::size_t offset_of(std::string_view text, std::size_t line, std::size_t character, Encoding encoding);

class TrackedDocuments {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{64} << 20;

  struct Document {
    std::string uri;  // the URI that the document was opened with
    std::string language;
    long long version = 0;
    std::string text;
  };

  TrackedDocuments();
  ~TrackedDocuments();
  TrackedDocuments(const TrackedDocuments&) = delete;
  TrackedDocuments& operator=(const TrackedDocuments&) = delete;

  [[nodiscard]] static bool concerns(std::string_view method) {
    return method == "textDocument/didOpen" || method == "textDocument/didChange" || method == "textDocument/didClose";
  }

  void set_encoding(Encoding encoding) { encoding_ = encoding; }
  void clear() {
    documents_.clear();
    bytes_ = 0;
  }
  /// Follows one notification; `params` is the raw text of its params. Returns the language of a
  /// document that it opens, or empty.
  std::string follow(std::string_view method, std::string_view params);
  /// Why the texts are unknown; empty while they are known.
  [[nodiscard]] const std::string& lost() const { return lost_; }
  /// False: one more message of this size might be too much.
  [[nodiscard]] bool has_room(std::size_t message) const { return bytes_ + message <= kMaxBytes; }
  [[nodiscard]] std::size_t size() const { return documents_.size(); }
  /// By document_key().
  [[nodiscard]] const std::map<std::string, Document>& all() const { return documents_; }
  [[nodiscard]] const Document* find(const std::string& key) const {
    const auto it = documents_.find(key);
    return it == documents_.end() ? nullptr : &it->second;
  }
  /// The state for restore() in the plugin's next instance.
  [[nodiscard]] json suspend() const;
  /// Throws json::exception when `suspended` does not come from suspend().
  void restore(const json& suspended);
  /// Sends a didOpen notification for each document, under the URI that it was opened with.
  void replay(const std::function<void(std::string_view message)>& send) const;

 private:
  struct Parsed;

  std::string open(const Parsed& params);
  void change(const Parsed& params);
  void lose(std::string why);
  void grown(std::size_t before, std::size_t after);

  std::unique_ptr<simdjson::dom::parser> parser_;
  std::map<std::string, Document> documents_;  // by path; documents that are no file of this machine by URI
  std::size_t bytes_ = 0;
  Encoding encoding_ = Encoding::utf16;
  std::string lost_;
};

}  // namespace gantry::lsp
