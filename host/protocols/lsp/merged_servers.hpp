// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/lsp/merged_servers.hpp: several language servers that are one to an editor.
//
// Completion, code actions, references, colors and diagnostics are merged. All other requests go to the first server
// that says that it answers them; some of them to the next, if the first has nothing to say, or fails (falls_back()).
// What an answer leads to (resolve, commands) goes to the server of that answer. Requests that the specification does
// not know go to the first server; such notifications to the servers that speak of the like, else to the first; the
// notifications of the specification to all. `initializationOptions` are the first server's: the others take theirs
// from their tables.
//
// `initialize` and `shutdown` are answered when all have answered, are gone, or go_on_without() says so. A server that
// is gone takes what stands of it along: diagnostics, progress, questions, registrations. The others go on.
//
// Texts go to each server as to any editor's, in the order in which they come. All servers count positions in UTF-16.
//
// Source: LSP 3.18.
// Thread rule: none of its own. Pure: what comes in is answered with what is to be sent.
// Bounds: kMaxRequests open requests of the editor: further ones are answered with an error. kMaxStanding open
//   questions of a server: further ones are answered with an error; so many progress tokens are ended with it.
//   kMaxCommands commands of answers are known, then all are forgotten; kMaxExtensions beginnings of methods of a
//   server. See published.hpp and features.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <gantry/json.hpp>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "host/protocols/lsp/answers.hpp"
#include "host/protocols/lsp/features.hpp"
#include "host/protocols/lsp/published.hpp"

namespace gantry::host {

class MergedServers {
 public:
  static constexpr std::size_t kEditor = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t kMaxRequests = 4096;
  static constexpr std::size_t kMaxStanding = 4096;
  static constexpr std::size_t kMaxCommands = 4096;
  static constexpr std::size_t kMaxExtensions = 64;

  struct Message {
    std::size_t to = kEditor;  ///< a server's number, or kEditor
    std::string text;          ///< empty: the server is not used any more
  };
  using Messages = std::vector<Message>;

  /// The servers by name; the first counts most.
  explicit MergedServers(std::vector<std::string> names);

  /// `text`: a message, in valid UTF-8.
  [[nodiscard]] Messages from_editor(std::string_view text);
  [[nodiscard]] Messages from_server(std::size_t server, std::string_view text);
  /// The server has ended.
  [[nodiscard]] Messages gone(std::size_t server, const std::string& why);

  /// Some have answered `initialize` or `shutdown`, and others have not.
  [[nodiscard]] bool waits_for_some() const;
  /// Those are not waited for any longer, and not used any more.
  [[nodiscard]] Messages go_on_without();

 private:
  struct Server {
    std::string name;
    ServerFeatures features{};
    bool gone = false;
    std::set<std::string> asks{};        ///< the ids of its open questions, as raw text
    std::set<std::string> tokens{};      ///< of its progress, likewise
    std::set<std::string> extensions{};  ///< how its methods begin that the specification does not know
  };
  /// A request of the editor.
  struct Asked {
    json id;
    std::string method;
    json params;                   ///< to ask the next with
    std::set<std::size_t> open{};  ///< the servers that have it
    std::deque<std::size_t> next{};
    std::vector<ServerResult> results{};
    json error{};                         ///< of those that had one; null: none
    bool merged = false;                  ///< the results are one answer
    std::optional<std::size_t> marked{};  ///< the result is an item of this server's, to be marked
    bool cancelled = false;               ///< by the editor
  };
  using Requests = std::map<std::string, Asked>;  // by the editor's id, as raw text

  // The editor's messages.
  void ask(const json& message);
  void tell(const json& message, std::string_view raw);
  void answer_server(json message);
  void ask_those_that_answer(Asked asked);
  void resolve(Asked asked);
  void begin(Asked asked, const std::vector<std::size_t>& servers);
  void send(std::size_t server, const Asked& asked);
  [[nodiscard]] bool concerns(std::size_t server, const Asked& asked) const;

  // The servers' messages, and their ends.
  void answered(std::size_t server, json message);
  void take(Requests::iterator it, std::size_t server, json message);
  void finish(Requests::iterator it);
  void learn_from(std::size_t server, const Asked& asked, const json& result);
  [[nodiscard]] bool has_legend(std::size_t server) const;
  [[nodiscard]] json result_of(Asked& asked);
  [[nodiscard]] json welcome(std::vector<ServerResult>& results);
  void question(std::size_t server, json message);
  void notice(std::size_t server, json message, std::string_view raw);
  static void speaks_of(Server& server, const std::string& method);
  static void follow_progress(Server& server, const std::string& token, const json& kind);
  void tell_gone(std::size_t server, const std::string& why);
  void leave(std::size_t server, const std::string& why);

  void to_editor(const json& message);
  void to_editor(const char* method, json params);
  void fail(const json& id, int code, const std::string& why);
  [[nodiscard]] std::vector<std::size_t> live() const;
  [[nodiscard]] bool is_editors(std::size_t server, const json& token) const;

  std::vector<Server> servers_;
  Requests asked_;
  PublishedDiagnostics published_;
  std::map<std::string, std::size_t> commands_;  // with their arguments: which server has given them
  json legend_;                                  // of semantic tokens, as the editor was told; null: it was not
  std::vector<std::pair<std::size_t, std::string>> left_out_;  // before `initialize` is answered, and why
  Messages out_;
  std::uint64_t last_id_ = 0;
  bool greeted_ = false;   ///< `initialize` was sent
  bool answered_ = false;  ///< ... and answered
  bool leaving_ = false;   ///< `shutdown` was sent
};

}  // namespace gantry::host
