// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/plugin_call.hpp: one call that a plugin owes an answer.
#pragma once

#include <gantry/abi.h>

#include <atomic>
#include <gantry/mutex.hpp>
#include <memory>
#include <string>
#include <utility>

#include "host/plugins/plugin.hpp"

namespace gantry::host {

class PluginCall final : public ActiveCall, public std::enable_shared_from_this<PluginCall> {
 public:
  PluginCall(std::weak_ptr<Plugin> plugin, std::uint64_t id, std::shared_ptr<CallSink> sink)
      : id_(id), plugin_(std::move(plugin)), sink_(std::move(sink)) {}

  /// Before begin(), by who opened it: the plugin cannot take it.
  void refuse(Error error) { refused_ = std::move(error); }
  [[nodiscard]] std::optional<Error>& refused() { return refused_; }
  /// Once: the plugin hears of it.
  void begin(CallRequest request);
  /// The call is about to be delivered, with so much credit.
  void allow(std::uint32_t credit);
  /// It never ends by itself.
  void attach() { attach_ = true; }
  [[nodiscard]] bool is_attach() const { return attach_; }
  /// It is on its way: what its caller said meanwhile follows it, never overtakes it.
  void begun();

  // From the caller.
  [[nodiscard]] Result<void> send_item(std::string payload) override;
  void send_end() override;
  void give_credit(std::uint32_t items) override;
  void cancel() override;

  // From the plugin: enum gantry_sent.
  [[nodiscard]] std::int32_t take_item(std::string_view payload);
  [[nodiscard]] std::int32_t take_end();
  [[nodiscard]] std::int32_t take_credit(std::uint32_t items);
  [[nodiscard]] std::int32_t take_progress(std::string_view payload);
  /// Answers, once.
  void finish(Result<Answer> answer);

  [[nodiscard]] bool over() const;
  [[nodiscard]] std::uint64_t id() const { return id_; }

 private:
  void deliver_end();
  void deliver_credit();
  // The one who listens, unless the call is over.
  [[nodiscard]] std::shared_ptr<CallSink> listener() const;

  const std::uint64_t id_;
  const std::weak_ptr<Plugin> plugin_;
  std::optional<Error> refused_;
  std::atomic<bool> attach_{false};
  mutable Mutex mutex_;
  std::shared_ptr<CallSink> sink_ GANTRY_GUARDED_BY(mutex_);
  bool begun_ GANTRY_GUARDED_BY(mutex_) = false;
  std::uint64_t out_credit_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t in_credit_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t undelivered_credit_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool cancelled_ GANTRY_GUARDED_BY(mutex_) = false;
  bool ended_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
