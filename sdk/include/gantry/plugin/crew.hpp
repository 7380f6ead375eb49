// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/crew.hpp: what serves a plugin's calls besides its strand: a pool
// (plugin/pool.hpp), coroutines (plugin/coro.hpp). A plugin that uses neither has an empty one.
//
// Thread rule: serial. What engaged() gives may be let go on any thread.
// Stopping: the answer to STOP waits until everything that is engaged has been let go. The destructor of each member
//   joins what it runs; the calls that are served have been cancelled before.
#pragma once

#include <gantry/plugin/host.hpp>

#include <memory>
#include <utility>
#include <vector>

namespace gantry::detail {

class Crew {
 public:
  class Member {
   public:
    Member() = default;
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    virtual ~Member() = default;
    /// Before each message: what could not be posted may run now.
    virtual void turn() {}
  };

  explicit Crew(Host host) : host_(std::move(host)) {}

  /// The plugin's M; made when it is first asked for.
  template <class M>
  [[nodiscard]] M& member() {
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

  /// Held while a call is served. Null: the plugin is stopping.
  [[nodiscard]] std::shared_ptr<void> engaged() const { return open_; }
  /// `last` dies when all that is engaged has been let go.
  void stop(std::shared_ptr<void> last) {
    if (open_) open_->last = std::move(last);
    open_.reset();
  }
  /// Joins everything.
  void dismiss() { members_.clear(); }

 private:
  struct Open {
    std::shared_ptr<void> last;
  };
  Host host_;
  std::shared_ptr<Open> open_ = std::make_shared<Open>();
  std::vector<std::pair<const void*, std::unique_ptr<Member>>> members_;
};

}  // namespace gantry::detail
