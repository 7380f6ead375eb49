// SPDX-License-Identifier: Apache-2.0
//
// server_user.hpp: the interface between the runner of a server (server_runner.hpp) and the user of that server (a
// session), and the lock that both work under.
//
// Rationale: a decision is made under the lock, and its effects happen after it. A Section holds the lock; effects that
// must not happen under a lock (processes to start or to signal, bytes to flush, items for an editor, permits to give
// back) are collected in the section's DeferredActions and happen when the section ends. Messages for the server are
// enqueued under the lock, so their order is the order of the decisions; the next thread that comes flushes them.
//
// Thread rule: sections on any thread; the destructor of a section may run tasks, so no other lock is held.
#pragma once

#include <chrono>
#include <functional>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <gantry/permits.hpp>
#include <gantry/result.hpp>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plugins/lsp/connection.hpp"
#include "plugins/lsp/context.hpp"
#include "plugins/lsp/envelope.hpp"

namespace gantry::lsp {

class Editor;

/// The effects of a section, which happen without the lock.
struct DeferredActions {
  struct Item {
    std::shared_ptr<Editor> to;
    std::string text;
  };
  std::vector<Item> items;
  std::shared_ptr<ServerConnection> flush;
  std::vector<Permit> permits;
  std::vector<std::move_only_function<void()>> run;

  /// Adds a line of the log.
  void log(std::shared_ptr<Context> context, Level level, std::string line) {
    run.push_back([context = std::move(context), level, line = std::move(line)] { context->host.log(level, line); });
  }
};

/// The user of one server. Lives longer than the runner, which is a part of it.
class ServerUser : public std::enable_shared_from_this<ServerUser> {
 public:
  /// Holds the lock for a scope. At its end the lock is released, and then `fx` happens.
  class GANTRY_SCOPED_CAPABILITY Section {
   public:
    explicit Section(ServerUser& user) GANTRY_ACQUIRE(user.mutex_) : user_(user) { user_.mutex_.lock(); }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;
    ~Section() GANTRY_RELEASE() GANTRY_NO_TSA {
      if (!ended_) (void)end();
    }
    /// Ends the section before its scope does. False: the receiver of the items wants no more for now.
    bool end() GANTRY_RELEASE() GANTRY_NO_TSA {
      ended_ = true;
      user_.mutex_.unlock();
      return user_.settle(fx);
    }

    DeferredActions fx;

   private:
    ServerUser& user_;
    bool ended_ = false;
  };

  ServerUser() = default;
  ServerUser(const ServerUser&) = delete;
  ServerUser& operator=(const ServerUser&) = delete;
  virtual ~ServerUser() = default;

  // Questions of the runner, with the lock held.
  /// The folder in which the server is started.
  [[nodiscard]] virtual const std::string& root() const = 0;
  /// The variables that the process gets instead of the host's.
  [[nodiscard]] virtual std::map<std::string, std::string> environment() const { return {}; }
  /// The params of `initialize`, as raw text.
  [[nodiscard]] virtual std::string initialize_params() = 0;
  /// An error when another process could not go on with the open documents: the reason.
  [[nodiscard]] virtual Result<void> may_follow() const { return {}; }

  // Reports of the runner, with the lock held.
  /// Publishes an event when the section ends.
  virtual void publish_later(std::string topic, json details, DeferredActions& fx) = 0;
  /// The host has started the process that was asked for.
  virtual void process_came(DeferredActions& fx) = 0;
  /// The server has answered `initialize`; messages that must come first are enqueued here. An error: the server cannot
  /// serve, and is killed.
  [[nodiscard]] virtual Result<void> initialized(std::string_view text, const Envelope& answer,
                                                 DeferredActions& fx) = 0;
  /// The server is ready; messages that waited may be sent.
  virtual void ready(DeferredActions& fx) = 0;
  /// The server takes messages again.
  virtual void drained(DeferredActions& fx) = 0;
  /// Any message but the answers that the runner itself waits for.
  virtual void message(std::string_view text, const Envelope& envelope, DeferredActions& fx) = 0;
  /// The process is about to be replaced for a reason that callers need not know: requests in flight that may be
  /// repeated wait for the next process.
  virtual void carry_over(DeferredActions&) {}
  /// The process is gone: requests in flight fail with `error`. A restart may follow.
  virtual void down(const Error& error, DeferredActions& fx) = 0;
  /// No restart follows: requests that wait fail too.
  virtual void gave_up(const Error& error, DeferredActions& fx) = 0;
  /// As gave_up(), but after revived() a process may follow: lsp.stop was called, and the user is kept.
  virtual void stopped(const Error& error, DeferredActions& fx) = 0;
  /// lsp.restart was called after stopped(): a user that needs the server steps ServerEvent::want.
  virtual void revived(DeferredActions&) {}

  // Without the lock.
  /// A server that runs already, which the user takes instead of a process of its own; null: none.
  [[nodiscard]] virtual std::shared_ptr<ServerConnection> find_running(const std::weak_ptr<ConnectionEvents>&) {
    return nullptr;
  }
  /// The time that the server has to answer `initialize`; 0: no limit.
  [[nodiscard]] virtual std::chrono::seconds initialize_timeout() const = 0;
  [[nodiscard]] virtual Scan scan_mode() const = 0;

 protected:
  /// Performs the effects of a section. False: the receiver of the items wants no more for now.
  virtual bool settle(DeferredActions& fx) = 0;

  mutable Mutex mutex_;
};

}  // namespace gantry::lsp
