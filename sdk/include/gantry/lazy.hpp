// SPDX-License-Identifier: Apache-2.0
//
// gantry/lazy.hpp: a service that is constructed by its first user, once, double-checked.
//
//   gantry::Lazy<Service> service("service", [] { return make_service(); });
//
// Thread rule: any thread. borrow() is one acquire load and writes nothing. get() blocks the thread
//   and constructs on it. async_get() (`co_await`, with gantry/coro.hpp) and get_async() (a
//   callback) do not block: they construct through the `spawn` function of the options, or on the
//   calling thread without one; the callback runs on the thread that constructed, or at once when
//   the service is ready.
// Borrowing: the pointer is valid until the service is reset or the Lazy dies. With a Quiescence in
//   the options it is valid until the end of the section in which it was borrowed: retire() waits
//   for such sections.
// Single flight: the first caller constructs, the others wait for that one attempt and get its
//   result.
// Failure: an error is given to all callers that waited; until the back-off is over, callers get
//   the same error at once, then the next caller tries again.
// Cycles: a construction that would wait for itself, on one thread or over several, is refused with
//   the path of the cycle.
// Attempts: an attempt that `spawn` drops, or throws at, fails with `unavailable`; a get() that
//   would wait for an attempt that has not begun runs the attempt itself. An exception from a
//   callback is dropped. A Lazy outlives the calls on it, waiting and cancelled ones included, and
//   the jobs that they gave to `spawn`.
// Cancelled, timed out: that caller waits no more; the attempt goes on for the other callers.
// Never: a half-constructed service is seen; two attempts run at once; the factory or a callback
//   runs under the lock; a wake-up is lost. How it works: docs/threads.md, model: tests/model/.
#pragma once

#include <atomic>
#include <cassert>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/detail/lazy_graph.hpp>
#include <gantry/mutex.hpp>
#include <gantry/quiescence.hpp>
#include <gantry/result.hpp>
#include <gantry/retry.hpp>
#include <gantry/waiting.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gantry {

struct LazyOptions {
  /// Runs a function that may block, on another thread. Empty: the function runs on the caller's
  /// thread.
  std::function<void(std::move_only_function<void()>)> spawn;
  const Clock* clock = nullptr;      ///< must outlive the Lazy; nullptr: the system's
  Quiescence* quiescence = nullptr;  ///< must outlive the Lazy; nullptr: borrowers ensure the lifetime themselves
  /// Delays after failed attempts; max_retries is ignored.
  RetryPolicy backoff{
      .initial_delay = std::chrono::milliseconds(200), .max_delay = std::chrono::seconds(30), .jitter = 0};
};

enum class LazyState { empty, constructing, ready, failed };

template <class T>
class Lazy {
 public:
  using Value = std::shared_ptr<T>;
  using Factory = std::function<Result<Value>()>;
  using Callback = std::move_only_function<void(Result<Value>)>;

  Lazy(std::string name, Factory factory, LazyOptions options = {})
      : name_(std::move(name)),
        factory_(std::move(factory)),
        options_(std::move(options)),
        backoff_(without_limit(options_.backoff)) {}
  Lazy(const Lazy&) = delete;
  Lazy& operator=(const Lazy&) = delete;
  /// No attempt runs any more, and nobody waits for one.
  ~Lazy() {
    const Lock lock(mutex_);
    assert(state_ != LazyState::constructing && callbacks_.empty());
  }

  /// The service, or nullptr when it is not ready.
  [[nodiscard]] T* borrow() const noexcept { return ready_.load(std::memory_order_acquire); }

  /// The service. The first caller constructs it, the others wait. Errors: that of the
  /// construction; `timeout`, `cancelled`.
  [[nodiscard]] Result<Value> get(const WaitLimits& limits = {}) { return block(GetOp(this, true), limits); }
  /// The awaited result is Result<Value>, as from get(), without blocking.
  [[nodiscard]] auto async_get(CancelToken token = {}) { return Await<GetOp>(std::move(token), this, false); }
  /// As async_get(), with a callback.
  void get_async(Callback done) {
    std::optional<Result<Value>> now;
    bool first = false;
    std::uint64_t attempt = 0;
    {
      const Lock lock(mutex_);
      first = state_ != LazyState::constructing && begin();
      attempt = attempt_;
      if (first || state_ == LazyState::constructing) {
        callbacks_.push_back(std::move(done));
      } else {
        now = outcome();
      }
    }
    if (now) {
      done(std::move(*now));  // NOLINT(bugprone-use-after-move): it was moved only where there is no `now`
    } else if (first) {
      construct_elsewhere(attempt);
    }
  }

  /// Forgets the service, or the failure: the next caller constructs anew. Returns the old service,
  /// which borrowers may still use. While an attempt runs nothing changes, and nullptr is returned.
  Value reset() {
    const Lock lock(mutex_);
    if (state_ == LazyState::constructing) return nullptr;
    state_ = LazyState::empty;
    backoff_.reset();
    return take_away();
  }
  /// As reset(), and waits until no section can use the old service. `timeout`: some section still
  /// may; the service is kept until the Lazy dies. Must not be called inside a section.
  Result<Value> retire(std::optional<TimePoint> until = std::nullopt) {
    Value old = reset();
    if (!old || options_.quiescence == nullptr || options_.quiescence->wait(until)) return old;
    const Lock lock(mutex_);
    kept_.push_back(std::move(old));
    return fail(ErrorKind::timeout, name_ + " is still in use");
  }
  /// As reset(), for a service that broke: until the back-off is over callers get the error `why`.
  Value fail_with(Error why) {
    const Lock lock(mutex_);
    if (state_ != LazyState::ready) return nullptr;
    failed(std::move(why));
    return take_away();
  }

  /// Forgets `broken`, if that is the service; the next caller constructs anew. If the attempt that
  /// runs is about to return `broken`, that attempt fails with `why`: a service that breaks before
  /// it is published is not published.
  void drop(const Value& broken, Error why) {
    Value last;
    const Lock lock(mutex_);
    if (state_ == LazyState::constructing) {
      last = std::exchange(broken_, broken);
      why_broken_ = std::move(why);
    } else if (state_ == LazyState::ready && value_ == broken) {
      state_ = LazyState::empty;
      last = take_away();
    }
  }

  /// Makes `next`, which was constructed elsewhere, the service. Returns the service before it,
  /// perhaps nullptr. Empty: an attempt runs, and `next` was not taken. Borrowers may still use the
  /// old service.
  std::optional<Value> replace(const Value& next) {
    const Lock lock(mutex_);
    if (state_ == LazyState::constructing) return std::nullopt;
    state_ = LazyState::ready;
    backoff_.reset();
    ready_.store(next.get(), std::memory_order_release);
    return std::exchange(value_, next);
  }

  [[nodiscard]] LazyState state() const {
    const Lock lock(mutex_);
    return state_;
  }
  /// The last failure; its message is empty when there is none.
  [[nodiscard]] Error error() const {
    const Lock lock(mutex_);
    return state_ == LazyState::failed ? error_ : Error{};
  }
  [[nodiscard]] Value peek() const {
    const Lock lock(mutex_);
    return value_;
  }

 private:
  /// The operation of one caller, which waits for the attempt that runs, or constructs.
  class GetOp {
   public:
    GetOp(Lazy* lazy, bool here) : lazy_(lazy), here_(here) {}

    bool poll() {
      if (lazy_->borrow() == nullptr) return false;
      const Lock lock(lazy_->mutex_);
      if (lazy_->state_ != LazyState::ready) return false;
      result_.emplace(lazy_->value_);
      return true;
    }
    bool start(Waiter& waiter) { return lazy_->enter(*this, waiter); }
    bool cancel() {
      const Lock lock(lazy_->mutex_);
      cancelled_ = true;
      if (!std::exchange(linked_, false)) return false;
      lazy_->waiters_.remove(*this);
      detail::LazyGraph::leave(waits_as_);  // here, where the wait ends
      return true;
    }
    Result<Value> finish(WaitEnd end) {
      if (result_) return std::move(*result_);
      return wait_failed(end);
    }

   private:
    friend class Lazy;
    friend class detail::NodeList<GetOp>;
    Lazy* lazy_;
    bool here_;                       ///< construct on this thread, whatever the options say
    const void* waits_as_ = nullptr;  ///< the construction that waits here, for LazyGraph
    std::optional<Result<Value>> result_;
    // Guarded by the Lazy's mutex while the operation waits.
    GetOp* next = nullptr;
    GetOp* prev = nullptr;
    Waiter* waiter_ = nullptr;
    bool linked_ = false;
    bool cancelled_ = false;
  };

  bool enter(GetOp& op, Waiter& waiter) {
    const bool here = op.here_ || !options_.spawn;
    bool first = false;
    std::uint64_t attempt = 0;
    {
      const Lock lock(mutex_);
      if (op.cancelled_) return true;
      if (state_ == LazyState::constructing) {
        // An attempt that has not begun is taken over, so that a job in front of it may wait for
        // it.
        first = op.here_ && claim(attempt_);
      } else {
        first = begin();
        if (!first) {
          op.result_.emplace(outcome());
          return true;
        }
        if (here) (void)claim(attempt_);
      }
      if (!first && op.here_) {
        // Only a thread that constructs can be part of a cycle, and only where it blocks.
        auto waits = detail::LazyGraph::enter({this, &name_});
        if (!waits) {
          op.result_.emplace(std::unexpected(std::move(waits.error())));
          return true;
        }
        op.waits_as_ = *waits;
      }
      if (!first || !here) {
        op.waiter_ = &waiter;
        op.linked_ = true;
        waiters_.push_back(op);
      }
      attempt = attempt_;
    }
    // An operation that was linked may be gone by now.
    if (!first) return false;
    if (here) {
      op.result_.emplace(construct());
      return true;
    }
    construct_elsewhere(attempt);
    return false;
  }

  // True: the caller is to construct.
  [[nodiscard]] bool begin() GANTRY_REQUIRES(mutex_) {
    if (state_ == LazyState::ready) return false;
    if (state_ == LazyState::failed && now() < retry_at_) return false;
    state_ = LazyState::constructing;
    claimed_ = false;
    ++attempt_;
    return true;
  }
  // True: `attempt` is the attempt that runs, and no thread had claimed it.
  [[nodiscard]] bool claim(std::uint64_t attempt) GANTRY_REQUIRES(mutex_) {
    if (state_ != LazyState::constructing || attempt_ != attempt) return false;
    return !std::exchange(claimed_, true);
  }
  [[nodiscard]] Result<Value> outcome() const GANTRY_REQUIRES(mutex_) {
    if (state_ == LazyState::ready) return value_;
    return std::unexpected(error_);
  }
  [[nodiscard]] Value take_away() GANTRY_REQUIRES(mutex_) {
    ready_.store(nullptr, std::memory_order_release);
    return std::exchange(value_, nullptr);
  }

  /// A job for `spawn`. A job that is dropped before it has run ends its attempt with an error.
  class Attempt {
   public:
    Attempt(Lazy* lazy, std::uint64_t number) : lazy_(lazy), number_(number) {}
    Attempt(Attempt&& other) noexcept : lazy_(std::exchange(other.lazy_, nullptr)), number_(other.number_) {}
    Attempt& operator=(Attempt&&) = delete;
    ~Attempt() {
      if (lazy_ != nullptr && lazy_->claim_locked(number_))
        (void)lazy_->complete(fail(ErrorKind::unavailable, lazy_->name_ + " could not be constructed: nothing ran it"));
    }
    void operator()() {
      Lazy* const lazy = std::exchange(lazy_, nullptr);
      if (lazy->claim_locked(number_)) (void)lazy->construct();
    }

   private:
    Lazy* lazy_;
    std::uint64_t number_;
  };
  [[nodiscard]] bool claim_locked(std::uint64_t attempt) {
    const Lock lock(mutex_);
    return claim(attempt);
  }
  void construct_elsewhere(std::uint64_t attempt) {
    if (!options_.spawn) {
      Attempt(this, attempt)();
      return;
    }
    try {
      options_.spawn(Attempt(this, attempt));
    } catch (...) {  // NOLINT(bugprone-empty-catch): the attempt has ended when its job went
    }
  }
  Result<Value> construct() { return complete(run_factory()); }
  Result<Value> complete(Result<Value> result) {
    std::vector<Callback> callbacks;
    Value broken;
    {
      detail::WakeList woken;
      const Lock lock(mutex_);
      callbacks.swap(callbacks_);
      broken.swap(broken_);
      if (result && broken && *result == broken) result = std::unexpected(std::move(why_broken_));
      if (result) {
        value_ = *result;
        state_ = LazyState::ready;
        backoff_.reset();
        ready_.store(value_.get(), std::memory_order_release);
      } else {
        failed(result.error());
      }
      while (auto* const op = waiters_.pop_front()) {
        op->linked_ = false;
        op->result_.emplace(result);
        detail::LazyGraph::leave(op->waits_as_);  // its wait is over now, not when its thread runs again
        woken.add(op->waiter_);
      }
    }
    for (auto& callback : callbacks) {
      try {
        callback(result);
      } catch (...) {  // NOLINT(bugprone-empty-catch): the others still want to know
      }
    }
    return result;
  }
  [[nodiscard]] Result<Value> run_factory() {
    try {
      const detail::LazyGraph::Constructing constructing({this, &name_});
      auto made = factory_();
      if (made && !*made) return fail(ErrorKind::internal, name_ + ": the factory made nothing");
      return made;
    } catch (const std::exception& e) {
      return fail(ErrorKind::unavailable, name_ + " could not be constructed: " + e.what());
    } catch (...) {
      return fail(ErrorKind::unavailable, name_ + " could not be constructed: an exception of unknown type");
    }
  }
  void failed(Error why) GANTRY_REQUIRES(mutex_) {
    error_ = std::move(why);
    state_ = LazyState::failed;
    retry_at_ = now() + *backoff_.next();
  }
  [[nodiscard]] static RetryPolicy without_limit(RetryPolicy policy) {
    policy.max_retries = kNoLimit;
    return policy;
  }
  [[nodiscard]] TimePoint now() const {
    return options_.clock != nullptr ? options_.clock->now() : TimePoint(std::chrono::steady_clock::now());
  }

  std::atomic<T*> ready_{nullptr};
  const std::string name_;
  const Factory factory_;
  const LazyOptions options_;

  mutable Mutex mutex_{"lazy"};
  LazyState state_ GANTRY_GUARDED_BY(mutex_) = LazyState::empty;
  std::uint64_t attempt_ GANTRY_GUARDED_BY(mutex_) = 0;  ///< the number of the last attempt
  bool claimed_ GANTRY_GUARDED_BY(mutex_) = false;       ///< some thread runs this attempt
  Backoff backoff_ GANTRY_GUARDED_BY(mutex_);
  TimePoint retry_at_ GANTRY_GUARDED_BY(mutex_);
  Error error_ GANTRY_GUARDED_BY(mutex_);
  Value value_ GANTRY_GUARDED_BY(mutex_);
  Value broken_ GANTRY_GUARDED_BY(mutex_);  ///< the argument of drop() while an attempt ran
  Error why_broken_ GANTRY_GUARDED_BY(mutex_);
  std::vector<Value> kept_ GANTRY_GUARDED_BY(mutex_);  ///< services that were retired while borrowers still used them
  detail::NodeList<GetOp> waiters_ GANTRY_GUARDED_BY(mutex_);
  std::vector<Callback> callbacks_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry
