// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/registry.hpp"

#include <algorithm>

#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

namespace {

[[nodiscard]] std::unexpected<Error> stopping() { return fail(ErrorKind::unavailable, "the lsp plugin is stopping"); }

// Sessions that are closed go; the caller lets them die outside the lock.
template <class S>
[[nodiscard]] std::vector<std::shared_ptr<S>> take_closed(std::vector<std::shared_ptr<S>>& from) {
  std::vector<std::shared_ptr<S>> closed;
  std::erase_if(from, [&](std::shared_ptr<S>& session) {
    if (!session->closed()) return false;
    closed.push_back(std::move(session));
    return true;
  });
  return closed;
}

}  // namespace

void Registry::configure(Settings settings) {
  context_->permits->set_limit(settings.max_requests);
  context_->timeout_ns = settings.request_timeout.count();
  context_->editors_need_permits = settings.editor_max_requests > 0;
  context_->editor_permits->set_limit(settings.editor_max_requests > 0 ? settings.editor_max_requests : kNoLimit);
  context_->editor_timeout_ns = settings.editor_request_timeout.count();
  context_->idle_stop_ns = settings.idle_stop.count();
  auto shared = std::make_shared<const Settings>(std::move(settings));
  std::vector<std::shared_ptr<SharedSession>> ends;
  {
    Lock lock(mutex_);
    {
      Lock leaf(settings_mutex_);
      settings_.swap(shared);
    }
    ends = take_those_that_may_not_run();
  }
  for (const auto& session : ends) session->close(nullptr);
  const auto now = this->settings();
  for (const auto& session : sessions()) {
    session->workspaces_are(now->workspaces);
    session->settings_are_new();
  }
}

// Another command holds there by now, or it runs code that is not trusted any more. What else has changed is seen
// when it is asked for.
std::vector<std::shared_ptr<SharedSession>> Registry::take_those_that_may_not_run() {
  std::vector<std::shared_ptr<SharedSession>> out;
  const auto settings = this->settings();
  std::erase_if(shared_, [&](auto& entry) GANTRY_NO_TSA {
    const auto& config = entry.second.session->config();
    const std::string& place = entry.second.place;
    const auto* const now = settings->at(place).named(config.name);
    if (now != nullptr && now->command == config.command && settings->may_run(*now, place)) return false;
    leaving_.push_back(entry.second.session);
    out.push_back(std::move(entry.second.session));
    return true;
  });
  return out;
}

std::shared_ptr<const Settings> Registry::settings() const {
  Lock lock(settings_mutex_);
  return settings_;
}

// ---- lsp.stop

// The name comes first: a session that is asked for from now on is refused, and one that starts meanwhile is told.
Result<std::size_t> Registry::stop_server(const std::string& server) {
  {
    Lock lock(settings_mutex_);
    if (stopped_.size() >= kMaxStopped && !stopped_.contains(server))
      return std::unexpected(overloaded(std::to_string(kMaxStopped) + " servers are stopped; restart some first"));
    stopped_.insert(server);
  }
  std::size_t ended = 0;
  for (const auto& session : sessions()) {
    const bool guest = session->is_guest();
    if (session->config().name == server && session->stop() && !guest) ++ended;
  }
  return ended;
}

std::size_t Registry::restart_server(const std::string& server) {
  {
    Lock lock(settings_mutex_);
    stopped_.erase(server);
  }
  std::size_t restarted = 0;
  for (const auto& session : sessions()) {
    if (session->config().name != server) continue;
    if (!session->is_guest()) ++restarted;
    session->restart();
  }
  return restarted;
}

Result<void> Registry::may_start(const std::string& server) const {
  Lock lock(settings_mutex_);
  return stopped_.contains(server) ? std::unexpected(stopped_error(server)) : Result<void>();
}

void Registry::client_left(std::uint64_t origin) {
  for (const auto& session : sessions()) session->client_left(origin);
}

// ---- sessions

std::shared_ptr<SharedSession> Registry::make_room() {
  auto oldest = shared_.end();
  for (auto it = shared_.begin(); it != shared_.end(); ++it) {
    if (it->second.session->calls() > 0) continue;
    if (oldest == shared_.end() || it->second.used < oldest->second.used) oldest = it;
  }
  if (oldest == shared_.end()) return nullptr;
  auto session = std::move(oldest->second.session);
  shared_.erase(oldest);
  leaving_.push_back(session);
  return session;
}

Result<std::shared_ptr<SharedSession>> Registry::shared(const ServerConfig& config, const std::string& root,
                                                        const std::string& place,
                                                        const std::shared_ptr<const Settings>& seen) {
  std::shared_ptr<SharedSession> out, old;
  std::vector<std::shared_ptr<SharedSession>> closed;
  if (const auto may = may_start(config.name); !may) return std::unexpected(may.error());
  {
    Lock lock(mutex_);
    if (stopping_) return stopping();
    if (seen != settings()) return nullptr;
    closed = take_closed(leaving_);
    const auto key = std::pair(config.name, root);
    auto it = shared_.find(key);
    if (it != shared_.end() && (it->second.session->config() != config || it->second.session->closed())) {
      old = std::move(it->second.session);  // its configuration is no longer in force
      leaving_.push_back(old);
      shared_.erase(it);
      it = shared_.end();
    }
    if (it == shared_.end()) {
      if (shared_.size() >= kMaxShared) {
        old = make_room();
        if (!old) {
          return std::unexpected(
              overloaded(std::to_string(kMaxShared) + " language servers are in use; try again later"));
        }
      }
      it = shared_.emplace(key, Shared{make_shared_session(config, root), {}, 0}).first;
    }
    it->second.place = place;
    it->second.used = ++uses_;
    out = it->second.session;
  }
  if (old) old->close(nullptr);
  out->prefer_editors();
  return out;
}

std::shared_ptr<SharedSession> Registry::make_shared_session(const ServerConfig& config, const std::string& root) {
  return std::make_shared<SharedSession>(
      context_, config, root,
      [weak = weak_from_this()](const ServerConfig& named, const std::string& place) -> std::shared_ptr<AttachSession> {
        const auto registry = weak.lock();
        return registry ? registry->editors_of(named, place) : nullptr;
      });
}

Result<void> Registry::add(std::shared_ptr<AttachSession> session, std::size_t editors) {
  std::vector<std::shared_ptr<AttachSession>> closed;
  Lock lock(mutex_);
  if (stopping_) return stopping();
  closed = take_closed(attached_);
  std::size_t all = editors;
  for (const auto& each : attached_) all += each->editors();
  if (all > kMaxAttached && editors > 0) {
    return std::unexpected(overloaded(std::to_string(kMaxAttached) + " editors are attached; detach one first"));
  }
  attached_.push_back(std::move(session));
  return {};
}

bool Registry::add(const std::shared_ptr<Query>& query) {
  Lock lock(mutex_);
  if (stopping_) return false;
  queries_.emplace(query.get(), query);
  return true;
}

void Registry::remove(const Query& query) {
  Lock lock(mutex_);
  queries_.erase(&query);
}

std::vector<std::shared_ptr<AttachSession>> Registry::attached() const {
  Lock lock(mutex_);
  return attached_;
}

std::shared_ptr<AttachSession> Registry::session_for(const std::string& key, const Client& client) const {
  for (const auto& session : attached()) {
    if (!client.unlike.contains(session.get()) && session->offers(key)) return session;
  }
  return nullptr;
}

std::shared_ptr<AttachSession> Registry::editors_of(const ServerConfig& config, const std::string& root) const {
  std::shared_ptr<AttachSession> out;
  std::string innermost;
  for (auto& session : attached()) {
    auto place = session->place_for_guest(config, root);
    if (place.size() <= innermost.size()) continue;
    innermost = std::move(place);
    out = std::move(session);
  }
  return out;
}

std::vector<std::shared_ptr<Session>> Registry::sessions() const {
  std::vector<std::shared_ptr<Session>> out;
  Lock lock(mutex_);
  for (const auto& [key, entry] : shared_) out.push_back(entry.session);
  for (const auto* list : {&leaving_}) out.insert(out.end(), list->begin(), list->end());
  out.insert(out.end(), attached_.begin(), attached_.end());
  std::erase_if(out, [](const auto& session) { return session->closed(); });
  return out;
}

std::optional<std::string> Registry::unsaved_in_editor(const std::vector<std::string>& real_paths) const {
  std::vector<std::shared_ptr<AttachSession>> editors;
  {
    Lock lock(mutex_);
    editors = attached_;
  }
  for (const auto& editor : editors) {
    if (editor->closed()) continue;
    for (const auto& [path, hash] : editor->open_texts()) {
      const std::string real = real_path(path);
      const auto named = std::ranges::find(real_paths, real.empty() ? path : real);
      if (named == real_paths.end()) continue;
      const auto text = read_file(path);
      if (!text || std::hash<std::string>{}(*text) != hash) return path;
    }
  }
  return std::nullopt;
}

std::optional<long long> Registry::version_of(const std::string& server, const std::string& path) const {
  std::vector<std::shared_ptr<SharedSession>> shared;
  {
    Lock lock(mutex_);
    for (const auto& [key, entry] : shared_) {
      if (key.first == server) shared.push_back(entry.session);
    }
  }
  for (const auto& session : shared) {
    if (const auto version = session->version_of(path)) return version;
  }
  return std::nullopt;
}

void Registry::refuse_queries() {
  std::vector<std::shared_ptr<Query>> open;
  {
    Lock lock(mutex_);
    stopping_ = true;
    for (const auto& [key, weak] : queries_) {
      if (auto query = weak.lock()) open.push_back(std::move(query));
    }
  }
  for (const auto& query : open) query->refuse(stopping().error());
}

void Registry::stop(const std::shared_ptr<void>& hold) {
  refuse_queries();
  for (const auto& session : sessions()) {
    if (auto* editor = dynamic_cast<AttachSession*>(session.get())) {
      editor->all_left(fail(ErrorKind::unavailable, "the lsp plugin is stopping; attach anew"));
    }
    session->close(hold);
  }
}

void Registry::destroy() {
  refuse_queries();
  for (const auto& session : sessions()) session->destroy();
  decltype(shared_) shared;
  decltype(attached_) attached;
  decltype(leaving_) leaving;
  decltype(waiting_) waiting;
  Lock lock(mutex_);
  waiting.swap(waiting_);
  shared.swap(shared_);
  attached.swap(attached_);
  leaving.swap(leaving_);
}

}  // namespace gantry::lsp
