// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/inline/serial_queue.hpp"

#include <exception>
#include <string>
#include <system_error>
#include <utility>

namespace gantry::host {

namespace {
// What close() sends when pushes are refused already must find a place.
constexpr std::size_t kSpare = 1024;
}  // namespace

SerialQueue::SerialQueue(OnUnhandledException on_unhandled_exception, OnIdle on_idle, std::optional<Borrowed> where,
                         mpsc::Channel<Task> channel)
    : on_unhandled_exception_(std::move(on_unhandled_exception)),
      on_idle_(std::move(on_idle)),
      borrowed_(std::move(where)),
      tx_(std::move(channel.tx)),
      rx_(std::move(channel.rx)),
      where_(borrowed_ ? Where::worker : Where::own_thread) {}

Result<std::shared_ptr<SerialQueue>> SerialQueue::with_thread(OnUnhandledException on_unhandled_exception,
                                                              OnIdle on_idle) {
  std::shared_ptr<SerialQueue> queue(new SerialQueue(std::move(on_unhandled_exception), std::move(on_idle),
                                                     std::nullopt, mpsc::channel<Task>(kMaxTasks + kSpare)));
  try {
    queue->start_thread();
  } catch (const std::system_error& e) {
    return fail(ErrorKind::overloaded, "the system gives no thread for it: " + std::string(e.what()));
  }
  return queue;
}

std::shared_ptr<SerialQueue> SerialQueue::borrowed(OnUnhandledException on_unhandled_exception, Borrowed where,
                                                   OnIdle on_idle) {
  return std::shared_ptr<SerialQueue>(new SerialQueue(std::move(on_unhandled_exception), std::move(on_idle),
                                                      std::move(where), mpsc::channel<Task>(kMaxTasks + kSpare)));
}

SerialQueue::~SerialQueue() {
  if (thread_.joinable()) thread_.detach();
}

void SerialQueue::release() {
  if (borrowed_) {
    schedule();
  } else {
    (void)begin_.reply.send(true);
  }
}

// The runner keeps the queue alive, so that a stuck one can be let go.
void SerialQueue::start_thread() {
  Lock lock(mutex_);
  thread_ = std::thread([self = shared_from_this()] {
    if (self->borrowed_ || self->begin_.answer.recv().value_or(false)) self->serve();
  });
}

void SerialQueue::drain_here() {
  (void)begin_.reply.send(false);
  while (auto task = rx_.try_recv()) run(*task, owner_.lock().get());
}

void SerialQueue::drop() {
  closed_ = true;
  (void)begin_.reply.send(false);
  std::thread thread;
  {
    Lock lock(mutex_);
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

bool SerialQueue::push(Task task) {
  if (closed_ || rx_.size() >= kMaxTasks) return false;
  return tx_.try_send(std::move(task)).has_value();
}

// An empty task is the last but those that crossed it. What a task holds dies serially as well: before its turn ends.
void SerialQueue::run(Task& task, Plugin* owner) {
  if (!task) {
    rx_.close();
    return;
  }
  if (drops_) {
    task = nullptr;
    return;
  }
  try {
    task(owner);
  } catch (const std::exception& e) {
    on_unhandled_exception_(e.what());
  } catch (...) {
    on_unhandled_exception_("an exception of unknown type");
  }
  task = nullptr;
  has_run_ = true;
}

void SerialQueue::rest() {
  if (std::exchange(has_run_, false) && on_idle_ && !drops_) on_idle_();
}

void SerialQueue::schedule() {
  Worker* worker = Worker::current();
  if (worker == nullptr) worker = last_worker_.load(std::memory_order_relaxed);
  schedule_on(worker != nullptr ? *worker : borrowed_->workers.first());
}

void SerialQueue::schedule_on(Worker& worker) {
  worker.post([self = shared_from_this(), &worker] { self->turn(worker); });
}

void SerialQueue::turn(Worker& worker) {
  last_worker_.store(&worker, std::memory_order_relaxed);
  const std::shared_ptr<TurnOwner> self = shared_from_this();
  auto owner = owner_.lock();  // once for all of the turn's tasks: each would write a line that others use
  TimePoint begun = borrowed_->clock.now();
  for (std::size_t i = 0; i < kTasksATurn; ++i) {
    auto task = rx_.try_recv();
    if (!task) {
      rest();
      if (!rx_.ready_or_wake(waker_)) return;  // from here on the next turn may be running
      if (!rx_.drained()) continue;
      over();
      return;
    }
    const auto number = worker.begin_turn(self);
    run(*task, owner.get());
    if (!worker.end_turn(number)) {
      owner.reset();
      serve();  // this thread is the plugin's own now
      throw Worker::Lost{};
    }
    const TimePoint ended = borrowed_->clock.now();
    if (ended - begun > kSlow && move_to_thread(ended - begun)) return;
    if (worker.spend(ended - begun)) break;
    begun = ended;
  }
  schedule_on(worker);
}

bool SerialQueue::move_to_thread(Duration took) {
  try {
    start_thread();
  } catch (const std::system_error&) {
    return false;  // no thread to be had: it stays where it is
  }
  where_ = Where::own_thread;
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
  borrowed_->on_moved("a delivery took " + std::to_string(ms) + " ms");
  return true;
}

void SerialQueue::turn_lost() {
  where_ = Where::own_thread;
  borrowed_->on_moved("a delivery does not return, and its worker was taken over");
}

void SerialQueue::serve() {
  auto task = rx_.recv();
  while (task) {
    run(*task, owner_.lock().get());
    if (on_idle_ && rx_.size() == 0) rest();
    task = rx_.recv();
  }
  over();
}

void SerialQueue::over() { (void)over_.reply.send(true); }

void SerialQueue::close() {
  if (!closed_.exchange(true)) (void)tx_.try_send(Task());
}

bool SerialQueue::join(std::chrono::steady_clock::time_point until) {
  const bool finished = over_.answer.recv({.until = until, .token = {}}).has_value();
  if (!finished) drops_ = true;
  std::thread thread;
  {
    Lock lock(mutex_);
    thread = std::move(thread_);
  }
  if (!thread.joinable()) return finished;
  if (finished) {
    thread.join();
  } else {
    thread.detach();
  }
  return finished;
}

}  // namespace gantry::host
