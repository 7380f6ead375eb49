// SPDX-License-Identifier: Apache-2.0
//
// What one instance of the plugin leaves for the next when it is reloaded: each session with its server, which runs on
// and is not told; of its editors their streams as well. It is written as CBOR, since bytes that are no UTF-8 are in
// it.
//
// Bounds: kMost bytes, or what the host takes. Of an editor for which there is no room the texts of its documents are
// left out, which only a crash of its server would need; if that is not enough it attaches anew.
#include <signal.h>

#include <algorithm>
#include <gantry/plugin/process.hpp>
#include <set>

#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/registry.hpp"

namespace gantry::lsp {

namespace {

constexpr int kFormat = 5;
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
[[nodiscard]] std::string pack(const std::vector<json>& editors, const std::vector<json>& shared,
                               const std::set<std::string>& stopped, std::size_t most, std::vector<json>& dropped) {
  json all{{"format", kFormat}, {"editors", json::array()}, {"shared", json::array()}, {"stopped", stopped}};
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
    json& clients = less["session"]["own"]["views"]["clients"];
    // Editors that share a server cannot go on without their texts.
    const json none{{"documents", json::array()}, {"encoding", 0}, {"lost", kNoRoom}};
    for (auto& client : clients) client[1] = none;
    for (auto& client : less["session"]["own"]["clients"])
      client["notebooks"] = {{"notebooks", json::array()}, {"cells", none}, {"lost", ""}};
    if (clients.size() != 1 || !add("editors", less)) dropped.push_back(editor);
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
  out["begun"] = state() != ServerState::not_started && !is_stopped(state());
  out["stopped"] = is_stopped(state());
  auto process = std::exchange(process_, nullptr);
  if (auto suspended = process && may_hand_over(state()) ? process->suspend() : std::nullopt) {
    out["process"] = {{"name", process->name()},
                      {"ready", is_serving(state())},
                      {"initialize_id", initialize_id_},
                      {"unread", suspended->unread},
                      {"unsent", suspended->unsent},
                      {"tail", suspended->stderr_tail},
                      {"close_wanted", suspended->close_wanted},
                      {"offered", offered_},
                      {"positions", positions_ ? positions_->suspend() : json()}};
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
    if (const json positions = it->value("positions", json()); !positions.is_null())
      restored_->positions = std::make_unique<PositionTranslation>(positions, text_of_file);
    restored_->offered = it->value("offered", std::set<Encoding>{Encoding::utf16});
    step(ServerEvent::want, fx);
  } else if (suspended.value("stopped", false)) {
    step(ServerEvent::stop, fx);
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
  drop(guests(), fx);
  const TimePoint now = context_->host.now();
  json clients = json::array(), pending = json::array(), tokens = json::array(), servers_tokens = json::array();
  for (const auto& [id, client] : clients_) {
    json queue = json::array();
    for (const auto& each : client->queue)
      queue.push_back({each.text, each.request, left_until(each.deadline, now), each.turn, each.repetitions});
    clients.push_back({{"id", id},
                       {"call", client->editor->call()},
                       {"asked_root", client->asked_root},
                       {"home", client->home},
                       {"greeted", client->greeted},
                       {"answered", client->answered},
                       {"admitted", client->admitted},
                       {"shutdown", client->shutdown},
                       {"told_stopped", client->told_stopped},
                       {"ended", client->ended},
                       {"consumed", client->consumed},
                       {"init_id", client->init_id},
                       {"init_params", client->init_params},
                       {"without", client->without},
                       {"replaced", client->kept.replaced},
                       {"items", client->kept.items},
                       {"initialized", client->initialized_text},
                       {"configuration", client->configuration_text},
                       {"folders", client->folders},
                       {"environment", client->environment},
                       {"standing", client->standing.suspend()},
                       {"notebooks", client->notebooks.suspend()},
                       {"queue", std::move(queue)},
                       {"documents", client->documents ? client->documents->suspend() : json()}});
    client->ended = true;
    if (client->spare) fx.permits.push_back(std::move(client->spare));
    client->queue.clear();
  }
  for (auto& [id, each] : pending_) {
    pending.push_back({{"id", id},
                       {"client", each.client},
                       {"theirs", each.id},
                       {"left", left_until(each.deadline, now)},
                       {"permit", static_cast<bool>(each.permit)},
                       {"shutdown", each.shutdown},
                       {"command", each.command},
                       {"lets_next", each.lets_next},
                       {"reads", each.reads},
                       {"disturbed", each.disturbed},
                       {"recalled", each.recalled},
                       {"goes_on", each.goes_on},
                       {"cancelled", each.cancelled},
                       {"repetitions", each.repetitions},
                       {"text", each.text},
                       {"gives", each.gives},
                       {"cut", each.cut},
                       {"uri", each.uri},
                       {"partial", each.partial},
                       {"tokens", each.tokens}});
    fx.permits.push_back(std::move(each.permit));
  }
  for (const auto& [token, own] : tokens_) tokens.push_back({token, own.first, own.second});
  for (const auto& [token, told] : servers_tokens_) servers_tokens.push_back({token, told});
  json out{{"clients", std::move(clients)},
           {"views", views_.suspend()},
           {"key", key_},
           {"init_params", init_params_},
           {"environment", environment_},
           {"knows_roots", knows_roots_},
           {"without", without_},
           {"used", used_},
           {"told_folders", told_folders_},
           {"welcome", welcome_},
           {"initialized_sent", initialized_sent_},
           {"configuration", configuration_text_},
           {"settings", settings_},
           {"folder_texts", folder_texts_},
           {"registrations", registrations_},
           {"files_until", files_until().time_since_epoch().count()},
           {"configurations", configurations_},
           {"pending", std::move(pending)},
           {"tokens", std::move(tokens)},
           {"servers_tokens", std::move(servers_tokens)},
           {"asks", asks_.suspend()},
           {"active", active_},
           {"turns", turns_}};
  pending_.clear();
  deadlines_.clear();
  return out;
}

std::vector<AttachSession::Given> AttachSession::give_editors(const Stopping& stopping) {
  std::vector<Given> out;
  for (const auto& client : clients_now()) {
    if (auto unsent = client->editor->give(stopping)) {
      out.push_back({client->editor->call(), std::move(*unsent)});
    } else {
      client->editor->end(fail(ErrorKind::unavailable, "the lsp plugin is stopping; attach anew"));
    }
  }
  return out;
}

void AttachSession::restore_own(const json& suspended) {
  const TimePoint now = context_->host.now();
  for (const auto& each : suspended.at("clients")) {
    const ClientId id = each.at("id");
    const auto client =
        std::make_shared<Client>(id, std::make_shared<Editor>(each.at("call").get<std::uint64_t>()),
                                 std::make_shared<Client::Seat>(), each.at("asked_root"), each.at("home"));
    client->greeted = each.at("greeted");
    client->answered = each.at("answered");
    client->admitted = each.at("admitted");
    client->shutdown = each.at("shutdown");
    client->told_stopped = each.at("told_stopped");
    client->ended = each.at("ended");
    client->consumed = each.at("consumed");
    client->init_id = each.at("init_id");
    client->init_params = each.at("init_params");
    client->without = each.at("without");
    client->kept.replaced = each.value("replaced", false);
    client->kept.items = each.value("items", std::uint16_t{0});
    if (client->greeted) declared(*client);
    client->initialized_text = each.at("initialized");
    client->configuration_text = each.at("configuration");
    client->folders = each.at("folders").get<std::vector<std::string>>();
    client->environment = each.at("environment").get<std::map<std::string, std::string>>();
    client->standing.restore(each.at("standing"));
    if (each.contains("notebooks")) client->notebooks.restore(each.at("notebooks"));
    if (const auto& documents = each.at("documents"); !documents.is_null()) {
      client->documents = std::make_unique<TrackedDocuments>();
      client->documents->restore(documents);
    }
    for (const auto& item : each.at("queue")) {
      Client::Queued queued{item.at(0), item.at(1), time_of(item.at(2), now), item.at(3), item.at(4)};
      client->queued_bytes += queued.text.size();
      if (queued.request != 0) {
        watch_deadline(queued.deadline, queued.request);
        ++client->queued_requests;
      }
      client->queue.push_back(std::move(queued));
    }
    context_->last_client = std::max(context_->last_client.load(), id);
    clients_.emplace(id, client);
  }
  views_.restore(suspended.at("views"));
  key_ = suspended.at("key");
  init_params_ = suspended.at("init_params");
  environment_ = suspended.at("environment").get<std::map<std::string, std::string>>();
  knows_roots_ = suspended.at("knows_roots");
  without_ = suspended.at("without");
  used_ = suspended.at("used");
  told_folders_ = suspended.at("told_folders").get<std::vector<std::string>>();
  welcome_ = suspended.at("welcome");
  initialized_sent_ = suspended.at("initialized_sent");
  configuration_text_ = suspended.at("configuration");
  settings_ = suspended.at("settings");
  folder_texts_ = suspended.at("folder_texts").get<std::vector<std::string>>();
  registrations_ = suspended.at("registrations").get<std::map<std::string, json>>();
  for (auto& [id, registrations] : registrations_) {
    if (registrations.is_object()) registrations = json::array({registrations});  // of a build that kept one
  }
  files_since_ = std::chrono::system_clock::now();
  if (const json until = suspended.value("files_until", json()); until.is_number_integer())
    files_since_ = FileWatch::WallTime(FileWatch::WallTime::duration(until.get<long long>()));
  configurations_ = suspended.at("configurations").get<std::map<std::string, std::string>>();
  for (const auto& each : suspended.at("pending")) {
    const long long id = each.at("id");
    const TimePoint deadline = time_of(each.at("left"), now);
    const bool held_permit = each.at("permit");
    // A place is counted again; if there are fewer by now, those that are with the servers already stay there.
    pending_.emplace(id, Pending{.client = each.at("client"),
                                 .id = each.at("theirs"),
                                 .deadline = deadline,
                                 .permit = held_permit ? context_->editor_permits->try_acquire() : Permit(),
                                 .shutdown = each.at("shutdown"),
                                 .command = each.at("command"),
                                 .lets_next = each.at("lets_next"),
                                 .reads = each.at("reads"),
                                 .disturbed = each.value("disturbed", false),
                                 .recalled = each.value("recalled", false),
                                 .cancelled = each.value("cancelled", false),
                                 .goes_on = each.value("goes_on", false),
                                 .repetitions = each.at("repetitions"),
                                 .gives = each.value("gives", std::uint16_t{0}),
                                 .text = each.at("text"),
                                 .cut = each.at("cut"),
                                 .uri = each.at("uri"),
                                 .partial = each.at("partial"),
                                 .tokens = each.at("tokens").get<std::vector<std::string>>()});
    watch_deadline(deadline, id);
    if (pending_.at(id).client == 0) asks_settled_ = changed_since_ = true;
  }
  for (const auto& each : suspended.at("tokens"))
    tokens_[each.at(0)] = {each.at(1).get<ClientId>(), each.at(2).get<std::string>()};
  for (const auto& each : suspended.at("servers_tokens"))
    servers_tokens_[each.at(0)] = each.at(1).get<std::set<ClientId>>();
  asks_.restore(suspended.at("asks"));
  active_ = suspended.at("active");
  turns_ = suspended.at("turns");
}

std::shared_ptr<Client> AttachSession::client_of(std::uint64_t call) const {
  Lock lock(mutex_);
  for (const auto& [id, client] : clients_) {
    if (client->editor->call() == call && !client->ended) return client;
  }
  return nullptr;
}

// What the instance before was in the middle of is begun anew.
void AttachSession::are_seated() {
  Section section(*this);
  for (const auto& [id, client] : clients_) {
    client->seat->session = self();
    if (!client->admitted && client->greeted && server_.state() != ServerState::not_started)
      look_for_admission(*client, section.fx);
  }
  take_settings(section.fx);
  watch_files();
  watch_asks();
  pump(section.fx);
}

void AttachSession::drop_awaited() {
  for (const auto& client : clients_now()) {
    if (client->editor->awaited()) editor_left(client->id, json());
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
                         {"says_version", d.says_version},
                         {"trusted_from", d.trusted_from},
                         {"diagnosed", d.diagnosed ? json(*d.diagnosed) : json()},
                         {"published_at", d.published_at},
                         {"busy", d.busy.has_value()},
                         {"diagnostics", d.diagnostics}});
  }
  return {{"documents", std::move(documents)},
          {"standing", standing_.suspend()},
          {"last_version", last_version_},
          {"uses", uses_},
          {"pulls", pulls_},
          {"tells_files", tells_files_},
          {"pull_identifier", pull_identifier_},
          {"save", static_cast<int>(save_)}};
}

void SharedSession::restore_own(const json& suspended) {
  last_version_ = suspended.at("last_version");
  uses_ = suspended.at("uses");
  save_ = static_cast<Save>(suspended.at("save").get<int>());
  pulls_ = suspended.value("pulls", false);
  tells_files_ = suspended.value("tells_files", false);
  pull_identifier_ = suspended.value("pull_identifier", json());
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
                 .published_at = each.value("published_at", 0LL),
                 .diagnostics = each.at("diagnostics"),
                 .heard = !diagnosed.is_null(),
                 .says_version = each.value("says_version", false),
                 .trusted_from = each.value("trusted_from", 0LL),
                 .quiet_until = quiet_until,
                 .pull = {},
                 .busy = each.value("busy", false) ? std::optional<long long>(0) : std::nullopt});
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
  std::set<std::string> stopped;
  {
    Lock lock(settings_mutex_);
    stopped = stopped_;
  }
  std::vector<json> editors, sessions, dropped;
  for (const auto& editor : attached) {
    if (editor->closed()) continue;
    json suspended = editor->suspend();
    json streams = json::array();
    for (auto& given : editor->give_editors(stopping)) streams.push_back({given.call, std::move(given.unsent)});
    if (streams.empty()) {
      kill_server(context_->host, suspended);
    } else {
      editors.push_back({{"session", std::move(suspended)}, {"streams", std::move(streams)}});
    }
  }
  for (auto& [key, entry] : shared) {
    if (entry.session->closed()) continue;
    json suspended = entry.session->suspend();
    if (suspended.contains("process")) sessions.push_back({{"session", std::move(suspended)}, {"place", entry.place}});
  }
  Result<void> given;
  for (std::size_t most = kMost; most >= kLeast; most /= 2) {  // how much the host takes is its configuration's to say
    given = stopping.give(pack(editors, sessions, stopped, most, dropped));
    if (given || given.error().kind != ErrorKind::too_large) break;
  }
  if (!given) context_->host.log(Level::error, "language servers do not outlive the reload: " + given.error().message);
  for (const auto& entry : dropped) kill_server(context_->host, entry["session"]);
}

std::unordered_map<std::uint64_t, SuspendedEditor> Registry::restore(const std::string& handed_over) {
  std::unordered_map<std::uint64_t, SuspendedEditor> editors;
  const json all = json::from_cbor(handed_over);
  if (all.at("format") != kFormat) return editors;
  {
    Lock lock(settings_mutex_);
    stopped_ = all.value("stopped", std::set<std::string>());  // absent: of a build that had no lsp.stop
  }
  for (const auto& packed : all.at("editors")) {
    json entry = json::from_cbor(packed.get_binary());
    const auto session = std::make_shared<SuspendedSession>(SuspendedSession{std::move(entry.at("session"))});
    for (auto& stream : entry.at("streams"))
      editors.emplace(stream.at(0).get<std::uint64_t>(), SuspendedEditor{session, stream.at(1)});
  }
  for (const auto& packed : all.at("shared")) {
    const json entry = json::from_cbor(packed.get_binary());
    const json& suspended = entry.at("session");
    const std::string root = suspended.at("root");
    const auto session = make_shared_session(server_from(suspended.at("server")), root);
    session->restore(suspended);
    Lock lock(mutex_);
    shared_.insert_or_assign({session->config().name, root}, Shared{session, entry.at("place"), ++uses_});
  }
  return editors;
}

}  // namespace gantry::lsp
