// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/embedded/workspace_index.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <exception>

namespace gantry::ai {

namespace {

constexpr std::size_t kFirstPublished = 64 * 1024;  // tokens

// Learning yields to everything else on the machine; signals are for the host's threads.
void become_background() {
  sigset_t all;
  sigfillset(&all);
  (void)pthread_sigmask(SIG_BLOCK, &all, nullptr);
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);
}

}  // namespace

struct WorkspaceIndex::Task {
  std::string workspace;
  IndexProgress progress;
  TimePoint began;
  TimePoint told;
};

void WorkspaceIndex::set_workspaces(const std::vector<std::string>& folders, std::size_t max_tokens) {
  std::vector<IndexProgress> too_many;
  std::vector<std::string> said;                            // before
  std::vector<std::shared_ptr<const SuffixModel>> dropped;  // freed outside the lock
  bool work = false;
  {
    Lock lock(mutex_);
    max_tokens_ = max_tokens;
    for (auto it = entries_.begin(); it != entries_.end();) {
      if (std::find(folders.begin(), folders.end(), it->first) != folders.end()) {
        ++it;
        continue;
      }
      if (it->first == current_) abandon_.store(true, std::memory_order_relaxed);
      std::erase(queue_, it->first);
      dropped.push_back(std::move(it->second.learned.model));
      it = entries_.erase(it);
    }
    for (const auto& folder : folders) {
      if (entries_.contains(folder)) continue;
      if (entries_.size() >= kMaxWorkspaces) {
        IndexProgress refused;
        refused.workspace = folder;
        refused.refused = "not learned: " + std::to_string(kMaxWorkspaces) +
                          " other workspaces are; start the host with fewer of them";
        too_many.push_back(std::move(refused));
        continue;
      }
      entries_[folder].progress.workspace = folder;
      queue_.push_back(folder);
    }
    for (const auto& before : refused_) said.push_back(before.workspace);
    refused_ = too_many;
    work = !queue_.empty() && !quit_;
  }
  changed_.notify_all();
  for (const auto& refused : too_many) {
    if (std::find(said.begin(), said.end(), refused.workspace) != said.end()) continue;
    hooks_.log(Level::warn, "workspace " + refused.workspace + " is " + refused.refused);
    hooks_.progress(refused);
  }
  if (work && !thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void WorkspaceIndex::stop() {
  {
    Lock lock(mutex_);
    quit_ = true;
    abandon_.store(true, std::memory_order_relaxed);
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::string WorkspaceIndex::around(std::string_view path) const {
  Lock lock(mutex_);
  std::string best;
  for (const auto& [folder, unused] : entries_) {
    const bool inside =
        path == folder || (path.starts_with(folder) && (folder.ends_with('/') || path[folder.size()] == '/'));
    if (inside && folder.size() > best.size()) best = folder;
  }
  return best;
}

Learned WorkspaceIndex::find(const std::string& workspace) const {
  Lock lock(mutex_);
  const auto it = entries_.find(workspace);
  return it == entries_.end() ? Learned{} : it->second.learned;
}

std::vector<IndexProgress> WorkspaceIndex::list() const {
  std::vector<IndexProgress> all;
  Lock lock(mutex_);
  for (const auto& [folder, entry] : entries_) all.push_back(entry.progress);
  all.insert(all.end(), refused_.begin(), refused_.end());
  return all;
}

void WorkspaceIndex::run() {
  become_background();
  while (true) {
    std::string workspace;
    std::size_t max_tokens = 0;
    {
      Lock lock(mutex_);
      current_.clear();
      while (queue_.empty() && !quit_) changed_.wait(mutex_);
      if (quit_) return;
      workspace = current_ = queue_.front();
      queue_.erase(queue_.begin());
      max_tokens = max_tokens_;
      abandon_.store(false, std::memory_order_relaxed);
    }
    try {
      learn(workspace, max_tokens);
    } catch (const std::exception& e) {
      hooks_.log(Level::error, "learning " + workspace + " failed: " + e.what());
    }
  }
}

void WorkspaceIndex::learn(const std::string& workspace, std::size_t max_tokens) {
  Task task{workspace, {}, hooks_.now(), hooks_.now() - kProgressEvery};
  task.progress.workspace = workspace;
  Corpus corpus;
  std::size_t publish_at = kFirstPublished;
  report(task, true);
  bool full = false;
  const auto counts = walk_text_files(workspace, WalkLimits{}, abandon_, [&](const std::string& text) {
    if (!corpus.add_file(text, max_tokens)) {
      full = true;
      return false;
    }
    task.progress.files = corpus.files;
    task.progress.tokens = corpus.tokens.size();
    if (corpus.tokens.size() >= publish_at) {
      publish_at = corpus.tokens.size() * 2;
      publish(task, corpus, false);
    }
    report(task, false);
    return true;
  });
  if (abandon_.load(std::memory_order_relaxed)) return;
  for (const auto& note : counts.notes) hooks_.log(Level::warn, note);
  task.progress.skipped = counts.skipped;
  task.progress.truncated = full || !counts.complete;
  publish(task, std::move(corpus), true);
  if (abandon_.load(std::memory_order_relaxed)) return;
  task.progress.done = true;
  report(task, true);
}

void WorkspaceIndex::publish(Task& task, Corpus corpus, bool done) {
  auto model = SuffixModel::build(std::move(corpus), abandon_);
  if (!model) return;
  // The one before dies outside the lock.
  Lock lock(mutex_);
  const auto it = entries_.find(task.workspace);
  if (it == entries_.end()) return;
  std::swap(it->second.learned.model, model);
  it->second.learned.ready = done;
}

void WorkspaceIndex::report(Task& task, bool force) {
  const TimePoint now = hooks_.now();
  if (!force && now - task.told < kProgressEvery) return;
  task.told = now;
  task.progress.seconds = std::chrono::duration<double>(now - task.began).count();
  {
    Lock lock(mutex_);
    const auto it = entries_.find(task.workspace);
    if (it != entries_.end()) it->second.progress = task.progress;
  }
  hooks_.progress(task.progress);
}

}  // namespace gantry::ai
