// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/metrics_thread.hpp"

#include <utility>
#include <vector>

#include "plugins/project_state/fields.hpp"
#include "plugins/project_state/wall_clock.hpp"

namespace gantry::state {

MetricsThread::MetricsThread(Host host, const std::string& folder)
    : MetricsThread(std::move(host), folder, mpsc::channel<Task>(kMaxWaiting)) {}

MetricsThread::MetricsThread(Host host, const std::string& folder, mpsc::Channel<Task> tasks)
    : host_(std::move(host)),
      store_(folder, [host = host_](Level level, const std::string& line) { host.log(level, line); }),
      sender_(std::move(tasks.tx)),
      receiver_(std::move(tasks.rx)) {}

Result<void> MetricsThread::start() {
  auto thread = PluginThread::start(host_, "state-metrics", [this](const CancelToken&) { loop(); });
  if (!thread) return std::unexpected(thread.error());
  thread_ = std::move(*thread);
  return {};
}

void MetricsThread::record(Measurement measurement, Done done) {
  measurement.at_ms = wall_ms();
  push(
      [measurement = std::move(measurement)](MetricsStore& store) -> Result<json> {
        if (auto ok = store.add(measurement); !ok) return std::unexpected(ok.error());
        return json{{"durability", "D1"}};
      },
      std::move(done));
}

void MetricsThread::query(MetricsQuery query, Done done) {
  push(
      [this, query = std::move(query)](MetricsStore& store) {
        commit();
        return store.query(query, wall_ms());
      },
      std::move(done));
}

void MetricsThread::flush(Done done) {
  push(
      [this](MetricsStore& store) -> Result<json> {
        commit();
        if (fails_) return fail(ErrorKind::storage_failed, "measurements could not be written; the log says why");
        if (auto ok = store.sync(); !ok) return std::unexpected(ok.error());
        return json::object();
      },
      std::move(done));
}

void MetricsThread::push(std::function<Result<json>(MetricsStore&)> what, Done done) {
  const auto held = std::make_shared<Done>(std::move(done));
  Error error{ErrorKind::unavailable, "project_state has stopped; call again later", {}};
  {
    const Lock lock(mutex_);
    if (!ended_) {
      if (sender_.try_send([held, what = std::move(what)](MetricsStore& store) { (*held)(what(store)); })) return;
      error = {ErrorKind::overloaded, "too many measurements wait; call again later", R"({"retry_after_ms":250})"};
    }
  }
  (*held)(std::unexpected(std::move(error)));
}

void MetricsThread::join() {
  {
    const Lock lock(mutex_);
    ended_ = true;
    sender_.close();
  }
  thread_.stop();
}

void MetricsThread::loop() {
  std::vector<Task> tasks;
  std::optional<TimePoint> due;
  while (true) {
    tasks.clear();
    const auto got = receiver_.recv_many(tasks, kBatch, {.until = due, .token = {}});
    for (auto& task : tasks) task(store_);
    if (store_.waiting() == 0) {
      due.reset();
    } else if (!due) {
      due = time_after(kGather);
    }
    const bool over = got == 0 && receiver_.drained();
    const bool late = due && got == 0;
    if (over || late || store_.waiting() >= kBatch) {
      commit();
      // What could not be written is tried again in the next interval.
      due = store_.waiting() == 0 ? std::nullopt : std::optional(time_after(kGather));
    }
    if (over) break;
  }
  store_.close();
}

// Events of metrics are news alone: they are not kept, and nobody resumes them.
void MetricsThread::commit() {
  const auto told = store_.flush(wall_ms());
  if (!told && !std::exchange(fails_, true))
    host_.log(Level::error, "metrics are not written: " + told.error().message);
  if (!told) return;
  fails_ = false;
  if (!told->empty()) (void)host_.publish("metrics.recorded", {{"points", *told}});
}

}  // namespace gantry::state
