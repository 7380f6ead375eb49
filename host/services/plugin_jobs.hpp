// SPDX-License-Identifier: Apache-2.0
//
// host/services/plugin_jobs.hpp: threads for the starts and ends of plugins, and for what comes before them.
//
// Thread rule: any thread; stop() and block_until_idle() block, and are not for a job.
// Bounds: kThreads jobs run at once, the others wait: for each plugin a start or an end, and the ends beside it. The
// first thread is there from the start: where the system gives no more, it does all, since no job waits for another.
// Never: `done` is not called, but for a job that still waits at stop().
#pragma once

#include <functional>
#include <gantry/deadline.hpp>
#include <gantry/worker_pool.hpp>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace gantry::host {

class PluginJobs {
 public:
  static constexpr std::size_t kThreads = 32;

  /// Throws where the system gives no thread.
  explicit PluginJobs(std::function<void(std::string_view)> on_unhandled_exception)
      : pool_(kThreads, std::numeric_limits<std::size_t>::max(), std::move(on_unhandled_exception)) {
    if (const auto first = pool_.spawn([] {}); !first) throw std::runtime_error(first.error().message);
  }

  /// Runs `work` on another thread, and `done` with what that gives, or with broke(why) where it throws.
  template <class Work, class Broke, class Done>
  void run(Work work, Broke broke, Done done) {
    auto job = std::make_shared<Job<Work, Broke, Done>>(std::move(work), std::move(broke), std::move(done));
    const auto spawned = pool_.spawn([job] { job->done(job->outcome()); });
    if (!spawned) job->done(job->broke(spawned.error().message));  // it has stopped
  }
  /// False: some ran or waited at `until`.
  [[nodiscard]] bool block_until_idle(std::optional<TimePoint> until) { return pool_.block_until_idle(until); }
  /// Waits for those that run; drops those that wait.
  void stop() { (void)pool_.stop(); }

 private:
  template <class Work, class Broke, class Done>
  struct Job {
    Work work;
    Broke broke;
    Done done;
    [[nodiscard]] auto outcome() -> decltype(work()) {
      try {
        return work();
      } catch (const std::exception& e) {
        return broke(e.what());
      } catch (...) {
        return broke("an exception of unknown type");
      }
    }
  };

  WorkerPool pool_;
};

}  // namespace gantry::host
