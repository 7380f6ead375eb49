// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/mcp/requests.hpp: the client's requests that wait for their response, and the
// messages that belong to them.
//
// Thread rule: one thread.
// Bounds: kMaxOpen requests of a client; one more is refused.
// Never: a request has two responses, or any message after its response or its cancellation.
#pragma once

#include <cstdint>
#include <functional>
#include <gantry/json.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/protocols/mcp/links.hpp"
#include "host/protocols/mcp/protocol.hpp"

namespace gantry::host::mcp {

/// Requests of 2025-03-26 that came in one array: their responses leave in one array.
struct Batch {
  std::size_t open = 0;
  std::vector<std::string> responses;
};

struct Request {
  std::string id;  ///< as JSON text
  std::string method;
  std::string params;  ///< one JSON object, with room behind it for the parser
  const Revision* revision = nullptr;
  json capabilities = json::object();  ///< of the client
  std::optional<int> log_level;        ///< from which severity on the client wants log messages
  std::string traceparent;             ///< W3C Trace Context; empty: none
  json progress_token;                 ///< null: it wants no progress
  double progress = -1;                ///< the last that was sent; it has to rise
  std::shared_ptr<Batch> batch{};
  std::function<void()> on_cancel{};
  bool open = false;
};
using RequestPtr = std::shared_ptr<Request>;

class Requests {
 public:
  static constexpr std::size_t kMaxOpen = 256;

  explicit Requests(ClientLink& client) : client_(client) {}
  Requests(const Requests&) = delete;
  Requests& operator=(const Requests&) = delete;
  ~Requests();

  /// False: the request was answered with an error; its id is in use, or too many are open.
  [[nodiscard]] bool add(const RequestPtr& request);
  [[nodiscard]] bool cancel(const std::string& id);
  [[nodiscard]] std::size_t open() const { return open_.size(); }

  /// `result` gets what the revision wants in each result.
  void reply(const RequestPtr& request, json result);
  /// `members` is the text of an object's members, without braces; `_meta` is none of them.
  void reply_members(const RequestPtr& request, std::string members);
  void fail(const RequestPtr& request, const Failure& failure);
  /// A message that belongs to the request, if it is open.
  void notify(const RequestPtr& request, std::string_view method, const json& params);
  void progress(const RequestPtr& request, std::string_view message, std::optional<double> percentage);
  void log(const RequestPtr& request, std::string_view item);

  /// An error for a message whose id cannot be used.
  void refuse(std::string_view id, const Failure& failure, const std::shared_ptr<Batch>& batch);
  /// The batch was read to its end.
  void end_batch(const std::shared_ptr<Batch>& batch);

 private:
  void close(const RequestPtr& request, std::string response);
  void send_if_complete(const Batch& batch);

  ClientLink& client_;
  std::map<std::string, RequestPtr> open_;
};

}  // namespace gantry::host::mcp
