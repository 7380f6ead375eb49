// SPDX-License-Identifier: Apache-2.0
//
// server_asks.hpp: the requests of a server that its clients have yet to answer.
//
// One request goes to one client, or to all of them; each copy has an id of the plugin's own. Of several answers the
// first that is no error is the server's; when all are errors, the last. A request that nobody is left to answer is
// answered by the caller of this class.
//
// Thread rule: one thread at a time.
// Bounds: kMost copies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <gantry/json.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gantry::lsp {

using ClientId = std::uint64_t;

class ServerAsks {
 public:
  static constexpr std::size_t kMost = 1024;

  struct Ask {
    std::string id;  ///< the server's, as raw text; empty: the plugin itself has asked
    std::string method;
    std::string params;  ///< of workspace/configuration, as raw text
  };

  [[nodiscard]] bool full() const { return copies_.size() >= kMost; }
  /// A copy of `ask` for each client goes out under the id beside it.
  void sent(const Ask& ask, const std::vector<std::pair<ClientId, long long>>& copies);

  struct Answered {
    Ask ask;
    ClientId client = 0;
    bool first = false;  ///< its answer is the server's
  };
  /// The client's answer to a copy. Nothing: nobody asked for it.
  [[nodiscard]] std::optional<Answered> answered(ClientId client, long long copy, bool error);
  /// The client answers nothing any more. Returns what nobody is left to answer.
  [[nodiscard]] std::vector<Ask> left(ClientId client);
  /// The copies of the request that the server has withdrawn, which stay open. `id`: as raw text.
  [[nodiscard]] std::vector<std::pair<ClientId, long long>> copies_of(std::string_view id) const;
  [[nodiscard]] bool none() const { return copies_.empty(); }
  /// The copies that the client has not answered.
  [[nodiscard]] std::vector<long long> open_for(ClientId client) const;
  /// Forgets all, and returns the copies.
  [[nodiscard]] std::vector<std::pair<ClientId, long long>> clear();

  [[nodiscard]] json suspend() const;
  /// Throws json::exception when `suspended` does not come from suspend().
  void restore(const json& suspended);

 private:
  struct Open {
    Ask ask;
    std::size_t copies = 0;
    bool done = false;  // the server has its answer
  };
  struct Copy {
    ClientId client = 0;
    std::uint64_t ask = 0;
  };

  std::map<std::uint64_t, Open> asks_;
  std::map<long long, Copy> copies_;  // by their ids
  std::uint64_t last_ = 0;
};

}  // namespace gantry::lsp
