// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/plugin_call.hpp: a call as the plugin runtime knows it: its id at its plugin,
// credits both ways, and what its caller says before the plugin has it.
//
// An attempt begins in Plugin::open(), which enters the call into the plugin's table, and ends by
// whoever takes it out of there: attempt_over() is called once for each. What happens then is the
// router's to say (RoutedCall); without a router, in a plugin's own process, the one attempt's end
// is the answer.
//
// A stream may pass from an instance of its plugin to the next one: park(), then resume(). What its caller says
// meanwhile waits here, in order, behind what the instance before was not given any more.
//
// Thread rule: any thread. Only a stream takes mutex_; all else is in Call's word.
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

namespace gantry::host {

class Plugin;
class PluginCall;
using PluginCallPtr = boost::intrusive_ptr<PluginCall>;

class PluginCall : public Call {
 public:
  explicit PluginCall(CallRequest request) : Call(std::move(request)) {}

  /// Of its attempt, at the plugin that has it.
  [[nodiscard]] std::uint64_t id() const { return id_.load(std::memory_order_relaxed); }
  /// It never ends by itself.
  [[nodiscard]] bool is_attach() const { return attach_; }
  /// It is a stream that the next instance of its plugin may be given.
  [[nodiscard]] bool is_kept() const { return kept_; }

  /// A stream that is_kept(): its plugin hears no more of it.
  void park();
  /// Of one that is parked: what its plugin was sent and has not been given. In a process of its own only.
  struct Undelivered {
    std::list<std::string> items;
    bool end = false;
  };
  [[nodiscard]] Undelivered undelivered();
  /// That comes before what waits here.
  void put_back(Undelivered undelivered);
  /// It is `successor`'s, in whose table it stands, from now on.
  void resume(const std::shared_ptr<Plugin>& successor);
  /// In a process of its own: it is opened by a host that has resumed it, and that counts the credit of its items.
  void resumed_by_host();

  // From the caller.
  [[nodiscard]] Result<void> send_item(std::string payload) override;
  void send_end() override;
  void give_credit(std::uint32_t items) override;
  /// The plugin is told; its answer is the call's still.
  void cancel() override;

  // From the plugin: enum gantry_sent.
  /// GANTRY_FULL: no credit, or the caller has no room; the plugin hears of it by GANTRY_CREDIT when there is some.
  [[nodiscard]] std::int32_t take_item(std::string_view payload);
  /// The same for a plugin that cannot try again: what finds no room waits here, within the credit.
  [[nodiscard]] std::int32_t take_item_for_good(std::string payload);
  [[nodiscard]] std::int32_t take_end();
  [[nodiscard]] std::int32_t take_credit(std::uint32_t items);
  [[nodiscard]] std::int32_t take_progress(std::string_view payload);
  /// By who has taken it out of the plugin's table, or could not enter it there.
  void finish(Result<Answer> answer);

 protected:
  /// The attempt has ended so: behind all items.
  virtual void attempt_over(Result<Answer> answer);
  /// Tells the plugin, if it has the call; `before`: the word as it was without kCancelled.
  void tell_cancelled(Word before);

 private:
  friend class Plugin;
  friend class CallTable;
  // For Plugin::open().
  /// The number of the attempt; 0: the call is answered already.
  [[nodiscard]] std::uint32_t begin_attempt();
  /// One that the plugin never had.
  void end_attempt() { (void)unmark(kOwed); }
  /// Before it is entered into the plugin's table.
  void enter(Plugin& plugin);
  /// The plugin's mailbox has it: what its caller has said meanwhile follows.
  void begun(std::uint32_t attempt);
  /// In a turn of `plugin`, which has perhaps lost it meanwhile.
  void deliver(Plugin& plugin);

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
  [[nodiscard]] bool finds_room();
  void send_late();
  [[nodiscard]] bool is_listening() const;

  std::atomic<std::uint64_t> id_{0};
  PluginCall* next_in_table = nullptr;      ///< the table's
  std::atomic<const Plugin*> at_{nullptr};  ///< whose table it was entered into last; to be compared only
  // Set before it is entered into a table.
  bool attach_ = false;
  bool kept_ = false;
  bool resumed_ = false;
  std::uint32_t opening_credit_ = 0;  ///< that its GANTRY_CALL says

  mutable Mutex mutex_;
  // Written before kBegun is set, and not after kCancelled: so a call that is no stream has it
  // without the lock.
  std::weak_ptr<Plugin> plugin_ GANTRY_GUARDED_BY(mutex_);
  std::list<std::string> items_ GANTRY_GUARDED_BY(mutex_);  ///< that its plugin is to be given
  bool held_back_ GANTRY_GUARDED_BY(mutex_) = false;        ///< until there is room
  bool room_untold_ GANTRY_GUARDED_BY(mutex_) = false;
  struct Late {  ///< what waits for room: items, then the end of them, then the answer
    std::list<std::string> items;
    bool sending = false;
    bool end = false;
    std::optional<Result<Answer>> answer;
  };
  Late late_ GANTRY_GUARDED_BY(mutex_);
  std::uint64_t out_credit_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t in_credit_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t undelivered_credit_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool ended_ GANTRY_GUARDED_BY(mutex_) = false;
  bool end_handed_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::host
