// SPDX-License-Identifier: Apache-2.0
//
// host/router/open_calls.hpp: the calls that are open at the router, by their deadlines.
//
// The set has a part for each of a few threads: a call takes the lock of the part of the thread that brought it, twice,
// and no lock of another thread's calls. The calls are chained by members of their own: to enter one allocates nothing.
// A part has one timer, set to the earliest deadline that was entered since the timer last ran. The timer stays when
// that call ends, since to run once for nothing is cheaper than to set a timer for each call.
//
// Thread rule: any thread. Calls are given up without a lock held.
// Bounds: those of the router's permits, and the attach streams.
#pragma once

#include <atomic>
#include <boost/intrusive/set.hpp>
#include <gantry/mutex.hpp>
#include <gantry/striped.hpp>
#include <vector>

#include "host/calls/call.hpp"
#include "host/runtime/timers.hpp"

namespace gantry::host {

class RoutedCall;
using RoutedCallPtr = boost::intrusive_ptr<RoutedCall>;

class OpenCalls {
 public:
  struct Part;
  /// A call's place in the set.
  class Place : public boost::intrusive::set_base_hook<boost::intrusive::optimize_size<false>> {
   private:
    friend class OpenCalls;
    TimePoint deadline_ = TimePoint::max();
    Part* part_ = nullptr;
  };

  explicit OpenCalls(Timers& timers);
  OpenCalls(const OpenCalls&) = delete;
  OpenCalls& operator=(const OpenCalls&) = delete;
  ~OpenCalls();

  /// The call is given up with `timeout` when its deadline has passed, unless leave() comes first. False: close() was
  /// called.
  [[nodiscard]] bool enter(RoutedCall& call);
  /// For a call that did not enter, nothing happens.
  void leave(RoutedCall& call);
  /// No call enters from here on.
  void close() { closed_.store(true, std::memory_order_seq_cst); }
  [[nodiscard]] bool is_closed() const { return closed_.load(std::memory_order_seq_cst); }
  [[nodiscard]] bool empty() const;
  [[nodiscard]] std::vector<RoutedCallPtr> all() const;

 private:
  void set_timer(Part& part, TimePoint when);
  void expire(Part& part);

  Timers& timers_;
  std::atomic<bool> closed_{false};
  std::unique_ptr<Striped<Part>> parts_;
};

}  // namespace gantry::host
