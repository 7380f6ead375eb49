// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/session.hpp"

#include <signal.h>

#include <functional>
#include <gantry/repair.hpp>

#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/printable.hpp"

namespace gantry::lsp {

namespace {

using S = ServerState;
using E = ServerEvent;
using A = ServerAction;

}  // namespace

Session::Session(std::shared_ptr<Context> context, ServerConfig config, std::string root, const char* kind)
    : context_(std::move(context)),
      config_(std::move(config)),
      kind_(kind),
      machine_(
          strand_, server_life(),
          [this](const Machine::Step& step, Facts& facts) GANTRY_NO_TSA { perform(step, facts); },  // within step()
          {},
          [this](S state, E event) {
            context_->host.log(Level::error, config_.name + ": " + std::string(name(event)) + " came in state " +
                                                 std::string(name(state)) + ", which cannot be");
          }),
      root_(std::move(root)),
      // Servers that crash together (a full disk, a killed group) must not come back in step.
      backoff_(RetryPolicy{.max_retries = kNoLimit,
                           .initial_delay = std::chrono::milliseconds(200),
                           .max_delay = std::chrono::seconds(30),
                           .jitter = 0.25,
                           .seed = std::hash<std::string>{}(config_.name + root_)}) {}

Session::~Session() { destroy(); }

void Session::destroy() {
  DeferredActions fx;
  {
    Lock lock(mutex_);
    step(E::abandon, fx);
  }
  (void)Session::settle(fx);
}

bool Session::closed() const {
  Lock lock(mutex_);
  return state() == S::closed;
}

bool Session::closing() const {
  Lock lock(mutex_);
  return is_stopping(state());
}

json Session::describe() const {
  Lock lock(mutex_);
  json out{{"name", config_.name},  {"command", config_.command}, {"languages", config_.languages},
           {"kind", kind_},         {"state", shown_as(state())}, {"root", root_},
           {"restarts", restarts_}, {"clients", clients()}};
  if (process_) out["pid"] = process_->pid();
  if (process_ && process_->held())
    out["waits_for_client"] = true;  // its output is not read: the client gives no credit
  if (!failure_.message.empty()) out["last_error"] = failure_.message;
  const std::string tail = process_ ? process_->stderr_tail() : failure_.stderr_tail;
  if (!tail.empty()) out["stderr_tail"] = tail;
  return out;
}

// ---- messages and events out

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

void Session::language_opened(const std::string& language, DeferredActions& fx) {
  if (languages_.add(language)) publish_later("lsp.language." + language, {{"language", language}}, fx);
}

void Session::publish_later(std::string topic, json details, DeferredActions& fx) {
  details["name"] = config_.name;
  details["root"] = root_;
  details["kind"] = kind_;
  fx.run.push_back([context = context_, topic = std::move(topic), details = std::move(details)] {
    context->publish(topic, details);
  });
}

void Session::log_later(Level level, std::string line, DeferredActions& fx) {
  fx.run.push_back([context = context_, level, line = std::move(line)] { context->host.log(level, line); });
}

// ---- what happens from outside

void Session::close(std::shared_ptr<void> hold) {
  DeferredActions fx;
  {
    Lock lock(mutex_);
    if (state() == S::closed) return;
    if (hold) holds_.push_back(std::move(hold));
    step(E::close, fx);
  }
  settle(fx);
}

void Session::restart() {
  DeferredActions fx;
  {
    Lock lock(mutex_);
    step(E::restart, fx);
  }
  settle(fx);
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

void Session::widen(const std::vector<std::string>& workspaces, DeferredActions& fx) {
  if (!process_ || !is_replaceable(state())) return;
  for (const auto& folder : folders()) {
    const auto workspace = folder_around(workspaces, folder);
    if (workspace.empty() || !folder_around(process_->writable(), folder).empty()) continue;
    if (!widened_for_.insert(workspace).second) continue;  // it is not granted, so a new one may not either
    log_later(Level::info,
              config_.name + " is started anew, so that it may write in " + workspace +
                  ", which was opened after it was started",
              fx);
    return step(E::replace, fx);
  }
}

void Session::fault(std::string reason, DeferredActions& fx) {
  if (process_) step(E::faulted, {.fx = &fx, .reason = std::move(reason)});
}

void Session::started(Result<std::shared_ptr<ServerProcess>> process) {
  DeferredActions fx;
  {
    Lock lock(mutex_);
    if (!process) {
      const bool missing = process.error().kind == ErrorKind::not_found;
      step(E::spawn_failed,
           {.fx = &fx,
            .reason = process.error().message +
                      (missing ? "; install it, or name another in [lsp.servers." + config_.name + "] command" : "")});
    } else {
      const bool leaves = restored_ && restored_->leaving;
      const auto event = spawned(**process);
      step(event, {.fx = &fx, .process = *process});
      if (event == E::resumed_ready && leaves && state() == S::ready) step(E::editor_shuts_down, fx);
      widen(workspaces_, fx);  // opened while it was being started
    }
  }
  settle(fx);
}

ServerEvent Session::spawned(const ServerProcess& process) const {
  if (!restored_) return E::spawned;
  if (!process.warm()) return restored_->leaving || !may_follow() ? E::spawned_unfollowed : E::spawned_anew;
  if (restored_->orphaned) return E::orphan_met;
  return restored_->ready ? E::resumed_ready : E::resumed_greeting;
}

void Session::on_exit(ServerProcess& from, const std::string& reason) {
  DeferredActions fx;
  std::shared_ptr<ServerProcess> old;  // its destructor waits for the kernel: not under the lock
  {
    Lock lock(mutex_);
    if (process_.get() != &from) return;
    failure_.stderr_tail = from.stderr_tail();
    publish_later("lsp.server.exited", {{"pid", from.pid()}, {"reason", reason}}, fx);
    old.swap(process_);
    initialize_id_ = shutdown_id_ = alive_id_ = -1;
    end_welcome_time();
    step(may_follow() ? exit_event(crashes_, context_->host.now()) : E::exited_unfollowed,
         {.fx = &fx, .reason = reason});
  }
  settle(fx);
}

// ---- the server speaks

bool Session::on_message(ServerProcess& from, std::string_view text) {
  // What an editor is sent is looked at on its way (editor.hpp).
  const auto repaired = scan_mode() == Scan::full ? repaired_json(text) : std::nullopt;
  if (repaired) text = *repaired;
  const Envelope envelope = scan(text, scan_mode());
  DeferredActions fx;
  {
    Lock lock(mutex_);
    if (process_.get() != &from) return true;
    const bool asked = initialize_id_ >= 0 || alive_id_ >= 0 || shutdown_id_ >= 0;
    const long long id = asked && envelope.is_response() ? own_id(envelope.id) : -1;
    if (!envelope.ok) {
      fault("sent malformed JSON: " + std::string(text.substr(0, 80)), fx);
    } else if (id < 0) {
      message(text, envelope, fx);
    } else if (id == initialize_id_) {
      welcomed(text, scan(text, Scan::full), fx);
    } else if (id == alive_id_) {  // whatever it says
      alive_id_ = -1;
      step(E::answered_alive, fx);
    } else if (id == shutdown_id_) {
      shutdown_id_ = -1;
      step(E::shutdown_answered, fx);
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
    failure_.message = line;
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
  log_later(Level::warn,
            config_.name + " answers " + printable(id, kMostShown) + (id.size() > kMostShown ? "..." : "") +
                ", an id that no request had; such answers are dropped",
            fx);
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

// ---- what the life demands

void Session::perform(const Machine::Step& step, Facts& facts) {
  DeferredActions& fx = *facts.fx;
  switch (step.action) {
    case A::spawn:
      return spawn(fx);
    case A::adopt:
      return adopt(facts.process);
    case A::greet:
      return greet(fx);
    case A::await_welcome:
      return await_welcome();
    case A::ask_alive:
      return ask_alive(fx);
    case A::serve:
      return ready(fx);
    case A::carry_over:
      return carry_over(fx);
    case A::record_crash:
      return record_crash(facts);
    case A::count_restart:
      ++restarts_;
      return;
    case A::lose_exited:
      return lose(config_.name + " " + facts.reason, facts);
    case A::lose_crashed:
      return lose(failure_.message + "; it is being restarted, try again", facts);
    case A::lose_replaced:
      return lose(config_.name + " is being restarted; try again", facts);
    case A::lose_gone:
      failure_.message = config_.name + " ended while the plugin was reloaded";
      return lose(failure_.message + "; it is being restarted, try again", facts);
    case A::lose_no_process:
      return lose(facts.reason, facts);
    case A::announce_restart:
      return announce_restart(Duration::zero(), fx);
    case A::back_off:
      return back_off(fx);
    case A::note_too_often:
      failure_.message += "; it failed " + std::to_string(kMaxCrashes) + " times within " +
                          std::to_string(kCrashWindow.count()) + " minutes and is not started again until lsp.restart";
      return log_later(Level::error, failure_.message, fx);
    case A::note_no_process:
      failure_.message = facts.reason;
      restored_.reset();
      return log_later(Level::warn, failure_.message, fx);
    case A::note_no_timer:
      failure_.message += "; the host has no timer to restart it with";
      return;
    case A::give_up:
      return gave_up(failure_.error(), fx);
    case A::say_stopped:
      return gave_up(Error{ErrorKind::unavailable, config_.name + " was stopped", {}}, fx);
    case A::say_unfollowed: {
      const auto why = may_follow();
      return gave_up(Error{ErrorKind::unavailable, facts.reason + (why ? "" : "; but " + why.error().message), {}}, fx);
    }
    case A::forgive:
      crashes_.clear();
      return backoff_.reset();
    case A::expect_exit:
      return process_->expect_exit();
    case A::ask_shutdown:
      return ask_shutdown(fx);
    case A::say_exit:
      return say_exit(fx);
    case A::terminate:
      return signal(SIGTERM, fx);
    case A::start_grace:
      return start_grace(fx);
    case A::kill:
      if (!facts.reason.empty()) kill_reason_ = facts.reason;
      return signal(SIGKILL, fx);
    case A::drop:
      if (process_) signal(SIGKILL, fx);
      fx.run.push_back([process = std::exchange(process_, nullptr), holds = std::exchange(holds_, {})] {});
      return;
    case A::release:
      fx.run.push_back([holds = std::exchange(holds_, {})] {});
      return;
  }
}

void Session::spawn(DeferredActions& fx) {
  // What the plugin was granted holds for its servers. A name of its own for each, so that none is met that runs
  // already, unless it is taken up: it cannot be greeted again.
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

void Session::adopt(std::shared_ptr<ServerProcess> process) {
  process_ = std::move(process);
  kill_reason_.clear();
  auto taken = std::exchange(restored_, std::nullopt);
  if (taken && process_->warm() && taken->orphaned) {
    alive_id_ = next_id();
    process_->seek_answer(alive_id_);
  } else if (taken && process_->warm()) {
    initialize_id_ = taken->initialize_id;
    process_->restore(std::move(taken->suspended));
  }
  process_->begin();
}

void Session::greet(DeferredActions& fx) {
  publish_later("lsp.server.started", {{"pid", process_->pid()}}, fx);
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
    DeferredActions fx;
    {
      Lock lock(self->mutex_);
      if (self->initialize_id_ == id)
        self->fault("did not answer initialize within " + std::to_string(time.count()) + " s", fx);
    }
    self->settle(fx);
  });
}

// It may be set to a day: it must not wait for as long after each restart.
void Session::end_welcome_time() {
  if (const auto timer = std::exchange(welcome_timer_, std::nullopt)) (void)context_->host.cancel(*timer);
}

void Session::welcomed(std::string_view text, const Envelope& envelope, DeferredActions& fx) {
  initialize_id_ = -1;
  end_welcome_time();
  if (state() != S::greeting) return;  // it ends, and its answer is not for whoever waits
  if (const auto ok = initialized(text, envelope, fx); !ok) return fault(ok.error().message, fx);
  step(E::welcomed, fx);
}

void Session::ask_alive(DeferredActions& fx) {
  // By the protocol, a request of a name that begins so and is not known must be answered with an error.
  to_server(R"({"jsonrpc":"2.0","id":)" + std::to_string(alive_id_) + R"(,"method":"$/gantry/alive"})", fx);
  (void)context_->host.after(kRecoveryTimeout, [weak = weak(), id = alive_id_] {
    const auto self = weak.lock();
    if (!self) return;
    DeferredActions fx;
    {
      Lock lock(self->mutex_);
      if (self->alive_id_ == id) self->fault("did not answer after the plugin had died", fx);
    }
    self->settle(fx);
  });
}

void Session::record_crash(Facts& facts) {
  (void)crashes_.count(context_->host.now(), kMaxCrashes, kCrashWindow);
  if (crashes_.size() == 1) backoff_.reset();
  failure_.message = config_.name + " " + (kill_reason_.empty() ? facts.reason : kill_reason_);
  facts.fx->run.push_back(
      [context = context_, failure = failure_, server = config_.name] { failure.log(context->host, server); });
}

void Session::lose(std::string reason, Facts& facts) {
  facts.reason = std::move(reason);
  down(Error{ErrorKind::unavailable, facts.reason, {}}, *facts.fx);
}

void Session::announce_restart(Duration delay, DeferredActions& fx) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(delay).count();
  publish_later("lsp.server.restarting", {{"in_ms", ms}, {"restarts", restarts_}, {"reason", failure_.message}}, fx);
}

void Session::back_off(DeferredActions& fx) {
  const Duration delay = *backoff_.next();
  announce_restart(delay, fx);
  const auto timer = context_->host.after(delay, [weak = weak(), restart = restarts_] {
    const auto self = weak.lock();
    if (!self) return;
    DeferredActions later;
    {
      Lock lock(self->mutex_);
      if (self->restarts_ == restart) self->step(E::back_off_over, later);
    }
    self->settle(later);
  });
  if (!timer) step(E::no_timer, fx);
}

void Session::ask_shutdown(DeferredActions& fx) {
  shutdown_id_ = next_id();
  to_server(R"({"jsonrpc":"2.0","id":)" + std::to_string(shutdown_id_) + R"(,"method":"shutdown"})", fx);
}

void Session::say_exit(DeferredActions& fx) {
  to_server(R"({"jsonrpc":"2.0","method":"exit"})", fx);
  fx.run.push_back([process = process_] { process->close_input(); });
}

void Session::start_grace(DeferredActions& fx) {
  const auto timer =
      context_->host.after(kExitGrace, [weak = weak(), process = std::weak_ptr<ServerProcess>(process_)] {
        const auto self = weak.lock();
        const auto alive = process.lock();
        if (!self || !alive) return;
        DeferredActions later;
        {
          Lock lock(self->mutex_);
          if (self->process_ == alive) self->step(E::grace_over, later);
        }
        self->settle(later);
      });
  if (!timer) step(E::grace_over, fx);
}

void Session::signal(int number, DeferredActions& fx) {
  fx.run.push_back([process = process_, number] { process->kill_group(number); });
}

}  // namespace gantry::lsp
