// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/session.hpp"

#include <signal.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <gantry/repair.hpp>

#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/printable.hpp"

namespace gantry::lsp {

const char* name_of(Session::State state) {
  switch (state) {
    case Session::State::idle:
      return "not_started";
    case Session::State::starting:
      return "starting";
    case Session::State::ready:
      return "ready";
    case Session::State::backing_off:
      return "backing_off";
    case Session::State::failed:
      return "failed";
    case Session::State::closing:
      return "stopping";
    case Session::State::closed:
      return "stopped";
  }
  return "unknown";
}

Session::Session(std::shared_ptr<Context> context, ServerConfig config, std::string root, const char* kind)
    : context_(std::move(context)),
      config_(std::move(config)),
      kind_(kind),
      root_(std::move(root)),
      // Servers that crash together (a full disk, a killed group) must not come back in step.
      backoff_(RetryPolicy{.max_retries = kNoLimit,
                           .initial_delay = std::chrono::milliseconds(200),
                           .max_delay = std::chrono::seconds(30),
                           .jitter = 0.25,
                           .seed = std::hash<std::string>{}(config_.name + root_)}) {}

Session::~Session() { destroy(); }

void Session::destroy() {
  std::shared_ptr<ServerProcess> process;
  std::vector<std::shared_ptr<void>> holds;
  {
    Lock lock(mutex_);
    state_ = State::closed;
    process.swap(process_);
    holds.swap(holds_);
  }
  if (process) process->kill_group(SIGKILL);
}

bool Session::closed() const {
  Lock lock(mutex_);
  return state_ == State::closed;
}

bool Session::closing() const {
  Lock lock(mutex_);
  return state_ == State::closing;
}

json Session::describe() const {
  Lock lock(mutex_);
  json out{{"name", config_.name},  {"command", config_.command}, {"languages", config_.languages},
           {"kind", kind_},         {"state", name_of(state_)},   {"root", root_},
           {"restarts", restarts_}, {"clients", clients()}};
  if (process_) out["pid"] = process_->pid();
  if (process_ && process_->held())
    out["waits_for_client"] = true;  // its output is not read: the client gives no credit
  if (!last_error_.empty()) out["last_error"] = last_error_;
  const std::string tail = process_ ? process_->stderr_tail() : last_tail_;
  if (!tail.empty()) out["stderr_tail"] = tail;
  return out;
}

Error Session::last_error() const {
  json data = json::object();
  if (!last_tail_.empty()) data["stderr_tail"] = last_tail_;
  return Error{last_kind_, last_error_, dump_json(data)};
}

bool Session::settle(DeferredActions& fx) {
  if (fx.flush) fx.flush->flush();
  for (auto& task : fx.run) task();
  fx.permits.clear();
  return true;
}

void Session::to_server(std::string_view message, DeferredActions& fx) {
  if (!process_) return;
  process_->enqueue(message);
  fx.flush = process_;
}

void Session::to_server_with_id(std::string_view message, std::string_view id, std::string_view new_id,
                                DeferredActions& fx) {
  if (!process_) return;
  process_->enqueue_with_id(message, id, new_id);
  fx.flush = process_;
}

void Session::cancel_at_server(long long id, DeferredActions& fx) {
  to_server(R"({"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":)" + std::to_string(id) + "}}", fx);
}

// Each once: others start by it (`on_language:ID`). What no topic can name is not told.
void Session::language_opened(const std::string& language, DeferredActions& fx) {
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-'; };
  if (language.empty() || language.size() > kMaxLanguage || !std::all_of(language.begin(), language.end(), is_word) ||
      languages_.size() >= kMaxLanguages || !languages_.insert(language).second)
    return;
  publish_later("lsp.language." + language, {{"language", language}}, fx);
}

void Session::publish_later(std::string topic, json details, DeferredActions& fx) {
  details["name"] = config_.name;
  details["root"] = root_;
  details["kind"] = kind_;
  fx.run.push_back([context = context_, topic = std::move(topic), details = std::move(details)] {
    context->publish(topic, details);
  });
}

// ---- start --------------------------------------------------------------------------------------

void Session::start(DeferredActions& fx) {
  state_ = State::starting;
  // What the plugin was granted holds for its servers. A name of its own for each, so that none is
  // met that runs already, unless it is restored: it cannot be greeted again.
  ProcessRequest request{.name = restored_ ? restored_->name : context_->next_name(config_.name),
                         .argv = config_.command,
                         .cwd = root_,
                         .read = {"/"},
                         .write = {"/"},
                         .network = true};
  fx.run.push_back([self = shared_from_this(), request = std::move(request)] {
    const auto& context = *self->context_;
    auto asked = spawn_process(context.host, request, [self, &context](Result<HelperProcess> helper) {
      if (!helper) return self->started(std::unexpected(helper.error()));
      self->started(std::make_shared<ServerProcess>(*context.reactor, context.host, std::move(*helper), self));
    });
    if (!asked) self->started(std::unexpected(asked.error()));
  });
}

void Session::started(Result<std::shared_ptr<ServerProcess>> process) {
  DeferredActions fx;
  {
    Lock lock(mutex_);
    if (state_ == State::closing && process) {
      process_ = std::move(*process);
      process_->begin();
      process_->expect_exit();
      process_->kill_group(SIGKILL);
    } else if (state_ == State::closing) {
      become_closed(fx);
    } else if (state_ != State::starting) {
      // destroyed meanwhile; the process dies with `process`
    } else if (!process) {
      const bool missing = process.error().kind == ErrorKind::not_found;
      last_kind_ = ErrorKind::unavailable;
      last_error_ = process.error().message;
      if (missing) last_error_ += "; install it, or name another in [lsp.servers." + config_.name + "] command";
      state_ = State::idle;
      restored_.reset();
      fx.run.push_back([context = context_, line = last_error_] { context->host.log(Level::warn, line); });
      gave_up(last_error(), fx);
    } else {
      process_ = std::move(*process);
      meet(std::exchange(restored_, std::nullopt), fx);
      widen(workspaces_, fx);  // opened while it was being started
    }
  }
  settle(fx);
}

void Session::greet(DeferredActions& fx) {
  initialize_id_ = next_id();
  to_server(R"({"jsonrpc":"2.0","id":)" + std::to_string(initialize_id_) + R"(,"method":"initialize","params":)" +
                initialize_params() + "}",
            fx);
  await_welcome();
}

void Session::await_welcome() {
  const auto time = initialize_timeout();
  if (time == std::chrono::seconds::zero()) return;
  welcome_timer_ = context_->host.after(time, [weak = weak(), id = initialize_id_, time] {
    const auto self = weak.lock();
    if (!self) return;
    Lock lock(self->mutex_);
    if (self->initialize_id_ != id || !self->process_) return;
    self->kill_for("did not answer initialize within " + std::to_string(time.count()) + " s");
  });
}

// It may be set to a day: it must not wait for as long after each restart.
void Session::end_welcome_time() {
  if (const auto timer = std::exchange(welcome_timer_, std::nullopt)) (void)context_->host.cancel(*timer);
}

void Session::welcomed(std::string_view text, const Envelope& envelope, DeferredActions& fx) {
  initialize_id_ = -1;
  end_welcome_time();
  if (const auto ok = initialized(text, envelope, fx); !ok) return kill_for(ok.error().message);
  if (state_ != State::starting) return;
  state_ = State::ready;
  ready(fx);
}

void Session::kill_for(std::string reason) {
  if (!process_) return;
  kill_reason_ = std::move(reason);
  process_->kill_group(SIGKILL);
}

// ---- the server speaks --------------------------------------------------------------------------

bool Session::on_message(ServerProcess& from, std::string_view text) {
  // What an editor is sent is looked at on its way (editor.hpp).
  const auto repaired = scan_mode() == Scan::full ? repaired_json(text) : std::nullopt;
  if (repaired) text = *repaired;
  const Envelope envelope = scan(text, scan_mode());
  DeferredActions fx;
  {
    Lock lock(mutex_);
    if (process_.get() != &from) return true;
    if (!envelope.ok) {
      kill_for("sent malformed JSON: " + std::string(text.substr(0, 80)));
      return true;
    }
    const long long id =
        envelope.is_response() && (handshake_pending() || shutdown_id_ >= 0) ? own_id(envelope.id) : -1;
    if (id >= 0 && id == initialize_id_) {
      const Envelope whole = scan(text, Scan::full);
      if (state_ == State::starting) welcomed(text, whole, fx);
    } else if (id >= 0 && id == alive_id_) {  // whatever it says
      alive_id_ = -1;
      if (state_ == State::starting) {
        state_ = State::ready;
        ready(fx);
      }
    } else if (id >= 0 && id == shutdown_id_) {
      say_exit(fx);
    } else {
      message(text, envelope, fx);
    }
  }
  return settle(fx);
}

// Who waits for it is told, if its id stands before what is large.
void Session::on_skipped(ServerProcess& from, std::string_view beginning) {
  const std::string line = config_.name + " sent a message over " + std::to_string(ServerProcess::kMaxMessage >> 20) +
                           " MiB; it was skipped";
  const Envelope e = scan(beginning, Scan::route);
  DeferredActions fx;
  {
    Lock lock(mutex_);
    if (process_.get() != &from) return;
    last_error_ = line;
    const std::string error =
        error_message(std::string(e.id), kRequestFailed,
                      Error{ErrorKind::too_large, line, dump_json({{"limit", ServerProcess::kMaxMessage}})});
    if (e.is_response()) message(error, scan(error, Scan::full), fx);
    if (e.is_request()) to_server(error, fx);
  }
  context_->host.log(Level::warn, line);
  (void)settle(fx);
}

// The answer to a request that timed out or was cancelled comes late, and a second one harms nobody.
void Session::nobody_waits(std::string_view id, DeferredActions& fx) {
  constexpr std::size_t kMostShown = 64;
  if (const auto given = own_id(id); given > 0 && given <= last_id_) return;
  if (std::exchange(stray_answer_reported_, true)) return;
  fx.run.push_back([context = context_, line = config_.name + " answers " + printable(id, kMostShown) +
                                               (id.size() > kMostShown ? "..." : "") +
                                               ", an id that no request had; such answers are dropped"] {
    context->host.log(Level::warn, line);
  });
}

void Session::on_noise(ServerProcess& from, std::string_view beginning) {
  {
    Lock lock(mutex_);
    if (process_.get() != &from || std::exchange(noise_reported_, true)) return;
  }
  auto line = beginning.substr(0, beginning.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  context_->host.log(Level::warn, config_.name +
                                      " prints on its stdout what is no LSP message; such lines are skipped, "
                                      "the first is: " +
                                      printable(line, FrameDecoder::kNoiseKept));
}

// ---- the process ends ---------------------------------------------------------------------------

void Session::on_exit(ServerProcess& from, const std::string& reason) {
  DeferredActions fx;
  std::shared_ptr<ServerProcess> old;  // its destructor waits for the kernel: not under the lock
  {
    Lock lock(mutex_);
    if (process_.get() != &from) return;
    last_tail_ = from.stderr_tail();
    publish_later("lsp.server.exited", {{"pid", from.pid()}, {"reason", reason}}, fx);
    old.swap(process_);
    const std::string killed_for = std::exchange(kill_reason_, {});
    initialize_id_ = shutdown_id_ = alive_id_ = -1;
    end_welcome_time();
    if (state_ == State::closing || exit_wanted_) {
      down(Error{ErrorKind::unavailable, config_.name + " " + reason, {}}, fx);
      become_closed(fx);
    } else if (std::exchange(restart_wanted_, false)) {
      down(Error{ErrorKind::unavailable, config_.name + " is being restarted; try again", {}}, fx);
      ++restarts_;
      start(fx);
    } else {
      crashed(killed_for.empty() ? reason : killed_for, fx);
    }
  }
  settle(fx);
}

void Session::crashed(const std::string& reason, DeferredActions& fx) {
  const TimePoint now = context_->host.now();
  while (!crashes_.empty() && now - crashes_.front() > kCrashWindow) crashes_.pop_front();
  crashes_.push_back(now);
  last_kind_ = ErrorKind::unavailable;
  last_error_ = config_.name + " " + reason;
  log_failure(fx);
  down(Error{ErrorKind::unavailable, last_error_ + "; it is being restarted, try again", {}}, fx);
  if (state_ == State::closing || state_ == State::closed) return;
  if (crashes_.size() < kMaxCrashes) return back_off(fx);
  state_ = State::failed;
  last_error_ += "; it failed " + std::to_string(kMaxCrashes) + " times within " +
                 std::to_string(kCrashWindow.count()) + " minutes and is not started again until lsp.restart";
  fx.run.push_back([context = context_, line = last_error_] { context->host.log(Level::error, line); });
  gave_up(last_error(), fx);
}

// Where people look first when a server does not work.
void Session::log_failure(DeferredActions& fx) {
  fx.run.push_back([context = context_, line = last_error_, name = config_.name, tail = last_tail_] {
    context->host.log(Level::warn, line);
    std::vector<std::string_view> lines;
    for (std::string_view rest = tail; !rest.empty();) {
      const auto end = std::min(rest.find('\n'), rest.size());
      if (end != 0) lines.push_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    constexpr std::size_t kMostLines = 20;
    if (lines.size() > kMostLines) lines.erase(lines.begin(), lines.end() - kMostLines);
    for (const auto each : lines) context->host.log(Level::warn, name + " on stderr: " + std::string(each));
  });
}

void Session::back_off(DeferredActions& fx) {
  ++restarts_;
  Duration delay{0};
  if (crashes_.size() == 1) {
    backoff_.reset();
  } else {
    delay = backoff_.next().value_or(std::chrono::seconds(30));
  }
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(delay).count();
  publish_later("lsp.server.restarting", {{"in_ms", ms}, {"restarts", restarts_}, {"reason", last_error_}}, fx);
  if (delay == Duration::zero()) return start(fx);
  state_ = State::backing_off;
  const auto timer = context_->host.after(delay, [weak = weak(), restart = restarts_] {
    const auto self = weak.lock();
    if (!self) return;
    DeferredActions later;
    {
      Lock lock(self->mutex_);
      if (self->state_ == State::backing_off && self->restarts_ == restart) self->start(later);
    }
    self->settle(later);
  });
  if (timer) return;
  state_ = State::failed;
  last_error_ += "; the host has no timer to restart it with";
  gave_up(last_error(), fx);
}

void Session::restart() {
  DeferredActions fx;
  {
    Lock lock(mutex_);
    crashes_.clear();
    backoff_.reset();
    if (state_ == State::ready || state_ == State::starting) {
      replace_process();
    } else if (state_ == State::backing_off || state_ == State::failed) {
      ++restarts_;
      start(fx);
    }
  }
  settle(fx);
}

void Session::replace_process() {
  if (!process_) return;
  restart_wanted_ = true;
  process_->kill_group(SIGTERM);
  kill_later();
}

void Session::widen(const std::vector<std::string>& workspaces, DeferredActions& fx) {
  if (!process_ || restart_wanted_ || (state_ != State::ready && state_ != State::starting)) return;
  for (const auto& folder : folders()) {
    const auto workspace = folder_around(workspaces, folder);
    if (workspace.empty() || !folder_around(process_->writable(), folder).empty()) continue;
    if (!widened_for_.insert(workspace).second) continue;  // it is not granted, so a new one may not either
    fx.run.push_back([context = context_, line = config_.name + " is started anew, so that it may write in " +
                                                 workspace + ", which was opened after it was started"] {
      context->host.log(Level::info, line);
    });
    return replace_process();
  }
}

void Session::workspaces_are(const std::vector<std::string>& workspaces) {
  DeferredActions fx;
  {
    Lock lock(mutex_);
    workspaces_ = workspaces;
    widen(workspaces, fx);
  }
  settle(fx);
}

// ---- close --------------------------------------------------------------------------------------

void Session::close(std::shared_ptr<void> hold) {
  DeferredActions fx;
  {
    Lock lock(mutex_);
    if (state_ == State::closed) return;
    if (hold) holds_.push_back(std::move(hold));
    end(fx);
  }
  settle(fx);
}

void Session::end(DeferredActions& fx) {
  if (state_ != State::closing && state_ != State::closed) begin_close(fx);
}

void Session::begin_close(DeferredActions& fx) {
  const State before = std::exchange(state_, State::closing);
  if (!process_) {
    if (before != State::starting) become_closed(fx);  // else started() ends it
    return;
  }
  process_->expect_exit();
  if (before == State::starting) {
    process_->kill_group(SIGTERM);
  } else if (exit_wanted_) {
    say_exit(fx);
  } else {
    shutdown_id_ = next_id();
    to_server(R"({"jsonrpc":"2.0","id":)" + std::to_string(shutdown_id_) + R"(,"method":"shutdown"})", fx);
  }
  kill_later();
}

void Session::say_exit(DeferredActions& fx) {
  shutdown_id_ = -1;
  if (!process_) return;
  to_server(R"({"jsonrpc":"2.0","method":"exit"})", fx);
  fx.run.push_back([process = process_] { process->close_input(); });
}

void Session::kill_later() {
  const std::weak_ptr<ServerProcess> process = process_;
  const auto timer = context_->host.after(kExitGrace, [process] {
    if (const auto alive = process.lock()) alive->kill_group(SIGKILL);
  });
  if (!timer) process_->kill_group(SIGKILL);
}

void Session::become_closed(DeferredActions& fx) {
  state_ = State::closed;
  gave_up(Error{ErrorKind::unavailable, config_.name + " was stopped", {}}, fx);
  fx.run.push_back([holds = std::exchange(holds_, {})] {});
}

}  // namespace gantry::lsp
