// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/shared.hpp"

#include <algorithm>
#include <gantry/file_uri.hpp>

#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

namespace {

[[nodiscard]] std::string answer_text(const std::string& path, const char* freshness, std::optional<long long> version,
                                      const std::string& diagnostics) {
  return R"({"uri":)" + dump_json(to_uri(path)) + R"(,"version":)" + (version ? std::to_string(*version) : "null") +
         R"(,"freshness":")" + freshness + R"(","diagnostics":)" + (diagnostics.empty() ? "[]" : diagnostics) + "}";
}

[[nodiscard]] Error upstream(const std::string& name, const std::string& method, std::string_view raw) {
  const auto doc = parse_json(raw);
  std::string words(raw.substr(0, 200));
  json data = json::object();
  if (doc && doc->is_object()) {
    if (const auto it = doc->find("message"); it != doc->end() && it->is_string()) words = it->get<std::string>();
    data["server"] = *doc;
  }
  return Error{ErrorKind::upstream_failed, name + " answered " + method + " with an error: " + words, dump_json(data)};
}

}  // namespace

std::string no_diagnostics(const std::string& path) { return answer_text(path, "timeout", std::nullopt, ""); }

void SharedSession::run(std::shared_ptr<Query> query, Query::Snapshot snapshot) {
  Section section(*this);
  if (waiting_.size() >= kMaxWaiting) {
    refuse(std::move(query),
           overloaded(std::to_string(kMaxWaiting) + " calls wait for " + config().name + "; try again later"),
           section.fx);
  } else {
    query->taken(self(), 0);
    asked_by(query->ask().origin);
    waiting_.push_back({std::move(query), std::move(snapshot)});
    server_.step(ServerEvent::want, section.fx);
    serve_waiting(section.fx);
  }
}

void SharedSession::serve_waiting(DeferredActions& fx) {
  while (!overlay_ && !waiting_.empty() && server_.takes_messages()) {
    // What was asked before is answered first.
    if (waiting_.front().query->ask().kind == Query::Kind::overlay && !pending_.empty()) return;
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    if (next.query->done()) {
      fx.run.push_back([query = std::move(next.query)] {});
    } else {
      serve(std::move(next.query), std::move(next.snapshot), fx);
    }
  }
}

void SharedSession::serve(std::shared_ptr<Query> query, Query::Snapshot snapshot, DeferredActions& fx) {
  const auto& ask = query->ask();
  if (!snapshot.info.folder && !sync(ask, snapshot, fx)) {
    fx.run.push_back([query = std::move(query)] { query->resolve_later(); });
    return;
  }
  if (ask.kind == Query::Kind::overlay) return begin_overlay(std::move(query), fx);
  if (ask.kind == Query::Kind::diagnostics) return wait_for_diagnostics(std::move(query), fx);
  if (ask.kind == Query::Kind::notification) return notify(std::move(query), fx);
  if (ask.kind == Query::Kind::settled) return wait_until_settled(std::move(query), fx);
  const long long id = server_.next_id();
  if (id % ServerRunner::kIdsNoted == 0) note_documents();
  server_.send(dump_json({{"jsonrpc", "2.0"}, {"id", id}, {"method", ask.method}, {"params", ask.params}}), fx);
  query->taken(self(), id);
  sent_for(ask.origin);
  pending_.emplace(id, std::move(query));
}

// ---- a server that works --------------------------------------------------------------------------------------------

void SharedSession::wait_until_settled(std::shared_ptr<Query> query, DeferredActions& fx) {
  if (settled_waiters_.size() >= kMaxWaiting) {
    return refuse(std::move(query),
                  overloaded(std::to_string(kMaxWaiting) + " calls wait for " + config().name + "; try again later"),
                  fx);
  }
  settled_waiters_.push_back(query);
  wake_settled(fx);
  // Waiting costs the server nothing: others may ask meanwhile.
  fx.run.push_back([query = std::move(query)] { query->give_permit_back(); });
}

void SharedSession::wake_settled(DeferredActions& fx) {
  if (standing_.in_progress() || context_->host.now() < may_begin_until_) return await_quiet();
  for (auto& query : std::exchange(settled_waiters_, {}))
    fx.run.push_back([query = std::move(query)] { query->answer("true"); });
}

// ---- diagnostics --------------------------------------------------------------------------------

void SharedSession::wait_for_diagnostics(std::shared_ptr<Query> query, DeferredActions& fx) {
  auto& document = documents_[query->ask().path];
  const bool fresh = is_diagnosed(document, document.version);
  if (fresh || query->ask().wait.value_or(Duration::zero()) <= Duration::zero()) {
    fx.run.push_back(
        [query, text = diagnostics_locked(query->ask().path)]() mutable { query->answer(std::move(text)); });
    return;
  }
  if (diagnostics_waiters_.size() >= kMaxWaiting) {
    return refuse(std::move(query),
                  overloaded(std::to_string(kMaxWaiting) + " calls wait for diagnostics; try again later"), fx);
  }
  diagnostics_waiters_.push_back({query, document.version});
  pull(query->ask().path, document, fx);
  const bool is_asked = has_to_answer(document);
  if (is_asked && document.seen == document.version) {
    has_seen(query->ask().path, document);
  } else if (document.rests() && (document.busy == 0 || (is_asked && !document.busy))) {
    ask_done(query->ask().path, document, fx);
  }
  await_quiet();
  // Waiting costs the server nothing: others may ask meanwhile.
  fx.run.push_back([query = std::move(query)] { query->give_permit_back(); });
}

void SharedSession::published(std::string_view params, DeferredActions& fx) {
  const auto uri = parse_json(member(params, "uri"));
  const std::string_view diagnostics = member(params, "diagnostics");
  if (!uri || !uri->is_string() || diagnostics.empty() || diagnostics.size() > kMaxDiagnostics) return;
  const auto path = to_path(uri->get<std::string>());
  if (!path) return;
  std::optional<long long> version;
  if (const long long named = own_id(member(params, "version")); named >= 0) version = named;
  for (auto& [opened_as, document] : documents_) {
    document.named = document.named || opened_as == *path;
    if (opened_as != *path && (document.real_path != *path || document.named)) continue;
    if (!overlay_) {
      diagnosed(opened_as, document, version, diagnostics, fx);
    } else if (const auto shown = overlay_->documents.find(opened_as); shown != overlay_->documents.end()) {
      return published_during_overlay(opened_as, shown->second, version, diagnostics, fx);
    }
  }
}

void SharedSession::diagnosed(const std::string& path, Document& document, std::optional<long long> version,
                              std::string_view diagnostics, DeferredActions& fx) {
  const bool says_version = version.has_value();
  if (document.trusted_from > 0 && version.value_or(0) < document.trusted_from) return;
  document.says_version = says_version;
  if (!version && (!document.changed || document.seen == document.version)) version = document.version;
  if (document.diagnosed && version && *version < *document.diagnosed) return;
  document.diagnosed = version;
  document.diagnostics = diagnostics;
  document.published_at = document.version;
  if (version && *version >= document.version) {
    heard(document, diagnostics, says_version);
    await_done(path, document, fx);
  }
  publish_change(path, version, fx);
  wake_waiters(fx);
  await_quiet();
}

void SharedSession::heard(Document& document, std::string_view diagnostics, bool says_version) {
  const bool first = !std::exchange(document.heard, true);
  const bool may_be_part = !says_version && document.changed;  // and the rest still that of the text before
  if (!may_be_part && (!is_empty_array(diagnostics) || (!first && says_version))) {
    document.quiet_until = TimePoint::min();
  } else if (first || may_be_part) {
    document.quiet_until = standing_.in_progress() ? TimePoint::max()
                           : may_be_part           ? context_->host.now() + kLongQuietTime
                                                   : context_->host.now() + kQuietTime;
  }
}

// It must not be taken for all that the server has to say while it works.
void SharedSession::progressed(std::string_view params) {
  const bool before = standing_.in_progress();
  standing_.follow("$/progress", params);
  if (standing_.in_progress() == before) return;
  const TimePoint now = context_->host.now();
  if (before) may_begin_until_ = now + kQuietTime;  // one that has loaded its project often goes on to index it
  const auto follow = [&](auto& documents) {
    for (auto& [path, document] : documents) {
      if (!before && document.quiet_until > now) document.quiet_until = TimePoint::max();
      if (before && document.quiet_until == TimePoint::max()) document.quiet_until = now + kQuietTime;
    }
  };
  follow(documents_);
  if (overlay_) follow(overlay_->documents);
  await_quiet();
}

bool SharedSession::is_believed(const Document& document) const {
  if (is_clangd(config())) return !document.busy;
  if (!is_empty_array(document.diagnostics) && (document.says_version || !document.changed)) return true;
  return !standing_.in_progress() && context_->host.now() >= document.quiet_until;
}

void SharedSession::wake_waiters(DeferredActions& fx) {
  std::erase_if(diagnostics_waiters_, [&](const DiagnosticsWaiter& waiter) GANTRY_NO_TSA {
    const auto it = documents_.find(waiter.query->ask().path);
    if (it == documents_.end()) return false;
    if (!is_diagnosed(it->second, waiter.version)) {
      const bool asked = it->second.pull.asked >= it->second.version;  // or waits to be asked again
      if (!asked) pull(it->first, it->second, fx);
      return false;
    }
    // It looks at the disk once more: what has changed meanwhile, the server perhaps did not see.
    fx.run.push_back([query = waiter.query] { query->resolve_later(); });
    return true;
  });
}

// One timer, for the first of those that are waited for. Without one a caller learns of it when its
// time is over.
void SharedSession::await_quiet() {
  if (awaits_quiet_) return;
  const TimePoint now = context_->host.now();
  TimePoint next = TimePoint::max();
  for (const auto& waiter : diagnostics_waiters_) {
    const auto it = documents_.find(waiter.query->ask().path);
    if (it != documents_.end() && it->second.quiet_until > now) next = std::min(next, it->second.quiet_until);
  }
  if (overlay_) {
    for (const auto& [path, shown] : overlay_->documents) {
      if (shown.quiet_until > now) next = std::min(next, shown.quiet_until);
    }
  }
  if (!settled_waiters_.empty() && may_begin_until_ > now) next = std::min(next, may_begin_until_);
  if (next == TimePoint::max()) return;
  const auto timer = context_->host.after(next - now, later(&SharedSession::quiet_is_over));
  awaits_quiet_ = timer.has_value();
}

void SharedSession::quiet_is_over() {
  Section section(*this);
  awaits_quiet_ = false;
  wake_waiters(section.fx);
  look_at_overlay(section.fx);
  wake_settled(section.fx);
  await_quiet();
}

std::string SharedSession::diagnostics_locked(const std::string& path) const {
  const auto it = documents_.find(path);
  const std::string all = it == documents_.end() ? std::string() : all_diagnostics(it->second);
  if (all.empty()) return no_diagnostics(path);
  const Document& document = it->second;
  const bool fresh = is_diagnosed(document, document.version) && !document.disturbed;
  return answer_text(path, fresh ? "fresh" : "stale", pulls_ ? document.pull.version : document.diagnosed, all);
}

std::optional<long long> SharedSession::version_of(const std::string& path) const {
  Lock lock(mutex_);
  const auto it = documents_.find(path);
  return it == documents_.end() ? std::nullopt : std::optional(it->second.version);
}

std::string SharedSession::diagnostics_of(const std::string& path) const {
  Lock lock(mutex_);
  return diagnostics_locked(path);
}

void SharedSession::publish_change(const std::string& path, std::optional<long long> version, DeferredActions& fx) {
  const std::string uri = to_uri(path);
  publish_later("lsp.diagnostics.changed", {{"uri", uri}, {"version", version ? json(*version) : json()}}, fx);
  // As the URI of a resource of agents (tools/tool_methods.cpp).
  publish_later("lsp.diagnostics.resource", {{"uri", "lsp-diagnostics" + uri.substr(4)}}, fx);
}

// Those of a server that is gone hold no more. An editor's are withdrawn by Standing.
void SharedSession::notify_withdrawn(DeferredActions& fx) {
  for (const auto& [path, document] : documents_) {
    if (document.diagnostics.empty() || is_empty_array(document.diagnostics)) continue;
    publish_change(path, std::nullopt, fx);
  }
}

// ---- the server ---------------------------------------------------------------------------------

std::string SharedSession::initialize_params() {
  json params = own_initialize_params(config(), root());
  if (is_clangd(config())) params["initializationOptions"].emplace("clangdFileStatus", true);
  return dump_json(params);
}

Result<void> SharedSession::initialized(std::string_view, const Envelope& e, DeferredActions& fx) {
  if (!e.error.empty()) {
    return fail(ErrorKind::upstream_failed, "refused initialize: " + std::string(e.error.substr(0, 500)));
  }
  const auto result = parse_json(e.result);
  const json capabilities = result && result->is_object() ? result->value("capabilities", json::object()) : json();
  learn_pull(capabilities);
  const json sync = capabilities.is_object() ? capabilities.value("textDocumentSync", json()) : json();
  const json save = sync.is_object() ? sync.value("save", json()) : json(sync.is_number() && sync != 0);
  save_ = Save::none;
  if (save.is_object() || save == true) save_ = Save::plain;
  if (save.is_object() && save.value("includeText", json()) == true) save_ = Save::with_text;
  server_.notify("initialized", json::object(), fx);
  if (!config().settings.empty()) {
    server_.notify("workspace/didChangeConfiguration", {{"settings", config().settings}}, fx);
  }
  return {};
}

void SharedSession::message(std::string_view text, const Envelope& e, DeferredActions& fx) {
  if (e.is_response()) return answered(e, fx);
  if (!e.is_request()) {
    if (e.method() == "textDocument/publishDiagnostics") published(e.params, fx);
    if (e.method() == "$/progress") progressed(e.params);
    if (e.method() == "textDocument/clangd.fileStatus") file_status(e.params, fx);
    return;
  }
  const auto params = parse_json(e.params.empty() ? "null" : e.params);
  if (params && e.method() == "workspace/applyEdit" && keep_edit(e.params)) {
    server_.send(R"({"jsonrpc":"2.0","id":)" + std::string(e.id) +
                     R"(,"result":{"applied":false,"failureReason":"the edit is proposed to the caller first"}})",
                 fx);
    return;
  }
  if (e.method() == "workspace/diagnostic/refresh") pulled_are_outdated(fx);
  if (!params) return server_.fault("sent malformed JSON: " + std::string(text.substr(0, 80)), fx);
  server_.send(answer_to_server(e.id, e.method(), *params, config(), root()), fx);
}

// Only of the one command that runs: of several nobody knows whose edit it is. The first edit counts.
bool SharedSession::keep_edit(std::string_view params) {
  long long command = -1;
  for (const auto& [id, query] : pending_) {
    if (query->ask().method != "workspace/executeCommand") continue;
    if (command >= 0 || !query->ask().keeps_edit) return false;
    command = id;
  }
  if (command >= 0) kept_edits_.try_emplace(command, params);
  return command >= 0;
}

void SharedSession::answered(const Envelope& e, DeferredActions& fx) {
  if (answers_done(e, fx) || answers_pull(e, fx)) return;
  const auto it = pending_.find(own_id(e.id));
  if (it == pending_.end()) return nobody_waits(e.id, fx);
  auto query = std::move(it->second);
  auto kept = kept_edits_.extract(it->first);
  pending_.erase(it);
  serve_waiting(fx);  // an overlay waits until all are answered
  if (kept) {         // that it was not applied may be the command's error
    fx.run.push_back(
        [query = std::move(query), edit = std::move(kept.mapped())]() mutable { query->answer(std::move(edit)); });
    return;
  }
  if (e.error.empty()) {
    fx.run.push_back([query = std::move(query), result = std::string(e.result.empty() ? "null" : e.result)]() mutable {
      query->answer(std::move(result));
    });
  } else if (!ask_again(query, e.error)) {
    auto error = upstream(config().name, query->ask().method, e.error);
    refuse(std::move(query), std::move(error), fx);
  }
}

void SharedSession::forget(const Query& query) {
  std::vector<std::shared_ptr<Query>> dropped;  // may be the last to hold it
  Section section(*this);
  used_at_ = context_->host.now();
  if (const auto it = pending_.find(query.sent_id()); it != pending_.end() && it->second.get() == &query) {
    if (server_.is_guest() || may_be_cancelled(config(), query.ask().method)) server_.cancel(it->first, section.fx);
    dropped.push_back(std::move(it->second));
    kept_edits_.erase(it->first);
    pending_.erase(it);
  }
  const auto drops = [&](std::shared_ptr<Query>& held) {
    if (held.get() != &query) return false;
    dropped.push_back(std::move(held));
    return true;
  };
  std::erase_if(pausing_, drops);
  std::erase_if(settled_waiters_, drops);
  std::erase_if(diagnostics_waiters_, [&](DiagnosticsWaiter& waiter) { return drops(waiter.query); });
  std::erase_if(waiting_, [&](Waiting& waiting) { return drops(waiting.query); });
  if (overlay_ && overlay_->query.get() == &query) {
    dropped.push_back(overlay_->query);
    end_overlay(section.fx);
  }
  serve_waiting(section.fx);
}

void SharedSession::carry_over(DeferredActions& fx) {
  const auto again = [&](std::shared_ptr<Query> query) {
    fx.run.push_back([query = std::move(query)] { query->resolve_later(); });
  };
  std::erase_if(pending_, [&](auto& entry) {
    // What a command has done already must not be done twice.
    if (entry.second->ask().method == "workspace/executeCommand") return false;
    again(std::move(entry.second));
    return true;
  });
  for (auto& waiter : std::exchange(diagnostics_waiters_, {})) again(std::move(waiter.query));
  if (const auto over = std::exchange(overlay_, nullptr)) again(over->query);
  for (auto& query : std::exchange(settled_waiters_, {})) again(std::move(query));
}

void SharedSession::down(const Error& error, DeferredActions& fx) {
  for (auto& [id, query] : pending_) refuse(std::move(query), error, fx);
  for (auto& waiter : diagnostics_waiters_) refuse(std::move(waiter.query), error, fx);
  if (const auto over = std::exchange(overlay_, nullptr))
    refuse(over->query, error, fx);  // the next one reads the disk
  for (auto& query : std::exchange(settled_waiters_, {})) refuse(std::move(query), error, fx);
  may_begin_until_ = TimePoint::min();
  unsent_changes_ = {};  // the next one reads the disk
  pending_.clear();
  kept_edits_.clear();
  diagnostics_waiters_.clear();
  const bool holds_still = std::exchange(rests_, false);  // nothing has changed but that nobody asks
  if (server_.state() != ServerState::closed && !holds_still) notify_withdrawn(fx);
  documents_.clear();
  tells_files_ = false;
  standing_ = {};
}

void SharedSession::gave_up(const Error& error, DeferredActions& fx) {
  for (auto& waiting : waiting_) refuse(std::move(waiting.query), error, fx);
  waiting_.clear();
  for (auto& query : std::exchange(pausing_, {})) refuse(std::move(query), error, fx);
}

void SharedSession::refuse(std::shared_ptr<Query> query, Error error, DeferredActions& fx) {
  fx.run.push_back([query = std::move(query), error = std::move(error)] { query->refuse(error); });
}

}  // namespace gantry::lsp
