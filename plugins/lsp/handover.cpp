// SPDX-License-Identifier: Apache-2.0
//
// What one instance of the plugin leaves for the next when it is reloaded: each session with its server, which runs on
// and is not told; of an editor its stream as well. It is written as CBOR, since bytes that are no UTF-8 are in it.
//
// Bounds: kMost bytes, or what the host takes. Of an editor for which there is no room the texts of its documents are
// left out, which only a crash of its server would need; if that is not enough it attaches anew.
#include <signal.h>

#include <algorithm>

#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/registry.hpp"

namespace gantry::lsp {

namespace {

constexpr int kFormat = 2;
constexpr std::size_t kMost = std::size_t{32} << 20;
constexpr std::size_t kLeast = std::size_t{64} << 10;
constexpr const char* kNoRoom = "the open documents were too large to be handed over when the plugin was reloaded";

// null: never.
[[nodiscard]] json left_until(TimePoint end, TimePoint now) {
  if (end == TimePoint::max()) return {};
  return std::chrono::duration_cast<std::chrono::milliseconds>(end - now).count();
}
[[nodiscard]] TimePoint time_of(const json& left, TimePoint now) {
  return left.is_null() ? TimePoint::max() : now + std::chrono::milliseconds(left.get<std::int64_t>());
}

/// All that is left, as text. What finds no room within `most` bytes is not in it, but in `dropped`.
[[nodiscard]] std::string pack(const std::vector<json>& editors, const std::vector<json>& shared, std::size_t most,
                               std::vector<json>& dropped) {
  json all{{"format", kFormat}, {"editors", json::array()}, {"shared", json::array()}};
  std::size_t bytes = 0;
  const auto add = [&](const char* list, const json& entry) {
    auto packed = json::to_cbor(entry);
    if (bytes + packed.size() > most) return false;
    bytes += packed.size();
    all[list].push_back(json::binary(std::move(packed)));
    return true;
  };
  dropped.clear();
  for (const auto& editor : editors) {
    if (add("editors", editor)) continue;
    json less = editor;
    less["session"]["own"]["documents"] = {{"documents", json::array()}, {"encoding", 0}, {"lost", kNoRoom}};
    if (!add("editors", less)) dropped.push_back(editor);
  }
  for (const auto& session : shared) {
    if (!add("shared", session)) dropped.push_back(session);
  }
  const auto packed = json::to_cbor(all);
  return {packed.begin(), packed.end()};
}

void kill_server(const Host& host, const json& session) {
  if (const auto it = session.find("process"); it != session.end())
    signal_process(host, it->value("name", ""), SIGKILL);
}

}  // namespace

// ---- a server -----------------------------------------------------------------------------------

void ServerRunner::suspend(json& out, DeferredActions& fx) {
  out["last_id"] = last_id_;
  out["restarts"] = restarts_;
  out["exit_wanted"] = state() == ServerState::leaving;
  out["noise_told"] = noise_reported_;
  out["begun"] = state() != ServerState::not_started;
  auto process = std::exchange(process_, nullptr);
  if (auto suspended = process && may_hand_over(state()) ? process->suspend() : std::nullopt) {
    out["process"] = {{"name", process->name()},
                      {"ready", is_serving(state())},
                      {"initialize_id", initialize_id_},
                      {"unread", suspended->unread},
                      {"unsent", suspended->unsent},
                      {"tail", suspended->stderr_tail},
                      {"close_wanted", suspended->close_wanted}};
  } else if (process) {
    out["restarts"] = restarts_ + 1;
  }
  fx.run.push_back([process = std::move(process)] {});  // it dies without the lock
  step(ServerEvent::abandon, fx);
}

bool ServerRunner::restore(const json& suspended, DeferredActions& fx) {
  last_id_ = suspended.at("last_id");
  restarts_ = suspended.at("restarts");
  const bool leaves = suspended.at("exit_wanted");
  noise_reported_ = suspended.value("noise_told", false);
  if (const auto it = suspended.find("process"); it != suspended.end()) {
    restored_ = Restored{.name = it->at("name"),
                         .ready = it->at("ready"),
                         .leaving = leaves,
                         .initialize_id = it->at("initialize_id"),
                         .suspended = {.unread = it->at("unread"),
                                       .unsent = it->at("unsent"),
                                       .stderr_tail = it->at("tail"),
                                       .close_wanted = it->at("close_wanted")}};
    step(ServerEvent::want, fx);
  } else if (suspended.at("begun")) {
    step(!leaves && user_.may_follow() ? ServerEvent::exited_once : ServerEvent::exited_unfollowed, fx);
  } else {
    return false;
  }
  return true;
}

// ---- a session ----------------------------------------------------------------------------------

json Session::suspend() {
  DeferredActions fx;  // what it holds dies without the lock, and nothing of it is done: others run at once
  Lock lock(mutex_);
  json out{{"server", to_json(config_)},
           {"root", root_},
           {"languages", languages_.all()},
           {"stray_answer_told", stray_answer_reported_},
           {"own", suspend_own(fx)}};
  server_.suspend(out, fx);
  return out;
}

void Session::restore(const json& suspended) {
  Section section(*this);
  root_ = suspended.at("root");
  languages_.restore(suspended.at("languages").get<std::set<std::string>>());
  stray_answer_reported_ = suspended.value("stray_answer_told", false);
  restore_own(suspended.at("own"));
  if (!server_.restore(suspended, section.fx)) not_begun(section.fx);
}

// ---- an editor's --------------------------------------------------------------------------------

json AttachSession::suspend_own(DeferredActions& fx) {
  const TimePoint now = context_->host.now();
  json pending = json::array(), asked = json::array(), queue = json::array();
  for (const auto& [id, each] : pending_)
    pending.push_back({id, each.id, left_until(each.deadline, now), each.shutdown, static_cast<bool>(each.permit)});
  for (const auto& [id, text] : server_requests_) asked.push_back({id, text});
  for (const auto& each : queue_) {
    const auto left = left_until(each.deadline, now);
    queue.push_back({each.text, each.request, left});
  }
  json out{{"asked_root", asked_root_},
           {"home", home_},
           {"greeted", greeted_},
           {"answered", answered_},
           {"shutdown", shutdown_},
           {"consumed", consumed_},
           {"init_id", init_id_},
           {"init_params", init_params_},
           {"initialized", initialized_text_},
           {"configuration", configuration_text_},
           {"folders", folder_texts_},
           {"folder_paths", folders_},
           {"standing", standing_.suspend()},
           {"documents", documents_.suspend()},
           {"pending", std::move(pending)},
           {"server_requests", std::move(asked)},
           {"queue", std::move(queue)}};
  ended_ = true;
  for (auto& [id, each] : pending_) fx.permits.push_back(std::move(each.permit));
  if (spare_) fx.permits.push_back(std::move(spare_));
  pending_.clear();
  deadlines_.clear();
  queue_.clear();
  return out;
}

Result<std::vector<std::string>> AttachSession::give_editor(const Stopping& stopping) {
  auto unsent = editor_.give(stopping);
  if (!unsent) editor_.end(fail(ErrorKind::unavailable, "the lsp plugin is stopping; attach anew"));
  return unsent;
}

void AttachSession::restore_own(const json& suspended) {
  const TimePoint now = context_->host.now();
  greeted_ = suspended.at("greeted");
  answered_ = suspended.at("answered");
  shutdown_ = suspended.at("shutdown");
  consumed_ = suspended.at("consumed");
  init_id_ = suspended.at("init_id");
  init_params_ = suspended.at("init_params");
  initialized_text_ = suspended.at("initialized");
  configuration_text_ = suspended.at("configuration");
  folder_texts_ = suspended.at("folders").get<std::vector<std::string>>();
  folders_ = suspended.at("folder_paths").get<std::vector<std::string>>();
  standing_.restore(suspended.at("standing"));
  documents_.restore(suspended.at("documents"));
  for (const auto& each : suspended.at("pending")) {
    const long long id = each.at(0);
    const TimePoint deadline = time_of(each.at(2), now);
    const bool held_permit = each.at(4);
    // A place is counted again; if there are fewer by now, those that are with the servers already stay there.
    pending_.emplace(id, Pending{each.at(1), deadline, held_permit ? context_->editor_permits->try_acquire() : Permit(),
                                 each.at(3)});
    watch_deadline(deadline, id);
  }
  for (const auto& each : suspended.at("server_requests")) server_requests_.emplace(each.at(0), each.at(1));
  for (const auto& each : suspended.at("queue")) {
    Queued queued{each.at(0), each.at(1), time_of(each.at(2), now)};
    queued_bytes_ += queued.text.size();
    if (queued.request != 0) {
      watch_deadline(queued.deadline, queued.request);
      ++queued_requests_;
    }
    queue_.push_back(std::move(queued));
  }
}

// ---- a shared one -------------------------------------------------------------------------------

json SharedSession::suspend_own(DeferredActions&) {
  json documents = json::array();
  for (const auto& [path, d] : documents_) {
    documents.push_back({{"path", path},
                         {"version", d.version},
                         {"stamp", {d.stamp.modified_ns, d.stamp.size, d.stamp.inode, d.stamp.fresh}},
                         {"hash", d.hash},
                         {"used", d.used},
                         {"real_path", d.real_path},
                         {"named", d.named},
                         {"changed", d.changed},
                         {"diagnosed", d.diagnosed ? json(*d.diagnosed) : json()},
                         {"diagnostics", d.diagnostics}});
  }
  return {{"documents", std::move(documents)},
          {"standing", standing_.suspend()},
          {"last_version", last_version_},
          {"uses", uses_},
          {"save", static_cast<int>(save_)}};
}

void SharedSession::restore_own(const json& suspended) {
  last_version_ = suspended.at("last_version");
  uses_ = suspended.at("uses");
  save_ = static_cast<Save>(suspended.at("save").get<int>());
  if (const auto standing = suspended.find("standing"); standing != suspended.end()) standing_.restore(*standing);
  // Perhaps it was not quiet yet.
  const TimePoint quiet_until =
      standing_.in_progress() ? TimePoint::max() : context_->host.now() + SharedSession::kQuietTime;
  for (const auto& each : suspended.at("documents")) {
    const json& stamp = each.at("stamp");
    const json& diagnosed = each.at("diagnosed");
    documents_.insert_or_assign(
        each.at("path").get<std::string>(),
        Document{.version = each.at("version"),
                 .stamp = {stamp.at(0), stamp.at(1), stamp.at(2), stamp.at(3)},
                 .hash = each.at("hash"),
                 .used = each.at("used"),
                 .real_path = each.value("real_path", ""),
                 .named = each.value("named", false),
                 .changed = each.at("changed"),
                 .diagnosed = diagnosed.is_null() ? std::nullopt : std::optional(diagnosed.get<long long>()),
                 .diagnostics = each.at("diagnostics"),
                 .heard = !diagnosed.is_null(),
                 .quiet_until = quiet_until});
  }
}

// ---- all of them --------------------------------------------------------------------------------

void Registry::hand_over(const Stopping& stopping) {
  refuse_queries();
  decltype(shared_) shared;
  decltype(attached_) attached;
  {
    Lock lock(mutex_);
    shared.swap(shared_);
    attached.swap(attached_);
  }
  std::vector<json> editors, sessions, dropped;
  for (const auto& editor : attached) {
    if (editor->closed()) continue;
    json suspended = editor->suspend();
    if (auto unsent = editor->give_editor(stopping)) {
      editors.push_back({{"session", std::move(suspended)}, {"call", editor->call()}, {"unsent", std::move(*unsent)}});
    } else {
      kill_server(context_->host, suspended);
    }
  }
  for (auto& [key, entry] : shared) {
    if (entry.session->closed()) continue;
    json suspended = entry.session->suspend();
    if (suspended.contains("process")) sessions.push_back({{"session", std::move(suspended)}, {"place", entry.place}});
  }
  Result<void> given;
  for (std::size_t most = kMost; most >= kLeast; most /= 2) {  // how much the host takes is its configuration's to say
    given = stopping.give(pack(editors, sessions, most, dropped));
    if (given || given.error().kind != ErrorKind::too_large) break;
  }
  if (!given) context_->host.log(Level::error, "language servers do not outlive the reload: " + given.error().message);
  for (const auto& entry : dropped) kill_server(context_->host, entry["session"]);
}

std::unordered_map<std::uint64_t, SuspendedEditor> Registry::restore(const std::string& handed_over) {
  std::unordered_map<std::uint64_t, SuspendedEditor> editors;
  const json all = json::from_cbor(handed_over);
  if (all.at("format") != kFormat) return editors;
  for (const auto& packed : all.at("editors")) {
    json entry = json::from_cbor(packed.get_binary());
    const std::uint64_t call = entry.at("call");
    editors.emplace(call, SuspendedEditor{std::move(entry.at("session")), std::move(entry.at("unsent"))});
  }
  for (const auto& packed : all.at("shared")) {
    const json entry = json::from_cbor(packed.get_binary());
    const json& suspended = entry.at("session");
    const std::string root = suspended.at("root");
    const auto session = std::make_shared<SharedSession>(context_, server_from(suspended.at("server")), root);
    session->restore(suspended);
    Lock lock(mutex_);
    shared_.insert_or_assign({session->config().name, root}, Shared{session, entry.at("place"), ++uses_});
  }
  return editors;
}

}  // namespace gantry::lsp
