// SPDX-License-Identifier: Apache-2.0
//
// writer.hpp: the thread that changes the store. Commands that wait are committed together; then come the answers, then
// the events.
//
// The order is the point: an answer is never ahead of the disk, an event never ahead of the answer that caused it. The
// thread never waits for more commands to come: a group is what has gathered while the commit before it ran.
//
// Thread rule: submit() and run() by any thread; start(), close() and the destructor serially, and behind the last
//   submit() and run(). Callbacks run on the writer's thread.
// Bounds: kMaxWaiting commands wait (more are `overloaded`), kMaxGroup are committed at once.
// Stopping: close() lets no more commands in; those that wait are committed and answered.
#pragma once

#include <atomic>
#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/plugin/host.hpp>
#include <gantry/plugin/thread.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plugins/project_state/publisher.hpp"
#include "plugins/project_state/store.hpp"

namespace gantry::state {

class Writer {
 public:
  static constexpr std::size_t kMaxWaiting = 4096;
  static constexpr std::size_t kMaxGroup = 256;

  using Done = std::move_only_function<void(Result<std::string>)>;
  using Task = std::move_only_function<void(Store&)>;

  /// The store belongs to the writer's thread from start() on.
  Writer(Host host, Store& store);
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { sender_.close(); }

  [[nodiscard]] Result<void> start();
  /// `done` gets what the commit comes to. `overloaded`, `unavailable` (closed): the command is not taken.
  [[nodiscard]] Result<void> submit(Command command, Done done);
  /// Runs `task` behind all commands that were submitted before.
  [[nodiscard]] Result<void> run(Task task);
  /// The object is kept in memory, before anything that was submitted or run behind it; not while very much waits.
  void keep(Type type, const std::string& id);
  /// `last` runs behind everything.
  void close(std::move_only_function<void()> last);

 private:
  /// A command with its callback, a task, or an object to keep.
  struct Job {
    Command command;
    Done done;
    Task task;
    std::optional<std::pair<Type, std::string>> keep{};
    Profile::Clock::time_point submitted{};  ///< while the store is profiled
  };
  Writer(Host host, Store& store, mpsc::Channel<Job> jobs);
  void loop();
  /// False: everything is done and nothing more comes.
  [[nodiscard]] bool next(std::vector<Job>& jobs, bool bus_is_full);
  void do_due();
  void keep_what_was_read(const std::vector<Job>& jobs);
  void commit(std::vector<Job>& jobs);
  [[nodiscard]] Result<void> push(Job job);

  Host host_;
  Store& store_;
  Publisher publisher_;
  mpsc::Sender<Job> sender_;
  mpsc::Receiver<Job> receiver_;
  std::move_only_function<void()> last_;
  bool due_fails_ = false;  ///< what is due could not be done the last time
  PluginThread thread_;
};

}  // namespace gantry::state
