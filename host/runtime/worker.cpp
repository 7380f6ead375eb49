// SPDX-License-Identifier: Apache-2.0
#include "host/runtime/worker.hpp"

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <thread>

#include "host/runtime/timer_queue.hpp"

namespace gantry::host {

namespace asio = boost::asio;

namespace {

// One steady_timer serves the whole queue; it is touched on the worker's thread only.
class AsioTimers final : public Timers {
 public:
  explicit AsioTimers(asio::io_context& context) : context_(context), timer_(context) {}

  [[nodiscard]] TimePoint now() const override { return std::chrono::steady_clock::now(); }

  TimerKey at(TimePoint when, Callback callback) override {
    const auto added = queue_.add(when, std::move(callback));
    if (added.first) asio::post(context_, [this] { arm(); });
    return added.key;
  }
  bool cancel(TimerKey key) override { return queue_.remove(key); }

 private:
  struct Rearm {
    AsioTimers& timers;
    ~Rearm() { timers.arm(); }
  };
  void arm() {
    const auto next = queue_.earliest();
    if (!next) return;
    timer_.expires_at(*next);
    timer_.async_wait([this](const boost::system::error_code& failed) {
      if (failed) return;
      const auto time = now();
      const Rearm rearm{*this};  // also when a callback throws
      while (auto due = queue_.take_due(time)) (*due)();
    });
  }

  asio::io_context& context_;
  asio::steady_timer timer_;
  TimerQueue queue_;
};

}  // namespace

struct Worker::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  AsioTimers timers{context};
  std::atomic<std::thread::id> thread;
};

Worker::Worker() : impl_(std::make_unique<Impl>()) {}
Worker::~Worker() = default;

void Worker::run(const std::function<void(std::string_view)>& on_escape) {
  impl_->thread = std::this_thread::get_id();
  bool last = false;
  while (true) {
    try {
      if (!last) impl_->context.run();
      // What was cancelled by the last tasks still holds its owners: let it go while those are alive.
      last = true;
      impl_->context.restart();
      (void)impl_->context.poll();
      return;
    } catch (const std::exception& e) {
      on_escape(e.what());
    }
  }
}

void Worker::stop() { impl_->context.stop(); }
void Worker::post(std::move_only_function<void()> task) { asio::post(impl_->context, std::move(task)); }
bool Worker::here() const { return impl_->thread.load(std::memory_order_relaxed) == std::this_thread::get_id(); }
asio::io_context& Worker::context() { return impl_->context; }
Timers& Worker::timers() { return impl_->timers; }

}  // namespace gantry::host
