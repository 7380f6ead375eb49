// SPDX-License-Identifier: Apache-2.0
//
// Servers that outlive the plugin's process when it dies. What was being said is lost, so a server is kept only if it
// proves to be in order: it is asked something, and must answer within kRecoveryTimeout. One that waits for the rest of
// a message that nobody can finish does not, and is started anew. What it says before that answer is dropped, and the
// documents that were open are closed: the next call opens them as the disk has them.
//
// A note at the helper process says whose it is: its configuration, its root, its documents and the last id. Editors'
// servers are not kept, since their streams ended with the plugin.
#include <gantry/file_uri.hpp>
#include <gantry/plugin/process.hpp>

#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/registry.hpp"

namespace gantry::lsp {

namespace {

constexpr int kFormat = 1;
/// Behind all versions that a document may have had.
constexpr long long kVersions = 1'000'000;
/// Some servers know no larger ids. One that has come there is not recovered.
constexpr long long kLargestId = 2'000'000'000;

}  // namespace

void ServerRunner::note(const json& note) const {
  if (!process_ || is_guest()) return;
  auto text = dump_json(note);
  if (text.size() > std::size_t{64} << 10) text.clear();  // more than the host keeps: it is not recovered
  note_process(context_->host, process_->name(), text);
}

void ServerRunner::add_to_note(json& note) const {
  note["last_id"] = last_id_;
  if (positions_) note["positions"] = positions_->suspend_closed();
}

void ServerRunner::recover(const std::string& name, const json& note, DeferredActions& fx) {
  last_id_ = (note.at("last_id").get<long long>() / kIdsNoted + 2) * kIdsNoted;
  restored_ = Restored{.name = name, .orphaned = true};
  if (note.contains("positions"))
    restored_->positions = std::make_unique<PositionTranslation>(note.at("positions"), text_of_file);
  step(ServerEvent::want, fx);
}

json Session::note() const {
  json out{{"format", kFormat}, {"server", to_json(config_)}, {"root", root_}, {"languages", languages_.all()}};
  server_.add_to_note(out);
  return out;
}

void Session::recover(const std::string& name, const json& note) {
  Section section(*this);
  languages_.restore(note.at("languages").get<std::set<std::string>>());
  recover_own(note);
  server_.recover(name, note, section.fx);
}

void SharedSession::note_documents() {
  json all = note();
  all["last_version"] = last_version_;
  if (pulls_) all["pulls"] = pull_identifier_;
  json& paths = all["documents"] = left_open_;
  for (const auto& [path, document] : documents_) paths.push_back(path);
  server_.note(all);
}

void SharedSession::recover_own(const json& note) {
  last_version_ = note.at("last_version").get<long long>() + kVersions;
  left_open_ = note.at("documents").get<std::vector<std::string>>();
  pulls_ = note.contains("pulls");
  pull_identifier_ = note.value("pulls", json());
}

void SharedSession::ready(DeferredActions& fx) {
  for (const auto& path : std::exchange(left_open_, {})) say_closed(path, fx);
  note_documents();
  notify_changes(fx);
  // What waited was read from the disk before the server was there, which may be minutes ago.
  for (auto& waiting : std::exchange(waiting_, {}))
    fx.run.push_back([query = std::move(waiting.query)] { query->resolve_later(); });
  used_at_ = context_->host.now();
  await_idleness();
}

bool Registry::recover(const std::string& process, const std::string& text) try {
  const json note = json::parse(text);
  if (note.at("format") != kFormat || note.at("last_id") > kLargestId) return false;
  const ServerConfig server = server_from(note.at("server"));
  const std::string root = note.at("root");
  const auto settings = this->settings();
  const auto* const now = settings->at(root).named(server.name);
  if (now == nullptr || *now != server || !settings->may_run(server, root)) return false;
  const auto session = make_shared_session(server, root);
  {
    Lock lock(mutex_);
    if (stopping_ || shared_.size() >= kMaxShared) return false;
    if (!shared_.emplace(std::pair(server.name, root), Shared{session, root, ++uses_}).second) return false;
  }
  session->recover(process, note);
  return true;
} catch (const json::exception&) {
  return false;
}

bool Registry::wait_for_recovery(const std::shared_ptr<Query>& query) {
  Lock lock(mutex_);
  if (recovering_ && !stopping_) waiting_.push_back(query);
  return recovering_ && !stopping_;
}

void Registry::recovery_ended() {
  std::vector<std::shared_ptr<Query>> waiting;
  {
    Lock lock(mutex_);
    recovering_ = false;
    waiting.swap(waiting_);
  }
  for (const auto& query : waiting) query->resolve_later();
}

}  // namespace gantry::lsp
