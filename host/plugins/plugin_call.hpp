// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/plugin_call.hpp: a call in the plugin runtime: its id at its plugin, the credits
// both ways, and the caller's messages that came before the plugin has the call.
//
// An attempt begins in Plugin::open(), which enters the call into the plugin's table, and ends when
// it is taken out of that table: attempt_over() is called once for each attempt. The router decides
// what happens then (RoutedCall); without a router, in a plugin's own process, the end of the only
// attempt is the answer.
//
// A stream may pass from an instance of its plugin to the next one: park(), then resume(). The
// caller's messages wait here meanwhile, in order, behind those that the instance before had not
// received.
//
// Thread rule: any thread. Only a stream takes mutex_; all other state is in Call's word.
#pragma once

#include <gantry/abi.h>

#include <atomic>
#include <gantry/mutex.hpp>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "host/calls/call.hpp"
#include "host/calls/credit.hpp"

namespace gantry::host {

class Plugin;
class PluginCall;
using PluginCallPtr = boost::intrusive_ptr<PluginCall>;

class PluginCall : public Call {
 public:
  explicit PluginCall(CallRequest&& request) : Call(std::move(request)) {}

  /// The id of its attempt, at the plugin that has it.
  [[nodiscard]] std::uint64_t id() const { return id_.load(std::memory_order_relaxed); }
  /// True: the call is a stream that never ends by itself.
  [[nodiscard]] bool is_attach() const { return attach_; }
  /// True: the call is a stream that may pass to the next instance of its plugin.
  [[nodiscard]] bool is_kept() const { return kept_; }

  /// For a stream that is_kept(): its plugin receives no more messages about it.
  void park();
  /// Messages for a parked stream that its plugin was sent but has not received. Only for a plugin
  /// in a process of its own.
  struct Undelivered {
    std::list<std::string> items;
    bool end = false;
  };
  [[nodiscard]] Undelivered undelivered();
  /// Puts these in front of the messages that wait here.
  void put_back(Undelivered undelivered);
  /// It is `successor`'s, in whose table it stands, from now on.
  void resume(const std::shared_ptr<Plugin>& successor);
  /// In a process of its own: it is opened by a host that has resumed it, and that counts the credit of its items.
  void resumed_by_host();

  // Messages from the caller.
  [[nodiscard]] Result<void> send_item(std::string payload) override;
  void send_end() override;
  void give_credit(std::uint32_t items) override;
  /// Tells the plugin; the call still needs its answer.
  void cancel() override;

  // Messages from the plugin; the results are enum gantry_sent.
  /// GANTRY_FULL: no credit, or the caller has no room; GANTRY_CREDIT tells the plugin when it may
  /// try again.
  [[nodiscard]] std::int32_t take_item(std::string_view payload);
  /// As take_item(), for a plugin that cannot try again: an item without room waits here, within
  /// the credit, and the plugin is told to hold back. GANTRY_FULL: more came than that.
  [[nodiscard]] std::int32_t take_item_for_good(std::string payload);
  [[nodiscard]] std::int32_t take_end();
  [[nodiscard]] std::int32_t take_credit(std::uint32_t items);
  [[nodiscard]] std::int32_t take_progress(std::string_view payload);
  /// Called by the code that has taken the call out of the plugin's table, or could not enter it
  /// there.
  void finish(PluginAnswer answer);

 protected:
  /// Handles the end of the attempt, behind all items.
  virtual void attempt_over(PluginAnswer answer);
  /// Tells the plugin of the cancel, if it has the call. `before`: the word without kCancelled.
  void tell_cancelled(Word before);

 private:
  friend class Plugin;
  friend class CallTable;
  // For Plugin::open():
  /// The number of the attempt; 0: the call is answered already.
  [[nodiscard]] std::uint32_t begin_attempt();
  /// Ends an attempt that never reached the plugin.
  void end_attempt() { (void)unmark(kOwed); }
  /// Called before the call is entered into the plugin's table.
  void enter(Plugin& plugin);
  /// The plugin's mailbox has the call: delivers the caller's messages that came meanwhile.
  void begun(std::uint32_t attempt);
  /// Delivers the call in a turn of `plugin`, which may have lost it meanwhile.
  void deliver(Plugin& plugin);

  void deliver_item();
  void deliver_end();
  void deliver_credit();
  void deliver_cancel();
  [[nodiscard]] bool is_with(const Plugin& plugin) const GANTRY_REQUIRES(mutex_);
  /// The next item for `plugin`; empty: there is none, or `plugin` has the call no more.
  [[nodiscard]] std::optional<std::string> next_item(const Plugin& plugin);
  [[nodiscard]] std::shared_ptr<Plugin> plugin() const;
  static void hand_item(Plugin& plugin, std::uint64_t id, const std::string& text);
  /// False: there is no room; give_credit(0) will be called.
  [[nodiscard]] bool finds_room();
  void send_late();
  void tell_room();
  [[nodiscard]] bool is_listening() const;

  std::atomic<std::uint64_t> id_{0};
  PluginCall* next_in_table = nullptr;      ///< used by the table
  std::atomic<const Plugin*> at_{nullptr};  ///< the plugin whose table it was entered into last; only for comparison
  // Set before the call is entered into a table.
  bool attach_ = false;
  bool kept_ = false;
  bool resumed_ = false;
  std::uint32_t opening_credit_ = 0;  ///< the credit in its GANTRY_CALL

  mutable Mutex mutex_;
  // Written before kBegun is set, and not after kCancelled: so a call that is no stream reads it
  // without the lock.
  std::weak_ptr<Plugin> plugin_ GANTRY_GUARDED_BY(mutex_);
  std::list<std::string> items_ GANTRY_GUARDED_BY(mutex_);  ///< items for its plugin
  bool held_back_ GANTRY_GUARDED_BY(mutex_) = false;        ///< items wait until there is room
  bool room_untold_ GANTRY_GUARDED_BY(mutex_) = false;
  /// The bound of the items in Late: far more than a plugin sends before it hears that there is no room.
  static constexpr std::size_t kMaxLateBytes = std::size_t{64} << 20;
  struct Late {  ///< messages that wait for room: items, then their end, then the answer
    std::list<std::string> items;
    std::size_t bytes = 0;  ///< of the items
    bool sending = false;
    bool told = false;     ///< the plugin is to hold its items back
    bool telling = false;  ///< a task will tell the plugin of `told`
    bool end = false;
    std::optional<Result<Answer>> answer;
  };
  Late late_ GANTRY_GUARDED_BY(mutex_);
  Credit out_credit_ GANTRY_GUARDED_BY(mutex_);
  Credit in_credit_ GANTRY_GUARDED_BY(mutex_);
  Credit undelivered_credit_ GANTRY_GUARDED_BY(mutex_);
  bool ended_ GANTRY_GUARDED_BY(mutex_) = false;
  bool end_handed_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
