// SPDX-License-Identifier: Apache-2.0
//
// request.hpp: one call from its arrival to its answer: permit, attempts, pauses, fallbacks,
// time-outs.
//
//   begin ─► wait for a permit ─► attempt ─► answer
//                 ▲                     │ failed, or was silent, before its first item
//                 │                     ▼
//                 └── pause (back-off or Retry-After), or the next model of the chain
//
// A permit is a place at the provider of the model. It is given back for a pause, and when another
// model takes over; the next permit is waited for at the end of the queue. A model has failed, too,
// when its provider's queue is full.
//
// Time: a call must be answered within the time-out, counted from its arrival. For a stream it is
// the time to the first item, and then between items; an item counts when the caller's side has
// taken it, so a caller that stops reading times out as a provider that stops writing does. The
// call's own deadline holds as well. A pause that would exceed the time left is not begun: the
// failure is answered at once. All timers are the host's.
//
// A model that has a successor in the chain does not get all of the time: for a whole answer, it
// gets two thirds of the time left; the next model gets two thirds of what is left then, and the
// last one the rest. The wait for a model's first permit has such a share, and with the permit
// another begins. A stream has the whole time-out to its first item with each model; of the call's
// own deadline its models get shares in the same way.
//
// An answer is complete when its finish_reason has come. Some servers then neither send [DONE] nor
// close the connection: the request waits kLinger for usage, then the answer is the outcome. A
// complete answer is also the outcome when its time has passed.
//
// A cancelled, timed-out or answered request withdraws from the queue, stops its timers and ends
// its attempt, which closes the connection to the provider.
//
// Thread rule: the plugin's serial thread; callbacks from other threads are posted there and hold a
// weak reference.
// Never: more than one answer; a retry after an item was delivered; a callback into a request that
// is over.
#pragma once

#include <cstdint>
#include <gantry/permits.hpp>
#include <gantry/plugin.hpp>
#include <gantry/retry.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plugins/ai/job.hpp"

namespace gantry::ai {

class Dispatcher;

/// How long a complete answer waits for usage and the end of the stream.
inline constexpr Duration kLinger = std::chrono::milliseconds(1500);

class Request : public std::enable_shared_from_this<Request> {
 public:
  Request(Dispatcher& dispatcher, std::uint64_t id, Call call, std::shared_ptr<const Job> job,
          std::vector<Target> targets, Duration timeout);
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  void begin();
  void cancel(const char* why);
  [[nodiscard]] std::uint64_t origin() const { return call_.origin(); }

 private:
  /// Waits for a place at the model's provider, then starts an attempt.
  void queue_up();
  void granted(Permit permit);
  void attempt();
  void pump();
  /// Passes the items on that are there. False: the caller takes no more for now.
  [[nodiscard]] bool forward_items();
  [[nodiscard]] bool forward(const std::string& item);
  void attempt_failed(Failure failure);
  void linger();
  void take_complete();
  void pause(Duration delay);
  void next_model(Failure failure);
  /// Starts the model's share of the time.
  void begin_model();
  [[nodiscard]] bool has_successor() const { return target_ + 1 < targets_.size(); }
  [[nodiscard]] Error timed_out() const;
  void watch();
  void watched();
  void time_out();
  [[nodiscard]] TimePoint due() const;
  void end_attempt();
  void finish(Result<json> result);

  Dispatcher& dispatcher_;
  const std::uint64_t id_;
  Call call_;
  std::shared_ptr<const Job> job_;
  std::vector<Target> targets_;
  const Duration timeout_;

  std::size_t target_ = 0;
  Backoff backoff_;
  int attempts_ = 0;
  bool attempted_ = false;              // with the present model
  std::shared_ptr<PermitQueue> queue_;  // of the provider whose permit was requested last
  std::uint64_t ticket_ = 0;            // while the request waits for a permit
  Permit permit_;
  std::optional<Inlet> inlet_;
  std::optional<Outcome> outcome_;        // waits for the items before it
  std::optional<std::string> held_;       // an item that the caller had no room for
  std::optional<Failure> first_failure_;  // of a model whose fallbacks are tried now
  std::size_t delivered_ = 0;
  TimePoint progress_;                  // time of arrival, of the last item taken, or of a stream's next model
  std::optional<TimePoint> share_end_;  // for a model with a successor
  std::optional<TimerId> watch_;
  std::optional<TimerId> pause_;
  std::optional<TimerId> linger_;
  std::optional<TimePoint> grace_;  // for a complete answer whose time has passed
  bool over_ = false;
};

}  // namespace gantry::ai
