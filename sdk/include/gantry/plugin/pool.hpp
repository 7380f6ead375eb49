// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/pool.hpp: a thread pool of the plugin's own, for handlers that block or compute.
//
//   d.method("index.build", gantry::on_pool(&Index::build));   // Result<Built> build(const BuildParams&, Call&)
//
// The params are read, and refused, serially. The handler runs on one of at most kPoolThreads
// threads, concurrently with the plugin's other handlers and with other runs of itself: shared
// state needs a lock. The handler does not own its call: its result is the answer. call.cancelled()
// and call.cancel_token() tell it to end; stream.send() waits for the caller's credit.
//
// Full: kPoolQueue calls may wait; more are refused with `overloaded`.
// Exceptions: a handler that throws answers `internal`.
// Stopping: calls that wait or run are cancelled, and the answer to `stop` waits for those that
//   run. The threads are joined before the plugin's object is destroyed.
#pragma once

#include <gantry/plugin/handler.hpp>

#include <gantry/plugin/executors.hpp>
#include <gantry/worker_pool.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace gantry {

inline constexpr std::size_t kPoolThreads = 4;
inline constexpr std::size_t kPoolQueue = 256;

template <class F>
struct OnPool {
  F handler;
};
template <class F>
[[nodiscard]] OnPool<F> on_pool(F handler) {
  return OnPool<F>{std::move(handler)};
}

namespace detail {

class PoolExecutor final : public Executors::Member {
 public:
  explicit PoolExecutor(const Host& host)
      : pool_(kPoolThreads, kPoolQueue, [host](std::string_view what) {
          host.log(Level::error, "exception on the pool: " + std::string(what));
        }) {}
  [[nodiscard]] WorkerPool& pool() { return pool_; }

 private:
  WorkerPool pool_;
};

template <class T, class F>
struct Handler<T, OnPool<F>> : HandlerTypes<T, F> {
  using Types = HandlerTypes<T, F>;
  static_assert(!Types::answers_itself, "a handler on the pool takes a Call& or a Stream&: its result answers");
  static_assert(!Types::is_coroutine, "a coroutine runs serially: it needs no pool");

  struct Job {
    std::shared_ptr<void> held;  // let go last: after the answer
    F handler;
    T* self;
    typename Types::Params params;
    typename Types::Caller call;

    void operator()() {
      if (call.cancelled()) return call.reply_error(Error{ErrorKind::cancelled, "cancelled before its turn", {}});
      try {
        answer_by_handler<T, F>(handler, *self, std::move(params), call);
      } catch (const std::exception& e) {
        call.reply_error(Error{ErrorKind::internal, call.method() + " failed: " + e.what(), {}});
      } catch (...) {
        call.reply_error(Error{ErrorKind::internal, call.method() + " failed: an exception of unknown type", {}});
      }
    }
  };

  static void serve(const OnPool<F>& on_pool, T& self, typename Types::Params params, Call call) {
    const auto state = state_of(call);
    auto held = state->executors->hold();
    if (!held) return call.reply_error(Error{ErrorKind::unavailable, "the plugin is stopping", {}});
    state->served = true;
    WorkerPool::Job job(
        Job{std::move(held), on_pool.handler, &self, std::move(params), typename Types::Caller(std::move(call))});
    if (auto spawned = state->executors->template get<PoolExecutor>().pool().spawn(std::move(job)); !spawned)
      state->finish(static_cast<std::int32_t>(spawned.error().kind), error_payload(spawned.error()));
  }
};

}  // namespace detail

}  // namespace gantry
