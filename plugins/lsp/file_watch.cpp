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
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_TYPE | STATX_CTIME | STATX_BTIME, &info) != 0 || S_ISDIR(info.stx_mode))
    return std::nullopt;
  const auto changed = time_of(info.stx_ctime);
  return FileTimes{changed, (info.stx_mask & STATX_BTIME) != 0 ? time_of(info.stx_btime) : changed};
}

[[nodiscard]] bool is_below(const std::string& path, const std::string& folder) {
  return path.starts_with(folder) && (folder.ends_with('/') || path.substr(folder.size()).starts_with('/'));
}

}  // namespace

bool FileWatch::Scope::has(const std::string& path) const {
  return std::ranges::any_of(folders, [&](const auto& folder) { return is_below(path, folder); }) && wanted.wants(path);
}

FileWatch::FileWatch(std::shared_ptr<Context> context, std::string name, Tell tell)
    : context_(std::move(context)), name_(std::move(name)), tell_(std::move(tell)) {}

FileWatch::~FileWatch() { release_tree(); }

void FileWatch::look_for(WatchedGlobs wanted, std::vector<std::string> folders, WallTime since) {
  {
    Lock lock(mutex_);
    task_ = Task{{std::move(wanted), std::move(folders)}, since};
  }
  post_step();
}

void FileWatch::go_on() {
  due_ = true;
  post_step();
}

void FileWatch::reported(const std::string& path, FileChange change) {
  const auto now = std::chrono::system_clock::now();
  Lock lock(mutex_);
  if (reported_.size() >= kMaxRemembered)
    std::erase_if(reported_, [&](const auto& each) { return now - each.second.at > kEcho; });
  if (reported_.size() < kMaxRemembered) reported_.insert_or_assign(path, Report{change, now});
}

bool FileWatch::is_news(const std::string& path) const {
  Lock lock(mutex_);
  const auto it = told_.find(path);
  return it == told_.end() || context_->host.now() - it->second > kEcho;
}

// ---- the worker -----------------------------------------------------------------------------------------------------

void FileWatch::post_step() {
  if (posted_.exchange(true)) return;
  const auto posted = context_->worker.post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->step();
  });
  if (posted) return;
  posted_ = false;
  step_in(std::chrono::seconds(1), &FileWatch::post_step);
}

// Without a timer at once.
void FileWatch::step_in(Duration time, void (FileWatch::*then)()) {
  const auto timer = context_->host.after(time, [weak = weak_from_this(), then] {
    if (const auto self = weak.lock()) ((*self).*then)();
  });
  if (!timer)
    context_->reactor->post([weak = weak_from_this(), then] {
      if (const auto self = weak.lock()) ((*self).*then)();
    });
}

void FileWatch::step() {
  posted_ = false;
  take_task();
  if (begins_) release_tree();
  if (begins_ && !releasing_) begin();
  if (!tree_) return;
  look();
  if (walking_) walk();
  if (due_.exchange(false)) tell();
  const bool all_told = touched_.empty() && unsent_.empty();
  if (all_told && !walking_ && !missed_) complete_ = looked_ - kMargin;
  if (missed_ && !walking_ && all_told) begins_ = true;
  warn();
  tell_later();
  if (tree_->lost_root() && !walking_ && !std::exchange(retries_, true)) step_in(kRetry, &FileWatch::retry);
  if (begins_ || walking_ || !tree_->drained()) post_step();
}

void FileWatch::take_task() {
  std::optional<Task> task;
  {
    Lock lock(mutex_);
    task = std::exchange(task_, std::nullopt);
  }
  if (!task) return;
  if (!complete_) complete_ = task->since - kTick;
  if (task->scope == scope_) return;
  scope_ = std::move(task->scope);
  begins_ = true;
}

void FileWatch::begin() {
  begins_ = missed_ = retries_ = walking_ = false;
  if (scope_.wanted.empty()) return;
  tree_ = std::make_unique<TreeWatch>(scope_.folders, TreeWatch::Bounds{kMaxFolders, kMaxChanges},
                                      [this](const std::string& path) { return scope_.wanted.wants(path); });
  ++walk_;
  walking_ = true;
  if (tree_->fd() < 0) return;
  context_->reactor->post([reactor = context_->reactor.get(), fd = tree_->fd(), weak = weak_from_this()] {
    (void)reactor->add(fd, EPOLLIN | EPOLLET, [weak](std::uint32_t) {
      if (const auto self = weak.lock()) self->post_step();
    });
  });
}

// The reactor has to forget the descriptor before it is closed. The next tree waits for that: the kernel grants a user
// so many watches.
void FileWatch::release_tree() {
  if (!tree_) return;
  releasing_ = true;
  const int fd = tree_->fd();
  auto close = [tree = std::shared_ptr<TreeWatch>(std::move(tree_)), weak = weak_from_this()]() mutable {
    tree.reset();
    if (const auto self = weak.lock()) {
      self->releasing_ = false;
      self->post_step();
    }
  };
  context_->reactor->post([context = context_.get(), fd, close = std::move(close)]() mutable {
    context->reactor->remove(fd);
    auto shared = std::make_shared<decltype(close)>(std::move(close));
    if (!context->worker.post([shared] { (*shared)(); })) (*shared)();
  });
}

void FileWatch::walk() {
  const auto until = std::chrono::steady_clock::now() + kWalkTime;
  while (tree_->walk(1, [this](const std::string& path) { found(path); })) {
    if (std::chrono::steady_clock::now() >= until) return;
  }
  end_walk();
}

void FileWatch::found(const std::string& path) {
  const auto it = known_.find(path);
  if (it == known_.end() && std::max(known_.size(), touched_.size()) >= kMaxFiles) {
    crowded_ = true;
    return;
  }
  const auto times = times_of(path);
  if (!times) return;
  const bool is_new = covered_ && covered_->has(path);  // or it would be known
  if (it != known_.end()) it->second = walk_;
  if (times->changed >= *complete_ || (it == known_.end() && is_new)) touched_.insert(path);
  if (it == known_.end() && !is_new && times->born < *complete_) known_.emplace(path, walk_);
}

// What is known and was not found is gone, or out of sight.
void FileWatch::end_walk() {
  walking_ = false;
  for (auto it = known_.begin(); it != known_.end();) {
    const auto& [path, walk] = *it;
    const bool unseen = walk != walk_;
    if (unseen && !scope_.has(path)) {
      it = known_.erase(it);
      continue;
    }
    if (unseen) {
      const auto times = times_of(path);
      if (!times || times->changed >= *complete_) touched_.insert(path);
    }
    ++it;
  }
  covered_ = scope_;
}

void FileWatch::warn() {
  if (!(tree_->full() || tree_->fd() < 0 || crowded_) || std::exchange(warned_, true)) return;
  context_->host.log(Level::warn, name_ + " may not be told of all changes of files: " + std::to_string(known_.size()) +
                                      " files in " + std::to_string(tree_->folders()) +
                                      " folders are watched, and there are more (fs.inotify.max_user_watches)");
}

void FileWatch::look() {
  const auto now = std::chrono::system_clock::now();
  const Changes changes = tree_->look(kLookBytes);
  if (tree_->drained()) looked_ = now;
  touch(changes);
  missed_ = missed_ || changes.lost;
}

void FileWatch::touch(const Changes& changes) {
  const auto add = [this](const std::string& path) {
    if (touched_.size() < kMaxChanges) {
      touched_.insert(path);
    } else {
      missed_ = true;
    }
  };
  for (const auto& [path, change] : changes.files) {
    if (scope_.wanted.wants(path)) add(path);
    if (change != FileChange::deleted) continue;
    const std::string below = path + "/";
    for (auto it = known_.lower_bound(below); it != known_.end() && it->first.starts_with(below); ++it) add(it->first);
  }
}

void FileWatch::tell_later() {
  if ((touched_.empty() && unsent_.empty()) || waits_) return;
  waits_ = true;
  step_in(kQuiet, &FileWatch::go_on);
}

// What the server has to be told of the file; known_ has the file as it is.
std::optional<FileChange> FileWatch::difference(const std::string& path) {
  const auto times = times_of(path);
  const bool was = known_.contains(path);
  // Of a file that is not known, it is not known whether it was there.
  const bool unsure = crowded_ || (walking_ && !(covered_ && covered_->has(path)));
  if (!times && !was && !unsure) return std::nullopt;
  FileChange change = FileChange::deleted;
  if (times) change = was || (unsure && times->born < *complete_) ? FileChange::changed : FileChange::created;
  if (!times) {
    known_.erase(path);
  } else if (was || known_.size() < kMaxFiles) {
    known_.insert_or_assign(path, walk_);
  }
  if (was_reported(path, change, times ? std::optional(times->changed) : std::nullopt)) return std::nullopt;
  return scope_.wanted.wants(path, change) ? std::optional(change) : std::nullopt;
}

// A report of another change, or of a file that has changed since, says less than the server has to know.
bool FileWatch::was_reported(const std::string& path, FileChange change, const std::optional<WallTime>& changed) {
  Lock lock(mutex_);
  const auto report = reported_.extract(path);
  if (report.empty()) return false;
  const auto& [said, at] = report.mapped();
  const bool same = said == change || (said == FileChange::created && change == FileChange::changed);
  if (!same || std::chrono::system_clock::now() - at > kEcho) return false;
  return !changed || *changed + kTick < at;
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
    waits_ = !tell_(unsent_);
    if (waits_) return;
    note_told(unsent_);
    unsent_.clear();
  }
}

}  // namespace gantry::lsp
