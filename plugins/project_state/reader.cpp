// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/reader.hpp"

#include <utility>

namespace gantry::state {

Reader::Reader(Host host, const Store& store, Writer& writer, std::pair<const char*, Profile::Thread> thread)
    : Reader(std::move(host), store, writer, thread, mpsc::channel<Job>(kMaxWaiting)) {}

Reader::Reader(Host host, const Store& store, Writer& writer, std::pair<const char*, Profile::Thread> thread,
               mpsc::Channel<Job> jobs)
    : host_(std::move(host)),
      store_(store),
      writer_(writer),
      kind_(thread),
      sender_(std::move(jobs.tx)),
      receiver_(std::move(jobs.rx)) {}

Result<void> Reader::start() {
  auto thread = PluginThread::start(host_, kind_.first, [this](const CancelToken&) { loop(); });
  if (!thread) return std::unexpected(thread.error());
  thread_ = std::move(*thread);
  return {};
}

void Reader::read(std::string_view name, Body body, Done done) { push({name, std::move(body), std::move(done)}); }

void Reader::push(Job job) {
  Error error{ErrorKind::unavailable, "project_state has stopped; call again later", {}};
  {
    const Lock lock(mutex_);
    if (!ended_) {
      const auto sent = sender_.try_send(std::move(job));  // leaves what it refuses
      if (sent) return;
      error = {ErrorKind::overloaded, std::to_string(kMaxWaiting) + " reads of state wait; call again later",
               R"({"retry_after_ms":100})"};
    }
  }
  job.done(std::unexpected(std::move(error)));  // NOLINT(bugprone-use-after-move): see above
}

void Reader::join() {
  {
    const Lock lock(mutex_);
    ended_ = true;
    sender_.close();
  }
  thread_.stop();
}

void Reader::loop() {
  while (auto job = receiver_.recv()) serve(std::move(*job));
  db_.reset();
}

void Reader::serve(Job job) {
  const auto connected = connect();
  if (connected) return job.done(attempt(job));
  if (std::exchange(job.again, true)) return job.done(std::unexpected(connected.error()));
  // Whoever holds the job while it is refused answers it.
  const auto held = std::make_shared<Job>(std::move(job));
  const auto taken = writer_.run([this, held](Store& store) {
    if (const auto opened = store.ensure_open(); !opened) return held->done(std::unexpected(opened.error()));
    push(std::move(*held));
  });
  if (!taken) held->done(std::unexpected(taken.error()));
}

Result<void> Reader::connect() {
  const auto opened = store_.published();
  if (db_ != nullptr && (generation_ != opened->generation || db_->poisoned() || db_->moved())) db_.reset();
  if (db_ != nullptr) return {};
  if (!opened->open) return fail(ErrorKind::storage_failed, "state.db was closed while it was read; call again");
  auto db =
      Database::open(opened->folder + "/state.db", SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW);
  if (!db) return std::unexpected(db.error());
  if (auto ok = (*db)->exec("PRAGMA query_only = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY"); !ok) return ok;
  sqlite3_busy_timeout((*db)->handle(), 2000);
  db_ = std::move(*db);
  generation_ = opened->generation;
  return {};
}

Result<std::string> Reader::attempt(const Job& job) {
  const Span span(store_.profile(), kind_.second, job.name);
  if (auto ok = db_->exec("BEGIN"); !ok) return std::unexpected(ok.error());
  auto result = [&]() -> Result<std::string> {
    const auto ledger = read_ledger(*db_);
    if (!ledger) return std::unexpected(ledger.error());
    return job.body(*db_, *ledger);
  }();
  (void)db_->exec("COMMIT");
  if (db_->damaged()) {
    store_.note_suspicion();
    (void)writer_.run([](Store& store) { store.suspect(); });
  }
  return result;
}

}  // namespace gantry::state
