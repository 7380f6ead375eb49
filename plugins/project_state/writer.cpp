// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/writer.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace gantry::state {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPause{20};       // before a full bus is tried again
constexpr milliseconds kLook{30'000};    // the wall clock may be set to any time: look again now and then
constexpr milliseconds kTryAgain{1000};  // what is due

}  // namespace

Writer::Writer(Host host, Store& store) : Writer(std::move(host), store, mpsc::channel<Job>(kMaxWaiting)) {}

Writer::Writer(Host host, Store& store, mpsc::Channel<Job> jobs)
    : host_(std::move(host)),
      store_(store),
      publisher_(host_, store),
      sender_(std::move(jobs.tx)),
      receiver_(std::move(jobs.rx)) {}

Result<void> Writer::start() {
  publisher_.announce();
  auto thread = PluginThread::start(host_, "state-writer", [this](const CancelToken&) { loop(); });
  if (!thread) return std::unexpected(thread.error());
  thread_ = std::move(*thread);
  return {};
}

Result<void> Writer::push(Job job) {
  auto sent = sender_.try_send(std::move(job));
  if (sent || sent.error().kind != ErrorKind::overloaded) return sent;
  return fail(ErrorKind::overloaded,
              std::to_string(kMaxWaiting) + " changes of state wait for the disk; call again later",
              R"({"retry_after_ms":100})");
}

Result<void> Writer::submit(Command command, Done done) {
  Job job{std::move(command), std::move(done), {}};
  if (store_.profile().is_on()) job.submitted = Profile::Clock::now();
  return push(std::move(job));
}

Result<void> Writer::run(Task task) { return push({{}, {}, std::move(task)}); }

void Writer::keep(Type type, const std::string& id) { (void)sender_.try_send({{}, {}, {}, std::pair(type, id)}); }

void Writer::close(std::move_only_function<void()> last) {
  last_ = std::move(last);
  sender_.close();
}

void Writer::loop() {
  std::vector<Job> jobs;
  bool bus_is_full = !publisher_.send_committed();  // what the start of the store has changed
  while (next(jobs, bus_is_full)) {
    do_due();
    commit(jobs);
    bus_is_full = !publisher_.send_committed();
  }
  if (last_) std::exchange(last_, {})();
}

// A full bus keeps nobody who stops: what it did not take stays in the log.
bool Writer::next(std::vector<Job>& jobs, bool bus_is_full) {
  jobs.clear();
  std::optional<milliseconds> wait;
  if (const auto due = store_.due_in_ms())
    wait = std::clamp(milliseconds(*due), due_fails_ ? kTryAgain : kPause, kLook);
  if (bus_is_full) wait = kPause;
  if (!wait) return receiver_.recv_many(jobs, kMaxGroup) != 0;
  return receiver_.recv_many(jobs, kMaxGroup, {.until = time_after(*wait), .token = {}}) != 0 || !receiver_.drained();
}

void Writer::do_due() {
  const auto due = store_.due_in_ms();
  if (!due || *due > 0) return;
  const auto done = store_.do_due();
  if (!done && !due_fails_) host_.log(Level::error, "turns stay whose time has come: " + done.error().message);
  due_fails_ = !done;
}

// First, so that a task behind them, such as a flush, is answered when they are in memory.
void Writer::keep_what_was_read(const std::vector<Job>& jobs) {
  std::vector<std::pair<Type, std::string>> kept;
  for (const auto& job : jobs) {
    if (job.keep) kept.push_back(*job.keep);
  }
  if (!kept.empty()) store_.keep(kept);
}

void Writer::commit(std::vector<Job>& jobs) {
  keep_what_was_read(jobs);
  std::vector<Command> commands;
  for (auto next = jobs.begin(); next != jobs.end();) {
    if (next->task) {
      next->task(store_);
      ++next;
      continue;
    }
    const auto begin = next;
    commands.clear();
    for (; next != jobs.end() && !next->task; ++next) {
      if (next->keep) continue;
      if (next->submitted != Profile::Clock::time_point())
        store_.profile().add_wait(next->command.name, next->submitted, Profile::Clock::now());
      commands.push_back(std::move(next->command));
    }
    if (commands.empty()) continue;
    auto results = store_.commit(commands);
    auto result = results.begin();
    for (auto job = begin; job != next; ++job) {
      if (!job->keep) job->done(std::move(*result++));
    }
  }
}

}  // namespace gantry::state
