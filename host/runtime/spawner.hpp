// SPDX-License-Identifier: Apache-2.0
//
// host/runtime/spawner.hpp: starts all processes of the host, on one thread that lives as long as
// the host. A parent-death signal comes when the thread ends that started the process, not when the
// host does; so the thread must not be one of a pool.
//
// Thread rule: spawn() from any thread that may block; the first call starts the thread. The
// destructor when no thread is in spawn() any more; the processes get their parent-death signal
// then, at the latest.
// Never: a process gets a descriptor, a variable, a signal mask or an ignored signal of the host
// that its request does not contain.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <gantry/channel/mpsc.hpp>
#include <gantry/channel/oneshot.hpp>
#include <gantry/mutex.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace gantry::host {

struct SpawnRequest {
  std::filesystem::path program;         ///< a path, or a name that is looked for on the host's PATH
  std::vector<std::string> argv;         ///< the first one is the program's name for itself
  std::vector<std::string> environment;  ///< NAME=value
  std::vector<int> descriptors;          ///< borrowed: the n-th becomes descriptor n; -1: /dev/null. It has no others
  std::optional<std::filesystem::path> folder;
};

/// A process that leads a process group of its own. The owner waits for it by its pidfd, and closes
/// that.
struct Spawned {
  pid_t pid = -1;
  int pidfd = -1;
};

/// The end of a process whose `pidfd` is readable: "exit code 3", "signal 9 (Killed)"; "unknown"
/// when other code has waited for it.
[[nodiscard]] std::string what_became_of(int pidfd);

class Spawner {
 public:
  Spawner() = default;
  ~Spawner();
  Spawner(const Spawner&) = delete;
  Spawner& operator=(const Spawner&) = delete;

  /// `not_found`: there is no such program; `unavailable`: it cannot be started; `overloaded`: the
  /// system gives no thread, process or descriptor.
  [[nodiscard]] Result<Spawned> spawn(const SpawnRequest& request);

 private:
  struct Job {
    const SpawnRequest* request;  ///< owned by the thread in spawn()
    oneshot::Sender<Result<Spawned>> reply;
  };
  static constexpr std::size_t kJobs = 16;  ///< a thread that finds no room waits

  mpsc::Channel<Job> jobs_ = mpsc::channel<Job>(kJobs);
  Mutex mutex_;
  std::thread thread_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
