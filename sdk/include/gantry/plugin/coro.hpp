// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/coro.hpp: handlers that are coroutines. Opt-in; needs clang (gantry/coro.hpp).
//
//   gantry::Task<gantry::Result<Found>> find(FindParams params, gantry::Call call) {
//     auto page = co_await fetch(params.url, call.cancel_token());
//     ...
//     co_return Found{...};
//   }
//   d.method("web.find", &Web::find);
//
// The coroutine's return value is the answer; its Call is for deadline, progress, items and
// cancellation. The coroutine takes its arguments by value: they live in its frame. It runs
// serially with the plugin's other handlers and, between two waits, without interruption; many
// coroutines may be open at once.
//
// Exceptions: an exception that escapes answers `internal`.
// Stopping: calls are cancelled, and the answer to `stop` waits for their ends. The plugin's object
//   is not destroyed before its coroutines have ended: a coroutine that ignores its cancel_token()
//   may delay that for ever.
#pragma once

#include <gantry/plugin/handler.hpp>

#include <gantry/coro.hpp>
#include <gantry/plugin/executors.hpp>
#include <memory>
#include <string>
#include <utility>

namespace gantry {

namespace detail {

/// The executor that the plugin's strand is: whoever makes something ready posts a turn to it.
class SerialExecutor final : public Executors::Member, private Executor {
 public:
  explicit SerialExecutor(Host host) : host_(std::move(host)) {}
  ~SerialExecutor() override {
    // This thread is the strand now; nothing is posted any more.
    closing_.store(true, std::memory_order_relaxed);
    const Entered entered(*this);
    awake();
    while (true) {
      const auto seen = wake_word_.load(std::memory_order_acquire);
      if (run_ready(kBatch)) continue;
      if (running_ == 0) return;
      if (!fall_asleep()) continue;
      (void)futex_wait(wake_word_, seen);
      awake();
    }
  }

  /// Starts `task` and runs it until it waits.
  void start(Task<void> task) {
    (void)spawn(*this, std::move(task));
    run();
  }
  void turn() override {
    if (unposted_.exchange(false, std::memory_order_acq_rel)) run();
  }

  /// Counts one coroutine that was started and has not ended.
  class Running {
   public:
    explicit Running(SerialExecutor& executor) : executor_(&executor) { ++executor.running_; }
    Running(Running&& other) noexcept : executor_(std::exchange(other.executor_, nullptr)) {}
    Running& operator=(Running&&) = delete;
    ~Running() {
      if (executor_ != nullptr) --executor_->running_;
    }

   private:
    SerialExecutor* executor_;
  };

 private:
  static constexpr std::size_t kBatch = 64;

  void run() {
    const Entered entered(*this);
    awake();
    if (run_ready(kBatch) && has_ready()) {
      post();  // messages from others come in between
    } else if (!fall_asleep()) {
      post();
    }
  }
  void notify() noexcept override {
    wake_word_.fetch_add(1, std::memory_order_acq_rel);
    futex_wake(&wake_word_, 1);
    post();
  }
  /// When the host refuses the post, the next message, or the end, runs the coroutine.
  void post() noexcept {
    if (closing_.load(std::memory_order_relaxed)) return;
    try {
      if (host_.post([this] { run(); })) return;
    } catch (...) {  // NOLINT(bugprone-empty-catch): no memory; as if it was refused
    }
    unposted_.store(true, std::memory_order_release);
  }

  Host host_;
  std::size_t running_ = 0;  ///< serial
  std::atomic<bool> closing_{false};
  std::atomic<bool> unposted_{false};
  FutexWord wake_word_{0};
};

template <class R>
struct Coroutine<Task<R>> {
  static constexpr bool is = true;
  using Value = R;

  template <class T, class F>
  static void serve(const F& handler, T& self, typename HandlerTypes<T, F>::Params params, Call call) {
    const auto state = state_of(call);
    auto held = state->executors->hold();
    if (!held) return call.reply_error(Error{ErrorKind::unavailable, "the plugin is stopping", {}});
    state->served = true;
    auto& executor = state->executors->template get<SerialExecutor>();
    executor.start(run<T, F>(SerialExecutor::Running(executor), std::move(held), handler, &self, std::move(params),
                             std::move(call)));
  }

 private:
  template <class T, class F>
  static Task<R> begin(const F& handler, T& self, typename HandlerTypes<T, F>::Params params, const Call& call) {
    using Types = HandlerTypes<T, F>;
    static_assert(!std::is_reference_v<typename Types::P> && !std::is_reference_v<typename Types::C>,
                  "a coroutine takes its params and its Call by value");
    if constexpr (Types::takes_call) {
      return invoke_handler<T, F>(handler, self, std::move(params),
                                  typename Types::Caller(Call(state_of(call), false)));
    } else {
      return invoke_handler<T, F>(handler, self, std::move(params));
    }
  }
  template <class T, class F>
  static Task<void> run(SerialExecutor::Running /*running*/, std::shared_ptr<void> held, F handler, T* self,
                        typename HandlerTypes<T, F>::Params params, Call call) {
    std::string thrown;
    try {
      if constexpr (std::is_void_v<R>) {
        co_await begin<T, F>(handler, *self, std::move(params), call);
        call.reply_raw("{}");
      } else {
        const R result = co_await begin<T, F>(handler, *self, std::move(params), call);
        reply_with(call, result);
      }
      co_return;
    } catch (const std::exception& e) {
      thrown = e.what();
    } catch (...) {
      thrown = "an exception of unknown type";
    }
    call.reply_error(Error{ErrorKind::internal, call.method() + " failed: " + thrown, {}});
    (void)held;
  }
};

}  // namespace detail

/// Waits for `time`. `cancelled`: `token` was cancelled before. `overloaded`: the plugin has too
/// many timers.
inline Task<Result<void>> sleep_for(Host host, Duration time, CancelToken token = {}) {
  auto [reply, over] = oneshot::channel<bool>();
  auto wake = std::make_shared<oneshot::Sender<bool>>(std::move(reply));
  const auto timer = host.after(time, [wake] { (void)wake->send(true); });
  if (!timer) co_return fail(ErrorKind::overloaded, "the plugin has too many timers");
  auto came = co_await over.async_recv(std::move(token));
  if (came) co_return Result<void>();
  (void)host.cancel(*timer);
  co_return std::unexpected(std::move(came.error()));
}

/// Sends an item, and waits for the caller's credit while the outbox is full. Errors as Call::item.
template <class Item>
Task<Result<void>> async_send(Stream<Item>& stream, Item value) {
  std::string text = dump_json(to_json(value));
  while (true) {
    auto sent = stream.try_item_raw(text);
    if (sent || sent.error().kind != ErrorKind::overloaded) co_return sent;
    auto [reply, room] = oneshot::channel<bool>();
    auto wake = std::make_shared<oneshot::Sender<bool>>(std::move(reply));
    stream.on_credit([wake] { (void)wake->send(true); });
    auto came = co_await room.async_recv(stream.cancel_token());
    if (!came) co_return std::unexpected(std::move(came.error()));
  }
}

}  // namespace gantry
