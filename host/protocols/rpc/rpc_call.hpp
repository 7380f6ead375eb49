// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/rpc_call.hpp: a client's call, which is also the way back to the client, for
// the answer and all messages before it.
//
// Thread rule: any thread. A session that is gone receives nothing.
// Never: a message of a call follows its answer; a part of a batch leaves before the last part is
// there.
#pragma once

#include <gantry/mutex.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "host/protocols/rpc/session.hpp"
#include "host/router/routed_call.hpp"

namespace gantry::host {

/// Gathers the answers to one batch; they are sent together when the last one is there.
class RpcSession::Batch {
 public:
  Batch(std::weak_ptr<RpcSession> session, std::size_t expected) : session_(std::move(session)), missing_(expected) {}
  /// Adds the parts of one answer; no parts: that message gets no answer.
  void add(std::initializer_list<std::string_view> parts);

 private:
  const std::weak_ptr<RpcSession> session_;
  Mutex mutex_;
  std::size_t missing_ GANTRY_GUARDED_BY(mutex_);
  std::string answers_ GANTRY_GUARDED_BY(mutex_);
};

class RpcSession::RpcCall final : public RoutedCall {
 public:
  RpcCall(std::weak_ptr<RpcSession> session, std::string_view id, std::shared_ptr<Batch> batch, CallRequest&& request)
      : RoutedCall(std::move(request)), session_(std::move(session)), id_(id), batch_(std::move(batch)) {}

  /// The id as the client wrote it.
  [[nodiscard]] const std::string& token() const { return id_; }
  void item(std::string_view payload) override;
  [[nodiscard]] bool has_room() const override;
  void item_end() override;
  void credit(std::uint32_t items) override;
  void progress(std::string_view payload) override;
  void answered(Result<Answer> answer) override;
  void answered_text(std::string_view text) override;

 private:
  friend class RpcSession;
  /// The parts of the answer.
  void answer(std::initializer_list<std::string_view> parts);
  void notify(std::string_view head, std::string_view middle, std::string_view payload);

  const std::weak_ptr<RpcSession> session_;
  const std::string id_;
  const std::shared_ptr<Batch> batch_;
  bool answered_ = false;  ///< guarded by the session's lock
};

}  // namespace gantry::host
