// SPDX-License-Identifier: Apache-2.0
#include "host/runtime/worker.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <gantry/detail/spin.hpp>
#include <string>
#include <system_error>

namespace gantry::host {

namespace {
[[nodiscard]] int make_eventfd() {
  const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

[[nodiscard]] TimePoint now() { return std::chrono::steady_clock::now(); }

[[nodiscard]] std::string first_word(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string word;
  in >> word;
  return word;
}
}  // namespace

bool on_battery(const std::filesystem::path& supplies) {
  bool discharging = false;
  std::error_code failed;
  for (auto it = std::filesystem::directory_iterator(supplies, failed);
       !failed && it != std::filesystem::directory_iterator(); it.increment(failed)) {
    const std::string type = first_word(it->path() / "type");
    if (type == "Battery") {
      // A mouse has a battery as well; only the system's own counts.
      if (first_word(it->path() / "scope") != "Device")
        discharging = discharging || first_word(it->path() / "status") == "Discharging";
    } else if (first_word(it->path() / "online") == "1") {
      return false;
    }
  }
  return discharging;
}

Worker::Worker(WorkersShared& shared) : shared_(shared), wake_ups_(context_, make_eventfd()) { wait_for_wake_up(); }

void Worker::wait_for_wake_up() {
  wake_ups_.async_read_some(boost::asio::buffer(&wake_up_count_, sizeof wake_up_count_),
                            [this](const boost::system::error_code& failed, std::size_t /*read*/) {
                              if (!failed) wait_for_wake_up();
                            });
}

Worker::Here& Worker::here() {
  static constinit thread_local Here here;
  return here;
}

// The worker's own thread looks into the inbox before it sleeps. So does one that has taken over since the turn that
// this thread is in began: either it sees the task, or this thread sees that it is lost.
void Worker::wake_up() noexcept {
  const Here& me = here();
  if (me.worker == this && (me.turn == 0 || me.turn == turn_.load(std::memory_order_seq_cst))) return;
  const std::uint64_t one = 1;
  (void)!::write(wake_ups_.native_handle(), &one, sizeof one);  // a full counter wakes as well
}

// A task at a time: one that does not return takes no other with it.
bool Worker::run_inbox() {
  constexpr std::size_t kBatch = 64;
  spent_ = Duration::zero();
  for (std::size_t i = 0; i < kBatch && spent_ <= kLookAfter; ++i) {
    auto task = inbox_.rx.try_recv();
    if (!task) return i != 0;
    (*task)();
  }
  return true;
}

void Worker::serve(const OnUnhandledException& on_unhandled_exception) {
  here() = Here{this, 0};
  while (!stopping_) {
    try {
      run();
    } catch (const Lost&) {
      return;
    } catch (const std::exception& e) {
      on_unhandled_exception(e.what());
    }
  }
  on_rest_();
  here() = Here{};
}

bool Worker::run_leftovers(const OnUnhandledException& on_unhandled_exception) {
  here() = Here{this, 0};
  bool any = false;
  bool more = true;
  while (more) {
    try {
      context_.restart();
      on_rest_();
      more = context_.poll() != 0;
      more = run_inbox() || more;
      any = any || more;
    } catch (const std::exception& e) {
      any = true;
      on_unhandled_exception(e.what());
    }
  }
  here() = Here{};
  return any;
}

void Worker::stop() {
  stopping_ = true;
  context_.stop();
}

void Worker::set_polling(bool on) {
  if (polling_.exchange(on) != on) context_.stop();  // it goes on the other way
}

void Worker::run() {
  while (!stopping_) {
    if (run_inbox()) {
      (void)context_.poll_one();
    } else if (polling_) {
      poll_or_sleep();
    } else if (may_sleep()) {
      sleep();
    }
    if (context_.stopped() && !stopping_) context_.restart();
  }
}

void Worker::poll_or_sleep() {
  if (context_.poll_one() != 0) return;
  if (window_.length() > Duration::zero() && !saves_power() && poll_for(window_.length())) return;
  if (!may_sleep()) return;
  const TimePoint asleep = now();
  sleep();
  window_.slept(now() - asleep);
}

// The on_rest callback may post, and a post by the worker's own thread wakes nobody: so the inbox is looked into
// afterwards.
bool Worker::may_sleep() {
  on_rest_();
  return !inbox_.rx.ready_or_wake(waker_);
}

void Worker::sleep() {
  count(sleeps_);
  (void)context_.run_one();
}

bool Worker::saves_power() {
  constexpr std::uint32_t kAskEvery = 1024;
  if (!shared_.not_on_battery.load(std::memory_order_relaxed)) return false;
  if (power_asked_++ % kAskEvery == 0) on_battery_ = on_battery();
  return on_battery_;
}

bool Worker::poll_for(Duration window) {
  const Worker* nobody = nullptr;
  if (!shared_.poller.compare_exchange_strong(nobody, this, std::memory_order_relaxed)) return false;
  const struct Leave {
    std::atomic<const Worker*>& poller;
    ~Leave() { poller.store(nullptr, std::memory_order_relaxed); }
  } leave{shared_.poller};
  count(polls_);
  const TimePoint begun = now();
  bool found = false;
  TimePoint time = begun;
  while (!found && time - begun < window && !context_.stopped()) {
    gantry::detail::cpu_pause();
    time = now();
    found = inbox_.rx.size() != 0 || context_.poll_one() != 0;  // no turn is among what Asio runs
  }
  count(polled_ns_, static_cast<std::uint64_t>((time - begun).count()));
  if (found) count(poll_hits_);
  return found;
}

std::uint64_t Worker::begin_turn(const std::shared_ptr<TurnOwner>& owner) {
  if (owner_set_.owner_before(owner) || owner.owner_before(owner_set_)) {
    owner_set_ = owner;
    Lock lock(mutex_);
    owner_ = owner;
  }
  count(turns_);
  const std::uint64_t turn = ++last_turn_;
  // Told first, then looked: who watches either sees the turn before it rests, or is seen to rest and woken.
  here().turn = turn;
  turn_.store(turn, std::memory_order_seq_cst);
  if (shared_.watch_rests.load(std::memory_order_seq_cst)) shared_.wake_watch();
  return turn;
}

bool Worker::end_turn(std::uint64_t turn) {
  here().turn = 0;
  if (turn_.compare_exchange_strong(turn, 0, std::memory_order_acq_rel)) return true;
  here() = Here{};
  return false;
}

bool Worker::take_over(std::uint64_t turn) {
  std::shared_ptr<TurnOwner> owner;
  {
    Lock lock(mutex_);
    owner = owner_.lock();
  }
  // What the lost thread wrote before its turn is the new one's from here on.
  if (!turn_.compare_exchange_strong(turn, 0, std::memory_order_seq_cst)) return false;
  count(taken_over_);
  if (owner) owner->turn_lost();
  return true;
}

WorkerCounts Worker::counts() const {
  const auto get = [](const std::atomic<std::uint64_t>& counter) { return counter.load(std::memory_order_relaxed); };
  return WorkerCounts{get(turns_), get(taken_over_), get(sleeps_),
                      get(polls_), get(poll_hits_),  std::chrono::nanoseconds(get(polled_ns_))};
}

}  // namespace gantry::host
