// SPDX-License-Identifier: Apache-2.0
//
// host/protocols/rpc/log_follower.hpp: sends a subscriber the events of a log that a plugin keeps,
// each once and in order: those of the past from pages that the plugin reads, those of the present
// from the bus.
//
// The subscription at the bus begins before the first page is read, so no event lies between the
// two. `covered` is the point of the log up to which everything was sent. An event of the bus at or
// before that point is left out; one whose predecessor lies behind that point shows that the bus
// has dropped some for this subscriber (drop_oldest): then pages are read again, up to the end of
// the log. A subscription that is debounced takes from the bus only that there is something new, and
// reads pages once in its time. So a slow client costs no memory but the bus's bounded queue, and loses nothing while
// the plugin keeps the log. A page is read while the one before is sent.
//
// Thread rule: the connection's worker; pages arrive by any thread.
// Bounds: two pages.
// Errors: reads that fail for now (`unavailable`, `overloaded`, ...) are tried again every
// kTryAgain; ended() has any other error.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/bus/event.hpp"
#include "host/calls/call.hpp"
#include "host/router/router.hpp"

namespace gantry::host {

class LogFollower : public std::enable_shared_from_this<LogFollower> {
 public:
  struct Spec {
    std::string reader;   ///< the method that reads pages
    json request;         ///< its params, but for `from`
    json behind;          ///< these instead, while the bus has dropped events for this subscriber; null: no others
    Duration debounce{};  ///< not zero: what comes live is read from the log, once in this time
    json from;            ///< the place in the log at which to begin: {epoch, seq, ...}
    OriginId origin{};    ///< who reads
    /// Patterns of the events of the bus that are the subscriber's, and of those that may be; of
    /// the latter one that has none of the texts in `contains` is not (no texts: any may be).
    std::vector<std::string> topics;
    std::vector<std::string> some;
    std::vector<std::string> contains;
    std::vector<std::string> publishes;  ///< patterns of the events that a page may have
    bool only_topics = false;            ///< of a page as well: only events on `topics`
  };
  /// Is called with each event; `prev` is the sequence number of the event before.
  using Emit = std::function<void(const Event&, std::uint64_t prev)>;
  using HasRoom = std::function<bool()>;

  static constexpr Duration kTryAgain = std::chrono::milliseconds(200);

  /// `wake` is called when there is something for catch_up(); any thread.
  LogFollower(Router& router, Timers& timers, std::function<void()> wake, Spec spec);

  /// Asks for the first page. `may_wait`: also an error that may pass is tried again.
  void start(bool may_wait);
  /// True once the first page has come, or its error: then ended() has that. For start(false).
  [[nodiscard]] bool has_begun();
  /// Sends what has come of the log while there is room. False: more of the log goes before the
  /// events of the bus.
  [[nodiscard]] bool catch_up(const HasRoom& has_room, const Emit& emit);
  /// Handles an event of the bus, `prev` as the bus says. Not before catch_up() has returned true.
  void take(const Event& event, std::uint64_t prev, const Emit& emit);
  /// The log goes on under another epoch: the plugin says with what.
  void fall_behind() { fall_behind(spec_.request); }

  /// The service that keeps the log, as `$/event` names it.
  [[nodiscard]] std::string log() const { return spec_.reader.substr(0, spec_.reader.find('.')); }
  [[nodiscard]] const std::string& epoch() const { return epoch_; }
  [[nodiscard]] std::uint64_t last() const { return last_; }
  /// The event's topic belongs to this log, under any epoch.
  [[nodiscard]] bool is_about(std::string_view topic) const;
  [[nodiscard]] const std::optional<Error>& ended() const { return ended_; }

 private:
  struct Page {
    std::string epoch;
    std::uint64_t covered = 0;
    json from;
    std::deque<Event> events;
  };
  class Reply;
  void fall_behind(const json& request);
  void ask();
  void read_soon();
  [[nodiscard]] bool debounce_is_over();
  void wake_after(Duration time, bool LogFollower::* due);
  [[nodiscard]] bool receive();
  [[nodiscard]] Result<Page> parse(std::string_view text) const;
  [[nodiscard]] Result<Event> read_event(std::string_view text) const;
  void failed(const Error& error);

  Router& router_;
  Timers& timers_;
  const std::function<void()> wake_;
  const Spec spec_;
  std::string epoch_;
  json request_;
  json from_;
  std::uint64_t covered_ = 0;
  std::uint64_t last_ = 0;
  bool behind_ = true;
  bool begun_ = false;    ///< errors that may pass are tried again
  bool waiting_ = false;  ///< for the end of `debounce`
  std::optional<Page> page_;
  std::optional<Error> ended_;

  Mutex mutex_{"log follower"};
  std::optional<Result<std::string>> arrived_ GANTRY_GUARDED_BY(mutex_);
  bool try_again_ GANTRY_GUARDED_BY(mutex_) = false;
  bool may_read_ GANTRY_GUARDED_BY(mutex_) = false;  ///< `debounce` is over
};

}  // namespace gantry::host
