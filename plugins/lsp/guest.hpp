// SPDX-License-Identifier: Apache-2.0
//
// guest.hpp: the place of callers at a server of editors.
//
// Callers (scripts, agents) take whichever server of their root editors have. Their session (shared.hpp) is then one
// more client of the editors' session (attach.hpp), which keeps its view, its ids and its documents apart as those of
// any editor. The guest's settings are not asked for, the server asks the guest nothing but while a command of its own
// runs or no editor is left, and the guest's folders are not the server's. A guest is told nothing of a restart: it
// goes with the process, and comes again.
//
// Thread rule: see connection.hpp. Messages pass both ways in turns of the plugin's handlers.
// Bounds: AttachSession::kMaxUnread bytes of the server's messages that wait for the next turn: with more the guest
//   leaves, as an editor that does not read. What waits to be said is bounded by its session (shared.hpp).
// Never: an event while a lock of a session is held.
#pragma once

#include <atomic>
#include <deque>
#include <gantry/mutex.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lsp/client.hpp"
#include "plugins/lsp/connection.hpp"
#include "plugins/lsp/context.hpp"

namespace gantry::lsp {

class GuestConnection final : public ServerConnection, public std::enable_shared_from_this<GuestConnection> {
 public:
  /// `events` outlives what it is told, or is gone.
  GuestConnection(std::shared_ptr<Context> context, const std::shared_ptr<AttachSession>& session,
                  std::weak_ptr<ConnectionEvents> events);
  /// Leaves.
  ~GuestConnection() override;

  [[nodiscard]] bool owns_process() const override { return false; }
  /// A guest that was sent away would come back to the same end for ever, if that did not count.
  [[nodiscard]] bool ends_by_crash() const override { return sent_away_; }
  void begin() override {}
  void enqueue(std::string_view message) override;
  void enqueue_with_id(std::string_view message, std::string_view id, std::string_view new_id) override;
  void flush() override;
  void close_input() override { leave(); }
  [[nodiscard]] std::size_t backlog() const override { return 0; }
  void resume() override {}
  [[nodiscard]] bool held() const override { return false; }
  void expect_exit() override {}
  /// Leaves: the process is the editors'.
  void kill_group(int) override { leave(); }
  [[nodiscard]] std::optional<Suspended> suspend() override { return std::nullopt; }
  void restore(Suspended) override {}
  void seek_answer(long long) override {}
  [[nodiscard]] int pid() const override { return 0; }
  [[nodiscard]] const std::vector<std::string>& writable() const override { return writable_; }
  [[nodiscard]] const std::string& name() const override { return name_; }
  [[nodiscard]] bool warm() const override { return false; }
  [[nodiscard]] std::string stderr_tail() const override { return {}; }

 private:
  void leave();
  void wake() GANTRY_REQUIRES(mutex_);
  void turn();
  void say(std::string text);
  void join(std::string_view initialize);
  void received(std::string text);
  void ended(bool sent_away);

  const std::shared_ptr<Context> context_;
  const std::weak_ptr<ConnectionEvents> events_;
  const std::shared_ptr<Client::Seat> seat_;
  const ClientId id_;
  const std::vector<std::string> writable_;
  const std::string name_;
  std::atomic<bool> sent_away_{false};
  std::shared_ptr<Editor> editor_;  ///< the turns'; null: `initialize` was not sent yet

  mutable Mutex mutex_;
  std::deque<std::string> out_ GANTRY_GUARDED_BY(mutex_), in_ GANTRY_GUARDED_BY(mutex_);
  std::size_t in_bytes_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool awake_ GANTRY_GUARDED_BY(mutex_) = false;  ///< a turn comes
  bool leaves_ GANTRY_GUARDED_BY(mutex_) = false;
  bool ended_ GANTRY_GUARDED_BY(mutex_) = false;  ///< the session has let go
  bool told_ GANTRY_GUARDED_BY(mutex_) = false;   ///< on_exit was called
};

}  // namespace gantry::lsp
