// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/session_reply.hpp: how the answer to one call, and what comes before it, finds
// its way to the client.
//
// Thread rule: any thread. A session that is gone gets nothing.
// Never: anything of a call follows its answer; a part of a batch leaves before the last one is there.
#pragma once

#include <atomic>
#include <gantry/mutex.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "host/protocols/rpc/session.hpp"

namespace gantry::host {

/// Gathers the answers to one batch; they leave together when the last one is there.
class RpcSession::Batch {
 public:
  Batch(std::weak_ptr<RpcSession> session, std::size_t expected) : session_(std::move(session)), missing_(expected) {}
  /// An empty text: that message gets no answer.
  void add(std::string_view text);

 private:
  const std::weak_ptr<RpcSession> session_;
  Mutex mutex_;
  std::size_t missing_ GANTRY_GUARDED_BY(mutex_);
  std::string answers_ GANTRY_GUARDED_BY(mutex_);
};

/// The client's side of one call.
class RpcSession::Reply final : public CallSink {
 public:
  Reply(std::weak_ptr<RpcSession> session, std::string id, std::shared_ptr<Batch> batch)
      : session_(std::move(session)), id_(std::move(id)), batch_(std::move(batch)) {}

  void item(std::string_view payload) override;
  [[nodiscard]] bool has_room() const override;
  void item_end() override;
  void credit(std::uint32_t items) override;
  void progress(std::string_view payload) override;
  void answered(Result<Answer> answer) override;
  [[nodiscard]] bool is_answered() const { return answered_; }

 private:
  void notify(std::string_view head, std::string_view middle, std::string_view payload);

  const std::weak_ptr<RpcSession> session_;
  const std::string id_;
  const std::shared_ptr<Batch> batch_;
  Mutex order_;  // above the session's and the outbox's
  std::atomic<bool> answered_{false};
};

}  // namespace gantry::host
