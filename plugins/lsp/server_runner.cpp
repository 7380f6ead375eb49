// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/server_runner.hpp"

#include <signal.h>

#include <functional>
#include <gantry/repair.hpp>

#include "plugins/lsp/files.hpp"
#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/printable.hpp"
#include "plugins/lsp/process.hpp"

namespace gantry::lsp {

namespace {

using S = ServerState;
using E = ServerEvent;
using A = ServerAction;
using Section = ServerUser::Section;

// JSON that cannot hold a message: `null`, a number, `[]`.
[[nodiscard]] bool holds_no_message(std::string_view text) {
  constexpr std::size_t kMost = 4096;
  if (text.size() > kMost) return false;
  const auto doc = parse_json(text);
  return doc && (!doc->is_structured() || doc->empty());
}

}  // namespace

ServerRunner::ServerRunner(ServerUser& user, std::shared_ptr<Context> context, const ServerConfig& config,
                           const std::string& root)
    : user_(user),
      context_(std::move(context)),
      config_(config),
      machine_(
          strand_, server_life(), [this](const Machine::Step& step, Facts& facts) { perform(step.action, facts); }, {},
          [this](S state, E event) {
            context_->host.log(Level::error, config_.name + ": " + std::string(name(event)) + " came in state " +
                                                 std::string(name(state)) + ", which cannot be");
          }),
      // Servers that crash together (a full disk, a killed group) must not come back in step.
      backoff_(RetryPolicy{.max_retries = kNoLimit,
                           .initial_delay = std::chrono::milliseconds(200),
                           .max_delay = std::chrono::seconds(30),
                           .jitter = 0.25,
                           .seed = std::hash<std::string>{}(config_.name + root)}) {}

template <class Task>
std::optional<TimerId> ServerRunner::after(Duration delay, Task task) {
  return context_->host.after(delay, [weak = user_.weak_from_this(), task = std::move(task)] {
    const auto user = weak.lock();
    if (!user) return;
    Section section(*user);
    task(section.fx);
  });
}

void ServerRunner::describe(json& out) const {
  out["state"] = shown_as(state());
  out["restarts"] = restarts_;
  if (process_ && !is_guest()) out["pid"] = process_->pid();
  if (process_ && process_->held())
    out["waits_for_client"] = true;  // its output is not read: the client gives no credit
  if (!failure_.message.empty()) out["last_error"] = failure_.message;
  const std::string tail = process_ ? process_->stderr_tail() : failure_.stderr_tail;
  if (!tail.empty()) out["stderr_tail"] = tail;
}

const std::vector<std::string>* ServerRunner::writable() const {
  return process_ && !is_guest() && is_replaceable(state()) ? &process_->writable() : nullptr;
}

// ---- messages to the server

void ServerRunner::send(std::string_view message, DeferredActions& fx) {
  if (!is_stopped(state())) say(message, fx);
}

void ServerRunner::say(std::string_view message, DeferredActions& fx) {
  if (!process_) {
    if (restored_ && !restored_->orphaned) restored_->said.emplace_back(message);
    return;
  }
  if (positions_) {
    process_->enqueue(positions_->to_server(message));
  } else {
    process_->enqueue(message);
  }
  fx.flush = process_;
}

void ServerRunner::send_with_id(std::string_view message, std::string_view id, std::string_view new_id,
                                DeferredActions& fx) {
  if (is_stopped(state())) return;
  if (!process_ || positions_) {
    std::string whole;
    append_with_id(whole, message, id, new_id);
    return say(whole, fx);
  }
  process_->enqueue_with_id(message, id, new_id);
  fx.flush = process_;
}

void ServerRunner::cancel(long long id, DeferredActions& fx) {
  send(R"({"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":)" + std::to_string(id) + "}}", fx);
}

void ServerRunner::request(long long id, const std::string& method, const std::string& params, DeferredActions& fx) {
  say(R"({"jsonrpc":"2.0","id":)" + std::to_string(id) + R"(,"method":")" + method +
          (params.empty() ? "\"}" : R"(","params":)" + params + "}"),
      fx);
}

// ---- events of the life

void ServerRunner::close(const std::shared_ptr<void>& hold, DeferredActions& fx) {
  if (state() == S::closed) return;
  if (hold) holds_.push_back(hold);
  step(E::close, fx);
}

bool ServerRunner::stop(DeferredActions& fx) {
  const bool runs = process_ != nullptr || state() == S::spawning;
  const bool before = is_stopped(state()) || is_stopping(state());
  step(E::stop, fx);
  return runs && !before;
}

void ServerRunner::fault(std::string reason, DeferredActions& fx) {
  if (process_) step(E::faulted, {.fx = &fx, .reason = std::move(reason)});
}

void ServerRunner::started(Result<std::shared_ptr<ServerConnection>> process) {
  Section section(user_);
  if (!process) {
    const bool missing = process.error().kind == ErrorKind::not_found;
    return step(
        E::spawn_failed,
        {.fx = &section.fx,
         .reason = process.error().message +
                   (missing ? "; install it, or name another in [lsp.servers." + config_.name + "] command" : "")});
  }
  const bool leaves = restored_ && restored_->leaving;
  const auto event = spawned(**process);
  step(event, {.fx = &section.fx, .process = *process});
  if (event == E::resumed_ready && leaves && state() == S::ready) step(E::editor_shuts_down, section.fx);
  user_.process_came(section.fx);
}

ServerEvent ServerRunner::spawned(const ServerConnection& process) const {
  if (!restored_) return E::spawned;
  if (!process.warm()) return restored_->leaving || !user_.may_follow() ? E::spawned_unfollowed : E::spawned_anew;
  if (restored_->orphaned) return E::orphan_met;
  return restored_->ready ? E::resumed_ready : E::resumed_greeting;
}

void ServerRunner::on_exit(ServerConnection& from, const std::string& reason) {
  std::shared_ptr<ServerConnection> old;  // its destructor waits for the kernel: not under the lock
  Section section(user_);
  if (process_.get() != &from) return;
  failure_.stderr_tail = from.stderr_tail();
  if (!is_guest()) user_.publish_later("lsp.server.exited", {{"pid", from.pid()}, {"reason", reason}}, section.fx);
  old.swap(process_);
  positions_.reset();
  initialize_id_ = shutdown_id_ = alive_id_ = -1;
  end_welcome_time();
  const bool blameless = !from.ends_by_crash();
  const E exited = blameless ? E::exited_once : exit_event(crashes_, context_->host.now());
  step(user_.may_follow() ? exited : E::exited_unfollowed,
       {.fx = &section.fx, .reason = reason, .blameless = blameless});
}

// ---- the server speaks

bool ServerRunner::on_message(ServerConnection& from, std::string_view text) {
  // What an editor is sent is looked at on its way (editor.hpp).
  const auto repaired = user_.scan_mode() == Scan::full ? repaired_json(text) : std::nullopt;
  if (repaired) text = *repaired;
  Envelope envelope = scan(text, user_.scan_mode());
  const bool deep = is_deeper_than(text, kMaxDepth);
  Section section(user_);
  DeferredActions& fx = section.fx;
  if (process_.get() != &from) return true;
  if (deep) {
    skip(text, "that is nested deeper than " + std::to_string(kMaxDepth) + " levels", ErrorKind::upstream_failed, fx);
    return section.end();
  }
  std::string counted;
  if (positions_ && envelope.ok) {
    counted = positions_->to_client(text);
    text = counted;
    envelope = scan(text, user_.scan_mode());
  }
  const bool asked = initialize_id_ >= 0 || alive_id_ >= 0 || shutdown_id_ >= 0;
  const long long id = asked && envelope.is_response() ? own_id(envelope.id) : -1;
  if (!envelope.ok && !holds_no_message(text)) {
    fault("sent malformed JSON: " + std::string(text.substr(0, 80)), fx);
  } else if (envelope.id.empty() && envelope.method().empty()) {
    report_noise(text,
                 fx);  // some servers write `null`, or an answer without an id; some editors give such a server up
  } else if (id < 0) {
    user_.message(text, envelope, fx);
  } else if (id == initialize_id_) {
    welcomed(text, fx);
  } else if (id == alive_id_) {  // whatever it says
    alive_id_ = -1;
    step(E::answered_alive, fx);
  } else if (id == shutdown_id_) {
    shutdown_id_ = -1;
    step(E::shutdown_answered, fx);
  } else {
    user_.message(text, envelope, fx);
  }
  return section.end();
}

void ServerRunner::welcomed(std::string_view text, DeferredActions& fx) {
  initialize_id_ = -1;
  end_welcome_time();
  if (state() != S::greeting) return;  // it ends, and its answer is not for whoever waits
  std::string counted;
  const auto result = parse_repaired(scan(text, Scan::full).result);
  const Encoding encoding = encoding_in(result ? *result : json());
  if (!offered_.contains(encoding)) {
    positions_ = std::make_unique<PositionTranslation>(encoding, text_of_file);
    counted = positions_->welcome(text);
    text = counted;
  }
  if (const auto ok = user_.initialized(text, scan(text, Scan::full), fx); !ok) return fault(ok.error().message, fx);
  step(E::welcomed, fx);
}

std::optional<std::string> ServerRunner::text_of_file(const std::string& path) {
  auto text = read_file(path);
  return text ? std::optional(std::move(*text)) : std::nullopt;
}

void ServerRunner::on_drained(ServerConnection&) {
  Section section(user_);
  user_.drained(section.fx);
}

// Who waits for it is told, if its id stands before what is large.
void ServerRunner::on_skipped(ServerConnection& from, std::string_view beginning) {
  Section section(user_);
  if (process_.get() != &from) return;
  skip(beginning, "over " + std::to_string(ServerProcess::kMaxMessage >> 20) + " MiB", ErrorKind::too_large,
       section.fx);
}

void ServerRunner::skip(std::string_view beginning, const std::string& what, ErrorKind kind, DeferredActions& fx) {
  const Envelope e = scan(beginning, Scan::route);
  failure_.message = config_.name + " sent a message " + what + "; it was skipped";
  fx.log(context_, Level::warn, failure_.message);
  std::string limit;
  if (kind == ErrorKind::too_large) limit = dump_json({{"limit", ServerProcess::kMaxMessage}});
  const std::string error =
      error_message(std::string(e.id), kRequestFailed, Error{kind, failure_.message, std::move(limit)});
  if (e.is_response()) user_.message(error, scan(error, Scan::full), fx);
  if (e.is_request()) send(error, fx);
}

void ServerRunner::on_noise(ServerConnection& from, std::string_view beginning) {
  Section section(user_);
  if (process_.get() == &from) report_noise(beginning, section.fx);
}

void ServerRunner::report_noise(std::string_view beginning, DeferredActions& fx) {
  if (std::exchange(noise_reported_, true)) return;
  auto line = beginning.substr(0, beginning.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  fx.log(context_, Level::warn,
         config_.name +
             " prints on its stdout what is no LSP message; such lines and messages are skipped, "
             "the first is: " +
             printable(line, FrameDecoder::kNoiseKept));
}

// ---- what the life demands

void ServerRunner::perform(ServerAction action, Facts& facts) {
  DeferredActions& fx = *facts.fx;
  switch (action) {
    case A::spawn:
      return spawn(fx);
    case A::adopt:
      return adopt(facts.process, fx);
    case A::greet:
      return greet(fx);
    case A::await_welcome:
      return await_welcome();
    case A::ask_alive:
      return ask_alive(fx);
    case A::serve:
      return user_.ready(fx);
    case A::carry_over:
      return user_.carry_over(fx);
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
    case A::lose_idle:
      return lose(config_.name + " has ended, since nobody asked it", facts);
    case A::lose_stopped:
      return lose(stopped_error(config_.name).message, facts);
    case A::announce_restart:
      return announce_restart(Duration::zero(), fx);
    case A::back_off:
      return back_off(fx);
    case A::note_too_often:
      failure_.message += "; it failed " + std::to_string(kMaxCrashes) + " times within " +
                          std::to_string(kCrashWindow.count()) + " minutes and is not started again until lsp.restart";
      return fx.log(context_, Level::error, failure_.message);
    case A::note_no_process:
      failure_.message = facts.reason;
      restored_.reset();
      return fx.log(context_, Level::warn, failure_.message);
    case A::note_no_timer:
      failure_.message += "; the host has no timer to restart it with";
      return;
    case A::give_up:
      return user_.gave_up(failure_.error(), fx);
    case A::say_stopped:
      return user_.gave_up(Error{ErrorKind::unavailable, config_.name + " was stopped", {}}, fx);
    case A::say_unfollowed: {
      const auto why = user_.may_follow();
      return user_.gave_up(
          Error{ErrorKind::unavailable, facts.reason + (why ? "" : "; but " + why.error().message), {}}, fx);
    }
    case A::refuse_stopped:
      return user_.stopped(stopped_error(config_.name), fx);
    case A::revive:
      return user_.revived(fx);
    case A::forgive:
      crashes_.clear();
      return backoff_.reset();
    case A::expect_exit:
      return process_->expect_exit();
    case A::ask_shutdown:
      shutdown_id_ = next_id();
      return request(shutdown_id_, "shutdown", "", fx);
    case A::say_exit:
      return say_exit(fx);
    case A::terminate:
      if (!facts.reason.empty()) kill_reason_ = facts.reason;
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

void ServerRunner::spawn(DeferredActions& fx) {
  // What the plugin was granted holds for its servers. A name of its own for each, so that none is met that runs
  // already, unless it is taken up: it cannot be greeted again.
  ProcessRequest request{.name = restored_ ? restored_->name : "",
                         .argv = config_.command,
                         .cwd = user_.root(),
                         .env = user_.environment(),
                         .read = {"/"},
                         .write = {"/"},
                         .network = true};
  fx.run.push_back(
      [self = std::shared_ptr<ServerRunner>(user_.shared_from_this(), this), request = std::move(request)]() mutable {
        const auto& context = *self->context_;
        if (auto running = request.name.empty() ? self->user_.find_running(self) : nullptr)
          return self->started(std::move(running));
        if (request.name.empty()) request.name = self->context_->next_name(self->config_.name);
        auto asked = spawn_process(context.host, request, [self, &context](Result<HelperProcess> helper) {
          if (!helper) return self->started(std::unexpected(helper.error()));
          self->started(std::make_shared<ServerProcess>(*context.reactor, context.host, std::move(*helper), self));
        });
        if (!asked) self->started(std::unexpected(asked.error()));
      });
}

void ServerRunner::adopt(std::shared_ptr<ServerConnection> process, DeferredActions& fx) {
  process_ = std::move(process);
  kill_reason_.clear();
  auto taken = std::exchange(restored_, std::nullopt);
  if (taken && process_->warm() && taken->orphaned) {
    alive_id_ = next_id();
    positions_ = std::move(taken->positions);
    process_->seek_answer(alive_id_);
  } else if (taken && process_->warm()) {
    initialize_id_ = taken->initialize_id;
    offered_ = std::move(taken->offered);
    positions_ = std::move(taken->positions);
    process_->restore(std::move(taken->suspended));
    for (const auto& message : taken->said) say(message, fx);
  }
  process_->begin();
  checks_above_ = 0;
  watch_memory();
}

void ServerRunner::greet(DeferredActions& fx) {
  if (!is_guest()) user_.publish_later("lsp.server.started", {{"pid", process_->pid()}}, fx);
  initialize_id_ = next_id();
  const std::string params = user_.initialize_params();
  const auto parsed = parse_json(params);
  offered_ = encodings_offered(parsed ? *parsed : json());
  request(initialize_id_, "initialize", params, fx);
  await_welcome();
}

void ServerRunner::await_welcome() {
  const auto time = user_.initialize_timeout();
  if (time == std::chrono::seconds::zero()) return;
  welcome_timer_ = after(time, [this, id = initialize_id_, time](DeferredActions& fx) {
    if (initialize_id_ == id) fault("did not answer initialize within " + std::to_string(time.count()) + " s", fx);
  });
}

// It may be set to a day: it must not wait for as long after each restart.
void ServerRunner::end_welcome_time() {
  if (const auto timer = std::exchange(welcome_timer_, std::nullopt)) (void)context_->host.cancel(*timer);
}

void ServerRunner::ask_alive(DeferredActions& fx) {
  // By the protocol, a request of a name that begins so and is not known must be answered with an error.
  request(alive_id_, "$/gantry/alive", "", fx);
  (void)after(kRecoveryTimeout, [this, id = alive_id_](DeferredActions& later) {
    if (alive_id_ == id) fault("did not answer after the plugin had died", later);
  });
}

void ServerRunner::record_crash(Facts& facts) {
  if (facts.blameless) {
    failure_.message = config_.name + " " + facts.reason;
    return;
  }
  (void)crashes_.count(context_->host.now(), kMaxCrashes, kCrashWindow);
  if (crashes_.size() == 1) backoff_.reset();
  failure_.message = config_.name + " " + (kill_reason_.empty() ? facts.reason : kill_reason_);
  facts.fx->run.push_back(
      [context = context_, failure = failure_, server = config_.name] { failure.log(context->host, server); });
}

void ServerRunner::lose(std::string reason, Facts& facts) {
  facts.reason = std::move(reason);
  user_.down(Error{ErrorKind::unavailable, facts.reason, {}}, *facts.fx);
}

void ServerRunner::announce_restart(Duration delay, DeferredActions& fx) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(delay).count();
  user_.publish_later("lsp.server.restarting", {{"in_ms", ms}, {"restarts", restarts_}, {"reason", failure_.message}},
                      fx);
}

void ServerRunner::back_off(DeferredActions& fx) {
  const Duration delay = *backoff_.next();
  announce_restart(delay, fx);
  const auto timer = after(delay, [this, restart = restarts_](DeferredActions& later) {
    if (restarts_ == restart) step(E::back_off_over, later);
  });
  if (!timer) step(E::no_timer, fx);
}

void ServerRunner::say_exit(DeferredActions& fx) {
  say(R"({"jsonrpc":"2.0","method":"exit"})", fx);
  fx.run.push_back([process = process_] { process->close_input(); });
}

void ServerRunner::start_grace(DeferredActions& fx) {
  const auto timer = after(kExitGrace, [this, process = std::weak_ptr(process_)](DeferredActions& later) {
    const bool same = !process.owner_before(process_) && !process_.owner_before(process);  // the last may not die here
    if (same) step(E::grace_over, later);
  });
  if (!timer) step(E::grace_over, fx);
}

void ServerRunner::signal(int number, DeferredActions& fx) {
  fx.run.push_back([process = process_, number] { process->kill_group(number); });
}

}  // namespace gantry::lsp
