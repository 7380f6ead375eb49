// SPDX-License-Identifier: Apache-2.0
//
// reader.hpp: the thread that reads the database, by a connection of its own that cannot write: no read waits for a
// commit. Each read is one transaction, so that it sees the state as of one seq.
//
// Thread rule: read() by any thread; start(), join() and the destructor serially. Answers come on the reader's thread.
// Bounds: kMaxWaiting reads wait; more are `overloaded`.
// Errors: a database that is not open, or was moved, is opened anew by the writer, and the read then tried once more.
#pragma once

#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/mutex.hpp>
#include <gantry/plugin/thread.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "plugins/project_state/store.hpp"
#include "plugins/project_state/writer.hpp"

namespace gantry::state {

class Reader {
 public:
  static constexpr std::size_t kMaxWaiting = 1024;

  /// Returns the answer's JSON text.
  using Body = std::function<Result<std::string>(Database&, const Ledger&)>;
  using Done = std::move_only_function<void(Result<std::string>)>;

  /// `thread`: its name, and what it is in a profile.
  Reader(Host host, const Store& store, Writer& writer, std::pair<const char*, Profile::Thread> thread);
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { join(); }

  [[nodiscard]] Result<void> start();
  /// `done` gets what `body` returns. `name`: in a profile; a literal.
  void read(std::string_view name, Body body, Done done);
  /// What waits is read first; what comes later is `unavailable`.
  void join();

 private:
  struct Job {
    std::string_view name;
    Body body;
    Done done;
    bool again = false;  ///< the writer has opened the database for it
  };
  Reader(Host host, const Store& store, Writer& writer, std::pair<const char*, Profile::Thread> thread,
         mpsc::Channel<Job> jobs);
  void push(Job job);
  void loop();
  void serve(Job job);
  /// False: the store is to be opened by the writer first.
  [[nodiscard]] Result<void> connect();
  [[nodiscard]] Result<std::string> attempt(const Job& job);

  Host host_;
  const Store& store_;
  Writer& writer_;
  const std::pair<const char*, Profile::Thread> kind_;
  Mutex mutex_{"state reader"};
  bool ended_ GANTRY_GUARDED_BY(mutex_) = false;  ///< no more jobs are taken
  mpsc::Sender<Job> sender_ GANTRY_GUARDED_BY(mutex_);
  mpsc::Receiver<Job> receiver_;
  std::unique_ptr<Database> db_;
  std::uint64_t generation_ = 0;  ///< of the store's connection, when this one was opened
  PluginThread thread_;
};

}  // namespace gantry::state
