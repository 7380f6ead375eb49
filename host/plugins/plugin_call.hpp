// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/plugin_call.hpp: one call that a plugin owes an answer.
//
// A stream may pass from an instance of its plugin to the next one: park(), then resume(). What its caller says
// meanwhile waits here, in order, behind what the instance before was not given any more.
#pragma once

#include <gantry/abi.h>

#include <atomic>
#include <gantry/mutex.hpp>
#include <list>
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
  /// Before its delivery: what is called, and who calls.
  void name(const std::string& method, OriginId origin);
  /// Empty before begin().
  [[nodiscard]] std::string method() const;
  /// 0 before begin().
  [[nodiscard]] OriginId origin() const { return origin_; }
  /// The call is about to be delivered, with so much credit.
  void allow(std::uint32_t credit);
  /// It never ends by itself.
  void attach() { attach_ = true; }
  [[nodiscard]] bool is_attach() const { return attach_; }
  /// It is cancelled as soon as its plugin is to be replaced.
  void background() { background_ = true; }
  [[nodiscard]] bool is_background() const { return background_; }
  /// Before its delivery: it is a stream, which is opened again so for another instance.
  void keep(const CallRequest& opening);
  [[nodiscard]] bool is_kept() const { return kept_; }
  void stream() { stream_ = true; }
  [[nodiscard]] bool is_stream() const { return stream_; }
  /// It is on its way: what its caller said meanwhile follows it, never overtakes it.
  void begun();

  /// A stream of keep(): its plugin hears no more of it.
  void park();
  /// Of one that is parked: what its plugin was sent and has not been given. In a process of its own only.
  struct Undelivered {
    std::list<std::string> items;
    bool end = false;
  };
  [[nodiscard]] Undelivered undelivered();
  /// That comes before what waits here.
  void put_back(Undelivered undelivered);
  /// It is `heir`'s, in whose table it stands, from now on.
  void resume(const std::shared_ptr<Plugin>& heir);
  /// In a process of its own: it is opened by a host that has resumed it, and that counts the credit of its items.
  void resumed_by_host();
  [[nodiscard]] bool is_resumed() const { return resumed_; }

  // From the caller.
  [[nodiscard]] Result<void> send_item(std::string payload) override;
  void send_end() override;
  void give_credit(std::uint32_t items) override;
  void cancel() override;

  // From the plugin: enum gantry_sent.
  /// GANTRY_FULL: no credit, or the caller has no room; the plugin hears of it by GANTRY_CREDIT when there is some.
  [[nodiscard]] std::int32_t take_item(std::string_view payload);
  /// The same for a plugin that cannot try again: what finds no room waits here, within the credit.
  [[nodiscard]] std::int32_t take_item_for_good(std::string payload);
  [[nodiscard]] std::int32_t take_end();
  [[nodiscard]] std::int32_t take_credit(std::uint32_t items);
  [[nodiscard]] std::int32_t take_progress(std::string_view payload);
  /// Answers, once.
  void finish(Result<Answer> answer);

  [[nodiscard]] bool over() const;
  [[nodiscard]] std::uint64_t id() const { return id_; }

 private:
  void deliver_item();
  void deliver_end();
  void deliver_credit();
  void deliver_cancel();
  [[nodiscard]] bool is_with(const Plugin& plugin) const GANTRY_REQUIRES(mutex_);
  /// The next item for `plugin`; empty: there is none, or the call is no longer with it.
  [[nodiscard]] std::optional<std::string> next_item(const Plugin& plugin);
  [[nodiscard]] std::shared_ptr<Plugin> plugin() const;
  static void hand_item(Plugin& plugin, std::uint64_t id, const std::string& text);
  /// False: give_credit(0) will come.
  [[nodiscard]] bool finds_room(const CallSink& sink);
  void send_late();
  // The one who listens, unless the call is over.
  [[nodiscard]] std::shared_ptr<CallSink> listener() const;

  /// What a stream is opened with.
  struct Opening {
    std::string method;
    std::string params;
    OriginId origin;
    Deadline deadline;
    std::string traceparent;
    std::string idempotency_key;
  };

  const std::uint64_t id_;
  std::optional<Error> refused_;
  std::atomic<OriginId> origin_{0};
  std::atomic<bool> attach_{false};
  std::atomic<bool> background_{false};
  std::atomic<bool> stream_{false};
  std::atomic<bool> kept_{false};
  std::atomic<bool> resumed_{false};
  mutable Mutex mutex_;
  std::weak_ptr<Plugin> plugin_ GANTRY_GUARDED_BY(mutex_);
  std::string method_ GANTRY_GUARDED_BY(mutex_);
  std::optional<Opening> opening_ GANTRY_GUARDED_BY(mutex_);
  std::list<std::string> items_ GANTRY_GUARDED_BY(mutex_);  ///< that its plugin is to be given
  std::shared_ptr<CallSink> sink_ GANTRY_GUARDED_BY(mutex_);
  bool held_back_ GANTRY_GUARDED_BY(mutex_) = false;  ///< until there is room
  bool room_untold_ GANTRY_GUARDED_BY(mutex_) = false;
  struct Late {  ///< what waits for room: items, then the end of them, then the answer
    std::list<std::string> items;
    bool sending = false;
    bool end = false;
    std::optional<Result<Answer>> answer;
  };
  Late late_ GANTRY_GUARDED_BY(mutex_);
  bool begun_ GANTRY_GUARDED_BY(mutex_) = false;
  std::uint64_t out_credit_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t in_credit_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t undelivered_credit_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool cancelled_ GANTRY_GUARDED_BY(mutex_) = false;
  bool ended_ GANTRY_GUARDED_BY(mutex_) = false;
  bool end_handed_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
