// SPDX-License-Identifier: Apache-2.0
//
// gantry/lazy.hpp: a service that is constructed by its first user, once, double-checked.
//
//   gantry::Lazy<Service> service("service", [] { return make_service(); });
//
// Thread rule: any thread. borrow() is one acquire load. get() waits; get_async() does not: it constructs through the
//   `spawn` function of the options and calls back on the thread that constructed, or at once when the service is
//   ready.
// Single flight: the first caller constructs, the others wait for that one attempt and get its result.
// Failure: is given to all that waited and is not remembered as success; until the back-off is over, callers get the
//   same error at once, then the next one tries again.
// Cycles: a service whose construction get()s itself on the same thread, directly or through others, is refused with
// the
//   path. No callback runs under the lock.
// Never: a half-constructed service is seen.
#pragma once

#include <atomic>
#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <gantry/retry.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gantry {

namespace detail {
struct Constructing {
  const void* lazy;
  const std::string* name;
};
/// The services that this thread is constructing, outermost first.
inline std::vector<Constructing>& constructing_here() {
  thread_local std::vector<Constructing> stack;
  return stack;
}
}  // namespace detail

struct LazyOptions {
  /// Runs a function that may block, elsewhere. Empty: on the caller's thread.
  std::function<void(std::move_only_function<void()>)> spawn;
  const Clock* clock = nullptr;  ///< must outlive the Lazy; nullptr: the system's
  /// Delays after failed attempts; max_retries does not count here.
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
      : name_(std::move(name)), factory_(std::move(factory)), options_(std::move(options)) {}
  Lazy(const Lazy&) = delete;
  Lazy& operator=(const Lazy&) = delete;

  /// The service, or nullptr when it is not ready. Valid until the service is reset or the Lazy dies.
  [[nodiscard]] T* borrow() const noexcept { return ready_.load(std::memory_order_acquire); }

  /// The service; constructs it, or waits for the one who does.
  [[nodiscard]] Result<Value> get() {
    {
      Lock lock(mutex_);
      while (state_ == LazyState::constructing) {
        if (auto cycle = find_cycle()) return fail(ErrorKind::unavailable, std::move(*cycle));
        const auto seen = attempt_;
        while (state_ == LazyState::constructing && attempt_ == seen) changed_.wait(mutex_);
        if (attempt_ == seen) return outcome();
      }
      if (!begin()) return outcome();
    }
    return construct();
  }

  /// As get(), without waiting.
  void get_async(Callback done) {
    std::optional<Result<Value>> now;
    {
      Lock lock(mutex_);
      const bool constructing = state_ == LazyState::constructing;
      if (!constructing && !begin()) {
        now = outcome();
      } else {
        waiters_.push_back(std::move(done));
        if (constructing) return;
      }
    }
    if (now) {
      done(std::move(*now));  // NOLINT(bugprone-use-after-move): it was moved only where there is no `now`
    } else if (options_.spawn) {
      options_.spawn([this] { (void)construct(); });
    } else {
      (void)construct();
    }
  }

  /// Forgets the service, or the failure: the next caller constructs anew. Returns what it was.
  Value reset() {
    Value old;
    Lock lock(mutex_);
    if (state_ == LazyState::constructing) return nullptr;
    ready_.store(nullptr, std::memory_order_release);
    old = std::move(value_);
    value_.reset();
    state_ = LazyState::empty;
    failures_ = 0;
    return old;
  }

  /// As reset(), for a service that broke: until the back-off is over callers get `why`.
  Value fail_with(Error why) {
    Value old;
    Lock lock(mutex_);
    if (state_ != LazyState::ready) return nullptr;
    ready_.store(nullptr, std::memory_order_release);
    old = std::move(value_);
    value_.reset();
    failed(std::move(why));
    return old;
  }

  [[nodiscard]] LazyState state() const {
    Lock lock(mutex_);
    return state_;
  }
  /// The last failure; empty message when there is none.
  [[nodiscard]] Error error() const {
    Lock lock(mutex_);
    return state_ == LazyState::failed ? error_ : Error{};
  }
  [[nodiscard]] Value peek() const {
    Lock lock(mutex_);
    return value_;
  }

 private:
  // True: the caller is the one who constructs.
  [[nodiscard]] bool begin() GANTRY_REQUIRES(mutex_) {
    if (state_ == LazyState::ready) return false;
    if (state_ == LazyState::failed && now() < retry_at_) return false;
    state_ = LazyState::constructing;
    ++attempt_;
    return true;
  }
  [[nodiscard]] Result<Value> outcome() const GANTRY_REQUIRES(mutex_) {
    if (state_ == LazyState::ready) return value_;
    return std::unexpected(error_);
  }

  Result<Value> construct() {
    auto& stack = detail::constructing_here();
    stack.push_back({this, &name_});
    Result<Value> result = run_factory();
    stack.pop_back();
    std::vector<Callback> waiters;
    {
      Lock lock(mutex_);
      waiters.swap(waiters_);
      if (result) {
        value_ = *result;
        state_ = LazyState::ready;
        failures_ = 0;
        ready_.store(value_.get(), std::memory_order_release);
      } else {
        failed(result.error());
      }
    }
    changed_.notify_all();
    for (auto& waiter : waiters) waiter(result);
    return result;
  }
  [[nodiscard]] Result<Value> run_factory() {
    try {
      auto made = factory_();
      if (made && !*made) return fail(ErrorKind::internal, name_ + ": the factory made nothing");
      return made;
    } catch (const std::exception& e) {
      return fail(ErrorKind::unavailable, name_ + " could not be constructed: " + e.what());
    }
  }
  void failed(Error why) GANTRY_REQUIRES(mutex_) {
    error_ = std::move(why);
    state_ = LazyState::failed;
    Duration delay = options_.backoff.initial_delay;
    for (int i = 0; i < failures_ && delay < options_.backoff.max_delay; ++i)
      delay = std::min(delay * 2, options_.backoff.max_delay);
    ++failures_;
    retry_at_ = now() + delay;
  }

  [[nodiscard]] std::optional<std::string> find_cycle() const {
    const auto& stack = detail::constructing_here();
    std::string path;
    bool inside = false;
    for (const auto& entry : stack) {
      inside = inside || entry.lazy == this;
      if (inside) path += *entry.name + " -> ";
    }
    if (!inside) return std::nullopt;
    return "services wait for each other in a circle: " + path + name_;
  }
  [[nodiscard]] TimePoint now() const {
    return options_.clock != nullptr ? options_.clock->now() : TimePoint(std::chrono::steady_clock::now());
  }

  const std::string name_;
  const Factory factory_;
  const LazyOptions options_;
  std::atomic<T*> ready_{nullptr};

  mutable Mutex mutex_;
  CondVar changed_;
  LazyState state_ GANTRY_GUARDED_BY(mutex_) = LazyState::empty;
  std::uint64_t attempt_ GANTRY_GUARDED_BY(mutex_) = 0;
  int failures_ GANTRY_GUARDED_BY(mutex_) = 0;
  TimePoint retry_at_ GANTRY_GUARDED_BY(mutex_);
  Error error_ GANTRY_GUARDED_BY(mutex_);
  Value value_ GANTRY_GUARDED_BY(mutex_);
  std::vector<Callback> waiters_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry
