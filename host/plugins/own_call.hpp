// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/own_call.hpp: the calls that a plugin makes: to services, or back to a client. Each
// answer, item and credit is delivered to the plugin as a message, in order, under the id that the
// plugin chose.
//
// Thread rule: any thread; nothing blocks. No lock is held while the plugin, the port or the callee
// is called.
// Bounds: OwnCalls::kMaxOpen calls, with params of kMaxOpenBytes together (more: GANTRY_FULL; one
// call alone may be as large as a payload may be); items either way within the credit that the
// receiver gave. An item that finds the plugin's mailbox full ends its call with `overloaded`.
// Never: a call that was taken is left without its one GANTRY_RESPONSE, while the plugin lives; a
// client is called back that has no open call at the plugin.
#pragma once

#include <gantry/abi.h>

#include <gantry/mutex.hpp>
#include <memory>
#include <string>
#include <unordered_map>

#include "host/calls/call.hpp"
#include "host/calls/credit.hpp"

namespace gantry::host {

class Plugin;

class OwnCall final : public CallSink, public std::enable_shared_from_this<OwnCall> {
 public:
  OwnCall(std::weak_ptr<Plugin> plugin, std::uint64_t id, std::size_t bytes)
      : id_(id), bytes_(bytes), plugin_(std::move(plugin)) {}

  /// The size of its params.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  /// Sets the object that steers the call; called once.
  void begun(const CallPtr& call);

  // Messages from the plugin; the results are enum gantry_sent.
  [[nodiscard]] std::int32_t take_item(std::string payload);
  [[nodiscard]] std::int32_t take_end();
  [[nodiscard]] std::int32_t take_credit(std::uint32_t items);
  [[nodiscard]] std::int32_t take_cancel();
  /// The plugin is gone; it receives nothing more.
  void drop();
  [[nodiscard]] bool over() const;

  // Messages from the callee.
  void item(std::string_view payload) override;
  void item_end() override;
  void credit(std::uint32_t items) override;
  void progress(std::string_view payload) override;
  void answered(Result<Answer> answer) override;

 private:
  void hand_over(gantry_kind kind, std::uint16_t flags, std::uint32_t credit, std::string payload);
  [[nodiscard]] CallPtr active() const;

  const std::uint64_t id_;
  const std::size_t bytes_;
  const std::weak_ptr<Plugin> plugin_;
  mutable Mutex mutex_;
  CallPtr call_ GANTRY_GUARDED_BY(mutex_);
  Credit out_credit_ GANTRY_GUARDED_BY(mutex_);          ///< items that the plugin may send
  Credit undelivered_credit_ GANTRY_GUARDED_BY(mutex_);  ///< not empty: one message will deliver all of it
  bool cancelled_ GANTRY_GUARDED_BY(mutex_) = false;
  bool over_ GANTRY_GUARDED_BY(mutex_) = false;
};

/// The open calls that one plugin has made.
class OwnCalls {
 public:
  static constexpr std::size_t kMaxOpen = 1024;
  static constexpr std::size_t kMaxOpenBytes = std::size_t{64} << 20;

  /// Handles GANTRY_CALL, GANTRY_ITEM, GANTRY_CREDIT or GANTRY_CANCEL with an id of the plugin's
  /// own; returns enum gantry_sent.
  [[nodiscard]] std::int32_t take(Plugin& plugin, const gantry_msg& msg, std::string payload, Descriptors descriptors);
  [[nodiscard]] bool over(std::uint64_t id) const;
  void forget(std::uint64_t id);
  /// Refuses new calls, and cancels the open ones.
  void close();

 private:
  [[nodiscard]] std::int32_t begin(Plugin& plugin, const gantry_msg& msg, std::string params, Descriptors descriptors);
  [[nodiscard]] std::shared_ptr<OwnCall> find(std::uint64_t id) const;

  mutable Mutex mutex_;
  bool closed_ GANTRY_GUARDED_BY(mutex_) = false;
  std::size_t bytes_ GANTRY_GUARDED_BY(mutex_) = 0;  ///< of the params of all calls
  std::unordered_map<std::uint64_t, std::shared_ptr<OwnCall>> calls_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
