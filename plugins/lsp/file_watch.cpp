// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/file_watch.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>

namespace gantry::lsp {

namespace {

using WallTime = FileWatch::WallTime;

// Times of files are those of the last tick of the kernel's clock.
constexpr std::chrono::milliseconds kTick{20};
constexpr std::chrono::seconds kMargin{1};

struct FileTimes {
  WallTime changed, born;
};

[[nodiscard]] WallTime time_of(const statx_timestamp& time) {
  return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::seconds(time.tv_sec) +
                                                                 std::chrono::nanoseconds(time.tv_nsec)));
}

/// Nothing: there is no such file. A file system that does not know when files were born gives the last change.
[[nodiscard]] std::optional<FileTimes> times_of(const std::string& path) {
  struct statx info{};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_CTIME | STATX_BTIME, &info) != 0) return std::nullopt;
  const auto changed = time_of(info.stx_ctime);
  return FileTimes{changed, (info.stx_mask & STATX_BTIME) != 0 ? time_of(info.stx_btime) : changed};
}

}  // namespace

FileWatch::FileWatch(std::shared_ptr<Context> context, std::string name, Tell tell)
    : context_(std::move(context)), name_(std::move(name)), tell_(std::move(tell)) {}

FileWatch::~FileWatch() { release_tree(); }

void FileWatch::look_for(WatchedGlobs wanted, std::vector<std::string> folders, WallTime since) {
  {
    Lock lock(mutex_);
    task_ = Task{std::move(wanted), std::move(folders), since};
  }
  post_step();
}

void FileWatch::go_on() {
  due_ = true;
  post_step();
}

void FileWatch::reported(const std::string& path) {
  const auto now = std::chrono::system_clock::now();
  Lock lock(mutex_);
  if (reported_.size() >= kMaxRemembered)
    std::erase_if(reported_, [&](const auto& each) { return now - each.second > kEcho; });
  if (reported_.size() < kMaxRemembered) reported_.insert_or_assign(path, now);
}

bool FileWatch::is_news(const std::string& path) const {
  Lock lock(mutex_);
  const auto it = told_.find(path);
  return it == told_.end() || context_->host.now() - it->second > kEcho;
}

// ---- the worker
// -------------------------------------------------------------------------------------------------------

void FileWatch::post_step() {
  if (posted_.exchange(true)) return;
  const auto posted = context_->worker.post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->step();
  });
  if (posted) return;
  posted_ = false;
  (void)context_->host.after(std::chrono::seconds(1), [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->post_step();
  });
}

void FileWatch::step() {
  posted_ = false;
  std::optional<Task> task;
  {
    Lock lock(mutex_);
    task = std::exchange(task_, std::nullopt);
  }
  if (task && !complete_) complete_ = task->since - kTick;
  if (task && !(tree_ && task->wanted == wanted_ && task->folders == folders_)) begin(*task);
  if (!tree_) return;
  look();
  if (walked_) {
    if (tree_->walk(kWalkFolders, [this](std::string path) { found(std::move(path)); })) return post_step();
    end_walk();
  }
  if (due_.exchange(false)) tell();
  if (touched_.empty() && unsent_.empty()) complete_ = looked_ - kMargin;
  tell_later();
}

void FileWatch::begin(const Task& task) {
  release_tree();
  wanted_ = task.wanted;
  folders_ = task.folders;
  const auto unwanted = [this](const std::string& path) { return !wanted_.wants(path); };
  std::erase_if(known_, unwanted);
  std::erase_if(touched_, unwanted);
  walked_.reset();
  if (wanted_.empty()) return;
  tree_ = std::make_unique<TreeWatch>(folders_, TreeWatch::Bounds{kMaxFolders, kMaxChanges},
                                      [this](const std::string& path) { return wanted_.wants(path); });
  walked_.emplace();
  if (tree_->fd() < 0) return;
  context_->reactor->post([reactor = context_->reactor.get(), fd = tree_->fd(), weak = weak_from_this()] {
    (void)reactor->add(fd, EPOLLIN | EPOLLET, [weak](std::uint32_t) {
      if (const auto self = weak.lock()) self->post_step();
    });
  });
}

// The descriptor is the reactor's to forget before it is closed.
void FileWatch::release_tree() {
  if (!tree_) return;
  context_->reactor->post([reactor = context_->reactor.get(), tree = std::move(tree_)] {
    if (tree->fd() >= 0) reactor->remove(tree->fd());
  });
}

void FileWatch::found(std::string path) {
  if (!known_.contains(path)) {
    const auto times = times_of(path);
    if (!times) return;
    if (times->changed >= *complete_) touched_.insert(path);
    if (times->born < *complete_) known_.insert(path);
  } else if (const auto times = times_of(path); times && times->changed >= *complete_) {
    touched_.insert(path);
  }
  walked_->insert(std::move(path));
}

void FileWatch::end_walk() {
  std::ranges::set_difference(known_, *walked_, std::inserter(touched_, touched_.end()));
  walked_.reset();
  if (!tree_->blind() || std::exchange(warned_, true)) return;
  context_->host.log(Level::warn, name_ + " is not told of all changes of files: more than " +
                                      std::to_string(tree_->folders()) +
                                      " folders cannot be watched (fs.inotify.max_user_watches)");
}

void FileWatch::look() {
  looked_ = std::chrono::system_clock::now();
  const Changes changes = tree_->look();
  touch(changes);
  if (!changes.lost && touched_.size() <= kMaxChanges) return;
  touched_.clear();
  begin(Task{wanted_, folders_, {}});
}

void FileWatch::touch(const Changes& changes) {
  for (const auto& [path, change] : changes.files) {
    if (wanted_.wants(path)) touched_.insert(path);
    if (change != FileChange::deleted) continue;
    const std::string below = path + "/";
    for (auto it = known_.lower_bound(below); it != known_.end() && it->starts_with(below); ++it) touched_.insert(*it);
  }
}

void FileWatch::tell_later() {
  if (touched_.empty() || waits_) return;
  const auto timer = context_->host.after(kQuiet, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->go_on();
  });
  waits_ = timer.has_value();
  if (!waits_) tell();
}

// What the server has to be told of the file; known_ has the file as it is.
std::optional<FileChange> FileWatch::difference(const std::string& path) {
  const auto times = times_of(path);
  const bool was = known_.contains(path);
  if (times) known_.insert(path);
  if (!times) known_.erase(path);
  if (!times && !was) return std::nullopt;
  if (was_reported(path, times ? std::optional(times->changed) : std::nullopt)) return std::nullopt;
  const auto change = !times ? FileChange::deleted : was ? FileChange::changed : FileChange::created;
  return wanted_.wants(path, change) ? std::optional(change) : std::nullopt;
}

// A report of a file that has changed since, or came back, says less than the server has to know.
bool FileWatch::was_reported(const std::string& path, const std::optional<WallTime>& changed) {
  Lock lock(mutex_);
  const auto report = reported_.extract(path);
  return !report.empty() && (!changed || *changed + kTick < report.mapped());
}

void FileWatch::note_told(const Files& files) {
  const auto now = context_->host.now();
  Lock lock(mutex_);
  if (told_.size() + files.size() > kMaxRemembered)
    std::erase_if(told_, [&](const auto& each) { return now - each.second > kEcho; });
  for (const auto& [path, change] : files) {
    if (told_.size() < kMaxRemembered) told_.insert_or_assign(path, now);
  }
}

void FileWatch::tell() {
  waits_ = false;
  while (!touched_.empty() || !unsent_.empty()) {
    while (unsent_.size() < kMaxInMessage && !touched_.empty()) {
      const auto next = touched_.extract(touched_.begin());
      if (const auto change = difference(next.value())) unsent_.emplace_back(next.value(), *change);
    }
    if (unsent_.empty()) return;
    note_told(unsent_);
    waits_ = !tell_(unsent_);
    if (waits_) return;
    unsent_.clear();
  }
}

}  // namespace gantry::lsp
