// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/backup_thread.hpp"

#include <utility>

#include "plugins/project_state/wall_clock.hpp"

namespace gantry::state {

BackupThread::BackupThread(Host host, const Store& store, Options options)
    : BackupThread(std::move(host), store, options, mpsc::channel<Done>(kMaxWaiting)) {}

BackupThread::BackupThread(Host host, const Store& store, Options options, mpsc::Channel<Done> requests)
    : host_(std::move(host)),
      store_(store),
      options_(options),
      sender_(std::move(requests.tx)),
      receiver_(std::move(requests.rx)) {}

Result<void> BackupThread::start() {
  auto thread = PluginThread::start(host_, "state-backup", [this](const CancelToken&) { loop(); });
  if (!thread) return std::unexpected(thread.error());
  thread_ = std::move(*thread);
  return {};
}

void BackupThread::request(Done done) {
  const auto sent = sender_.try_send(std::move(done));  // leaves what it refuses
  if (sent) return;
  // NOLINTNEXTLINE(bugprone-use-after-move): see above
  done(fail(ErrorKind::overloaded, "backups wait to be made; call again later", R"({"retry_after_ms":1000})"));
}

void BackupThread::set_options(Options options) {
  const Lock lock(mutex_);
  options_ = options;
}

BackupThread::Options BackupThread::options() const {
  const Lock lock(mutex_);
  return options_;
}

void BackupThread::join() {
  sender_.close();
  thread_.stop();
}

void BackupThread::loop() {
  // A change of the interval is seen when the one before is over, or an hour later.
  while (true) {
    const auto interval = options().interval;
    const auto wait = interval.count() == 0 ? std::chrono::minutes(60) : interval;
    auto request = receiver_.recv_for(wait);
    if (request) {
      (*request)(make());
    } else if (request.error().kind == ErrorKind::timeout) {
      if (options().interval.count() != 0) make_if_changed();
    } else {
      return;
    }
  }
}

Result<Backup> BackupThread::make() {
  const auto store = store_.published();
  if (!store->open) return fail(ErrorKind::storage_failed, "the store is not open; call again when it can be read");
  const Span span(store_.profile(), Profile::Thread::backups, "backup");
  return make_backup(store->folder, wall_ms(), options().keep);
}

void BackupThread::make_if_changed() {
  const auto store = store_.published();
  if (!store->open) return;
  const auto known = list_backups(store->folder);
  const auto now = newest_seq(store->folder);
  if (now && known && !known->empty() && known->front().seq == *now) return;
  const auto made = now ? make() : Result<Backup>(std::unexpected(now.error()));
  if (!made) host_.log(Level::error, "no backup of project state was made: " + made.error().message);
}

}  // namespace gantry::state
