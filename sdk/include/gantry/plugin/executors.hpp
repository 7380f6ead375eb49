// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/executors.hpp: the executors of a plugin besides its strand: a pool
// (plugin/pool.hpp), coroutines (plugin/coro.hpp). A plugin that uses neither has none.
//
// Thread rule: serial. The result of engaged() may be released on any thread.
// Stopping: the answer to STOP waits until every result of engaged() is released. The destructor of
//   each member joins what the member runs; the calls that it serves have been cancelled before.
#pragma once

#include <gantry/plugin/host.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace gantry::detail {

class Executors {
 public:
  /// One of a kind: a plugin has at most one of each class.
  class Member {
   public:
    Member() = default;
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    virtual ~Member() = default;
    /// Called before each message: tasks that the host refused to post may run now.
    virtual void turn() {}
  };

  explicit Executors(Host host) : host_(std::move(host)) {}
  Executors(const Executors&) = delete;
  Executors& operator=(const Executors&) = delete;

  /// The plugin's member of type M; made when it is first asked for.
  template <class M>
  [[nodiscard]] M& get() {
    static constexpr char kKey = 0;
    for (const auto& [key, member] : members_) {
      if (key == &kKey) return static_cast<M&>(*member);
    }
    auto made = std::make_unique<M>(host_);
    M& out = *made;
    members_.emplace_back(&kKey, std::move(made));
    return out;
  }
  void turn() {
    for (const auto& [key, member] : members_) member->turn();
  }

  /// Kept while a call is served. Null: the plugin is stopping.
  [[nodiscard]] std::shared_ptr<void> hold() const { return open_; }
  /// `last` dies when everything that hold() gave has been let go.
  void stop(std::shared_ptr<void> last) {
    if (open_) open_->last = std::move(last);
    open_.reset();
  }
  void join() { members_.clear(); }

 private:
  struct Open {
    std::shared_ptr<void> last;
  };
  Host host_;
  std::shared_ptr<Open> open_ = std::make_shared<Open>();
  std::vector<std::pair<const void*, std::unique_ptr<Member>>> members_;
};

}  // namespace gantry::detail
