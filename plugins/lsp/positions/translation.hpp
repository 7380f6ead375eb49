// SPDX-License-Identifier: Apache-2.0
//
// translation.hpp: the positions in the messages of a server that counts characters in another encoding than its
// clients.
//
// The protocol lets a server choose among the encodings that the client offers, and each client understands UTF-16
// (LSP 3.17, general.positionEncodings). Some servers count otherwise all the same, because they were started so or
// know no other way. The clients are told UTF-16 then, and each position in a message to the server or from it is
// counted anew, in the text that the server has at that moment: of a document that is open its text, else the file's.
//
// Translated: positions and ranges, wherever they stand with the document that they belong to; folds, semantic tokens,
// the offsets of a signature's parameters. Not looked into: `data`, the arguments of commands, settings. Semantic
// tokens are not offered as differences (`full.delta`). The item of a completion, code lens, link, hint or code action
// names no document: its `data` does, between here and the client.
//
// Thread rule: one thread at a time. Files that are not open are read then and there, under the caller's lock.
// Bounds: kMaxFiles files of kMaxFileBytes in all are read for one message, kMaxRequests open requests are remembered,
//   and the texts of open documents as documents.hpp says: beyond that, or after an invalid change, no position of the
//   server is counted anew. Positions in further files, and in the cells of notebooks, stay as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <gantry/json.hpp>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "plugins/lsp/documents.hpp"

namespace gantry::lsp {

/// "utf-8", "utf-16", "utf-32": the protocol's names. Nothing: the name of no encoding.
[[nodiscard]] std::optional<Encoding> encoding_named(std::string_view name);
[[nodiscard]] std::string_view name(Encoding encoding);
/// The encoding of a server, by the result of its `initialize`, or by clangd's older `offsetEncoding` there.
[[nodiscard]] Encoding encoding_in(const json& result);
/// What a client understands, by the params of its `initialize`: UTF-16, and what it offers.
[[nodiscard]] std::set<Encoding> encodings_offered(const json& params);

class PositionTranslation {
 public:
  static constexpr std::size_t kMaxFiles = 1000;
  static constexpr std::size_t kMaxFileBytes = std::size_t{64} << 20;
  static constexpr std::size_t kMaxRequests = 10'000;

  /// Nothing: there is no such file, or it is too large.
  using ReadFile = std::function<std::optional<std::string>(const std::string& path)>;

  PositionTranslation(Encoding servers, ReadFile read_file);

  /// The answer to `initialize`, as the clients have to see it.
  [[nodiscard]] std::string welcome(std::string_view message) const;
  /// A message for the server. Its requests have ids that are whole numbers.
  [[nodiscard]] std::string to_server(std::string_view message);
  [[nodiscard]] std::string to_client(std::string_view message);

  /// The state for the plugin's next instance.
  [[nodiscard]] json suspend() const;
  /// The same without what is open.
  [[nodiscard]] json suspend_closed() const { return PositionTranslation(servers_, {}).suspend(); }
  /// Throws json::exception when `suspended` does not come from suspend().
  PositionTranslation(const json& suspended, ReadFile read_file);

 private:
  static constexpr Encoding kClients = Encoding::utf16;

  class Pass;
  struct Request {
    std::string method, uri;
    std::string partial{};  ///< its token for partial results, raw
  };

  [[nodiscard]] bool follow_changes(json& params);
  [[nodiscard]] std::string note_request(long long id, const std::string& method, json& params, bool& changed);
  void translate_result(const Request& request, json& result, Pass& pass) const;

  const Encoding servers_;
  const ReadFile read_file_;
  TrackedDocuments documents_;  ///< as the server has them
  std::map<long long, Request> requests_;
};

}  // namespace gantry::lsp
