// SPDX-License-Identifier: Apache-2.0
//
// gantry/coro.hpp: coroutines over the channels. Opt-in; needs clang.
//
//   gantry::Task<int> twice(int n) { co_return 2 * n; }
//   auto handle = gantry::spawn(executor, twice(21));     // starts it; handle.join(), or co_await handle.async_join()
//
// Task<T> is lazy: it runs when it is awaited or spawned, and is awaited once. A spawned task runs
// on an executor's thread; after a wait it goes on with the executor that woke it, if that belongs
// to the same group (gantry/executor.hpp).
//
// Thread rule: a Task is used by one thread at a time; a JoinHandle's join() must not be called on
//   the executor's thread.
// Cancelling: pass a CancelToken to the operation that waits; a coroutine that waits is never
//   destroyed from outside. A spawned coroutine that nobody cancels and nobody wakes stays for
//   ever, and so does its frame.
// Exceptions: an exception that escapes from an awaited Task is thrown where the Task is awaited;
//   from a spawned one it becomes the handle's `internal` error.
// Rules for coroutines: parameters by value; no lambda with captures; no lock held over co_await;
//   no over-aligned locals; to wait for anything here, a coroutine runs on an Executor (else the
//   process ends, and says so).
// g++ 12.2 miscompiles ordinary co_await expressions without a word (../docs/threads.md), so it is
// refused.
#pragma once

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#error "gantry/coro.hpp: g++ 12 miscompiles coroutines; build with clang 19"
#endif

#include <coroutine>
#include <exception>
#include <gantry/channel/oneshot.hpp>
#include <gantry/detail/pool.hpp>
#include <gantry/executor.hpp>
#include <gantry/waiting.hpp>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace gantry {

/// co_await of an operation (gantry/waiting.hpp).
template <class Op>
class [[nodiscard]] Await {
 public:
  template <class... Args>
  explicit Await(CancelToken token, Args&&... args) : op_{std::forward<Args>(args)...}, token_(std::move(token)) {}
  Await(const Await&) = delete;
  Await& operator=(const Await&) = delete;

  bool await_ready() {
    if (!op_.poll()) return false;
    complete_ = true;
    Executor* const executor = Executor::current();
    return executor == nullptr || executor->take_step();
  }
  bool await_suspend(std::coroutine_handle<> handle) {
    waiter_.prepare(handle);
    if (complete_) {  // the operation is complete: this suspension only yields
      waiter_.executor->schedule(waiter_);
      return true;
    }
    // From start() on, another thread may run and end this frame: nothing of the frame is touched
    // after start().
    if (token_.stop_possible()) on_cancel_.emplace(std::move(token_), Cancel{op_, waiter_, cancelled_});
    return !op_.start(waiter_);
  }
  decltype(auto) await_resume() {
    if (on_cancel_) on_cancel_.reset();
    return op_.finish(cancelled_.load(std::memory_order_acquire) ? WaitEnd::cancelled : WaitEnd::complete);
  }

 private:
  /// No member is set before it is needed: most awaits do not wait.
  struct CoroWaiter : Waiter, Executor::Ready {
    std::coroutine_handle<> handle;
    Executor* executor;
    CoroWaiter() : Waiter(Unset{}), Executor::Ready(Unset{}) {}  // NOLINT(cppcoreguidelines-pro-type-member-init)
    void prepare(std::coroutine_handle<> coroutine) {
      wake = [](Waiter& self) noexcept {
        auto& me = static_cast<CoroWaiter&>(self);
        me.executor->schedule_floating(me);
      };
      run = [](Executor::Ready& self) noexcept { static_cast<CoroWaiter&>(self).handle.resume(); };
      handle = coroutine;
      executor = &Executor::required();
    }
  };
  using Cancel = detail::CancelWait<Op>;

  Op op_;
  CancelToken token_;
  CoroWaiter waiter_;
  std::atomic<bool> cancelled_{false};
  bool complete_ = false;
  std::optional<std::stop_callback<Cancel>> on_cancel_;  // destroyed first: its callback uses the others
};

template <class T>
class Task;

namespace detail {

struct PooledFrame {
  static void* operator new(std::size_t size) { return SmallPool::allocate(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { SmallPool::free(frame, size); }
};

struct TaskPromiseBase : PooledFrame {
  /// The first turn of a spawned task.
  struct Start : Executor::Ready {
    std::coroutine_handle<> handle;
    Start() : Executor::Ready(Unset{}) {}
  };
  std::coroutine_handle<> continuation;  ///< the coroutine that awaits this one; none: it was spawned
  Start start;

  struct Final {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> handle) noexcept {
      if (const auto next = handle.promise().continuation) return next;
      P::finish_spawned(handle);
      return std::noop_coroutine();
    }
    void await_resume() noexcept {}
  };
  [[nodiscard]] std::suspend_always initial_suspend() noexcept { return {}; }
  [[nodiscard]] Final final_suspend() noexcept { return {}; }
};

/// The part that the promises of Task<T> and Task<void> share.
template <class P, class T>
struct SpawnedPromise : TaskPromiseBase {
  std::optional<oneshot::Sender<Result<T>>> reply;

  /// The frame, and all that the task owns, is gone before anybody learns of its end.
  static void finish_spawned(std::coroutine_handle<P> handle) noexcept {
    Result<T> result = outcome(handle.promise());
    auto reply_to = std::move(handle.promise().reply);
    handle.destroy();
    (void)reply_to->send(std::move(result));
  }

 private:
  friend P;
  SpawnedPromise() = default;

  static Result<T> outcome(P& promise) noexcept {
    try {
      if constexpr (std::is_void_v<T>) {
        promise.take();
        return {};
      } else {
        return promise.take();
      }
    } catch (const std::exception& e) {
      return fail(ErrorKind::internal, e.what());
    } catch (...) {
      return fail(ErrorKind::internal, "an exception of unknown type");
    }
  }
};

template <class T>
struct TaskPromise : SpawnedPromise<TaskPromise<T>, T> {
  static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__, "coroutine frames are not over-aligned");
  std::variant<std::monostate, T, std::exception_ptr> result;
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& value) {
    result.template emplace<1>(std::forward<U>(value));
  }
  void unhandled_exception() { result.template emplace<2>(std::current_exception()); }
  T take() {
    if (auto* const failed = std::get_if<2>(&result)) std::rethrow_exception(*failed);
    return std::move(std::get<1>(result));
  }
};

template <>
struct TaskPromise<void> : SpawnedPromise<TaskPromise<void>, void> {
  std::exception_ptr failed;
  inline Task<void> get_return_object();
  void return_void() noexcept {}
  void unhandled_exception() { failed = std::current_exception(); }
  void take() {
    if (failed) std::rethrow_exception(failed);
  }
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  auto operator co_await() && noexcept {
    struct Awaiter {
      Handle handle;
      [[nodiscard]] bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
        handle.promise().continuation = caller;
        return handle;
      }
      T await_resume() { return handle.promise().take(); }
    };
    return Awaiter{handle_};
  }

  /// For spawn().
  [[nodiscard]] Handle release() noexcept { return std::exchange(handle_, nullptr); }

 private:
  Handle handle_;
};

namespace detail {

template <class T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}
Task<void> TaskPromise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

template <class T>
struct JoinOp {
  oneshot::detail::RecvOp<Result<T>, Result<Result<T>>> op;

  bool poll() { return op.poll(); }
  bool start(Waiter& waiter) { return op.start(waiter); }
  bool cancel() { return op.cancel(); }
  Result<T> finish(WaitEnd end) {
    auto answer = op.finish(end);
    if (answer) return std::move(*answer);
    return std::unexpected(std::move(answer.error()));
  }
};

}  // namespace detail

/// A handle of a task that spawn() has started. Dropping it lets the task run on; its result is
/// then dropped.
template <class T>
class JoinHandle {
 public:
  explicit JoinHandle(oneshot::Receiver<Result<T>> answer) : answer_(std::move(answer)) {}
  /// Waits with this thread; once. `internal`: an exception escaped. `timeout`, `cancelled`: the
  /// task runs on. `unavailable`: the task was joined before. All that the task owned is gone when
  /// this returns its result.
  [[nodiscard]] Result<T> join(const WaitLimits& limits = {}) {
    return block(detail::JoinOp<T>{answer_.operation()}, limits);
  }
  /// The awaited result is Result<T>, as from join(). This handle must stay until the await is
  /// complete.
  [[nodiscard]] auto async_join(CancelToken token = {}) {
    return Await<detail::JoinOp<T>>(std::move(token), answer_.operation());
  }
  [[nodiscard]] bool done() const { return answer_.done(); }

 private:
  oneshot::Receiver<Result<T>> answer_;
};

/// Starts `task` on `executor`. Any thread.
template <class T>
JoinHandle<T> spawn(Executor& executor, Task<T> task) {
  auto [reply, answer] = oneshot::channel<Result<T>>();
  const auto handle = task.release();
  handle.promise().reply.emplace(std::move(reply));
  auto& start = handle.promise().start;
  start.handle = handle;
  start.run = [](Executor::Ready& self) noexcept {
    static_cast<detail::TaskPromiseBase::Start&>(self).handle.resume();
  };
  executor.schedule(start);
  return JoinHandle<T>(std::move(answer));
}

/// `co_await yield()` lets other coroutines that are ready run first.
struct [[nodiscard]] yield {
  struct Turn : Executor::Ready {
    std::coroutine_handle<> handle;
  };
  Turn turn{};
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) noexcept {
    turn.handle = handle;
    turn.run = [](Executor::Ready& self) noexcept { static_cast<Turn&>(self).handle.resume(); };
    Executor::required().schedule(turn);
  }
  void await_resume() const noexcept {}
};

}  // namespace gantry
