// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/query.hpp"

#include <chrono>
#include <utility>

#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/registry.hpp"
#include "plugins/lsp/shared.hpp"

namespace gantry::lsp {

Result<Query::Ask> ask_about(const Settings& settings, std::string path, const std::optional<std::string>& language) {
  Query::Ask ask;
  ask.path = std::move(path);
  const Servers& servers = settings.at(ask.path);
  ask.language = language ? *language : servers.language_of(ask.path);
  if (ask.language.empty()) {
    return fail(ErrorKind::not_found, "the language of " + ask.path +
                                          " is not known by its name; pass language, or name its extension in "
                                          "[lsp.servers.NAME] extensions");
  }
  const auto* server = servers.for_language(ask.language);
  if (server == nullptr) return no_server(ask.language);
  if (const auto may = settings.may_run(*server, ask.path); !may) return std::unexpected(may.error());
  ask.server = *server;
  return ask;
}

Query::Query(std::shared_ptr<Context> context, std::shared_ptr<Registry> registry, Ask ask, Done done)
    : context_(std::move(context)), registry_(std::move(registry)), ask_(std::move(ask)), answer_(std::move(done)) {}

void Query::begin() {
  const auto self = shared_from_this();
  if (!registry_->add(self)) return refuse(Error{ErrorKind::unavailable, "the lsp plugin is stopping", {}});
  if (done()) return registry_->remove(*this);                                         // it was cancelled before
  const bool looks = ask_.kind == Kind::diagnostics && ask_.wait <= Duration::zero();  // does not wait
  auto timer = context_->host.after(looks ? context_->timeout() : time(), [weak = weak_from_this()] {
    if (const auto query = weak.lock()) query->expired();
  });
  if (!timer) return refuse(overloaded("the host has no timer left for this call; try again later"));
  {
    Lock lock(mutex_);
    timer_ = timer;
  }
  const auto ticket = context_->permits->acquire([self](Permit permit) { self->granted(std::move(permit)); });
  if (!ticket) return refuse(ticket.error());
  Lock lock(mutex_);
  ticket_ = *ticket;
}

void Query::granted(Permit permit) {
  {
    Lock lock(mutex_);
    if (done()) return;  // the permit goes back when this function has let go of the lock
    permit_ = std::move(permit);
    stage_ = "waited for the disk";
  }
  resolve_later();
}

void Query::resolve_later() {
  auto posted = context_->worker.post([self = shared_from_this()] { self->resolve(); });
  if (!posted) refuse(Error{posted.error().kind, "too many files are being read; try again later", {}});
}

void Query::resolve() {
  if (done() || registry_->wait_for_recovery(shared_from_this())) return;
  Snapshot snapshot;
  auto info = look_at(ask_.path);
  const bool is_folder = info && info->folder;
  // What is told of a file may be that it is gone.
  if (!info && info.error().kind == ErrorKind::not_found && ask_.kind == Kind::notification)
    info = FileInfo{.stamp = {}, .folder = true};
  if (!info) return refuse(info.error());
  snapshot.info = *info;
  if (is_folder && ask_.kind == Kind::diagnostics) {
    return refuse(Error{ErrorKind::invalid_params, ask_.path + " is a folder; diagnostics are for a file", {}});
  }
  const auto slash = ask_.path.rfind('/');
  const std::string folder = is_folder ? ask_.path : slash == 0 ? "/" : ask_.path.substr(0, slash);
  auto session = find_session(folder);
  if (!session) return refuse(session.error());
  if (!info->folder) snapshot.real_path = real_path(ask_.path);
  (*session)->look_around(registry_->settings()->workspaces);
  (*session)->look_at_documents(info->folder || ask_.kind == Kind::overlay ? std::string() : ask_.path);
  if (ask_.kind == Kind::overlay) {
    snapshot.info.folder = true;  // the overlay has its texts
  } else if (!info->folder && !(*session)->knows(ask_.path, info->stamp)) {
    auto text = read_file(ask_.path);
    if (!text) return refuse(text.error());
    snapshot.hash = std::hash<std::string>{}(*text);
    snapshot.quoted_text = dump_json(json(std::move(*text)));
  }
  (*session)->run(shared_from_this(), std::move(snapshot));
}

// By the configuration of now: while the query waited, what may run there was perhaps decided anew.
Result<std::shared_ptr<SharedSession>> Query::find_session(const std::string& folder) const {
  while (true) {
    const auto settings = registry_->settings();
    const auto* const server = settings->at(ask_.path).named(ask_.server.name);
    if (server == nullptr)
      return fail(ErrorKind::not_found, "language server " + ask_.server.name + " is not configured any more");
    if (const auto may = settings->may_run(*server, ask_.path); !may) return std::unexpected(may.error());
    auto session =
        registry_->shared(*server, find_root(folder, server->root_markers, settings->workspaces), ask_.path, settings);
    if (!session || *session) return session;
  }
}

void Query::taken(const std::shared_ptr<SharedSession>& session, long long id) {
  Lock lock(mutex_);
  session_ = session;
  sent_id_ = id;
  stage_ = id == 0 ? "waited for the server to be ready" : "waited for the server's answer";
}

long long Query::sent_id() const {
  Lock lock(mutex_);
  return sent_id_;
}

unsigned Query::pauses() {
  Lock lock(mutex_);
  sent_id_ = 0;
  stage_ = "waited to be asked again";
  return ++retries_;
}

void Query::give_permit_back() {
  Permit back;
  Lock lock(mutex_);
  back = std::move(permit_);
}

void Query::answer(std::string raw) { end(std::move(raw)); }

void Query::refuse(const Error& error) { end(std::unexpected(error)); }

void Query::expired() {
  std::shared_ptr<SharedSession> session;
  std::string stage;
  {
    Lock lock(mutex_);
    session = session_.lock();
    stage = stage_;
  }
  if (ask_.kind == Kind::diagnostics) {
    return answer(session ? session->diagnostics_of(ask_.path) : no_diagnostics(ask_.path));
  }
  if (ask_.kind == Kind::settled) return answer("false");
  if (ask_.kind == Kind::overlay) return answer("null");
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time()).count();
  const std::string shown = ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
  const std::string limit = ask_.wait ? "its caller's" : "[async] lsp_request_timeout_seconds";
  refuse(Error{ErrorKind::timeout,
               ask_.method + " was not answered by " + ask_.server.name + " within " + shown + " (it " + stage +
                   (session && session->works() ? "; the server is still indexing" : "") +
                   "); try again, or with a longer time (" + limit + ")",
               {}});
}

void Query::end(Result<std::string> result) {
  if (done_.exchange(true)) return;
  const auto self = shared_from_this();
  std::exchange(answer_, {})(std::move(result));
  Permit permit;
  std::optional<TimerId> timer;
  std::uint64_t ticket = 0;
  std::shared_ptr<SharedSession> session;
  {
    Lock lock(mutex_);
    permit = std::move(permit_);
    timer = std::exchange(timer_, std::nullopt);
    ticket = ticket_;
    session = session_.lock();
  }
  if (timer) (void)context_->host.cancel(*timer);
  if (ticket != 0) (void)context_->permits->withdraw(ticket);
  if (session) session->forget(*this);
  registry_->remove(*this);
}

}  // namespace gantry::lsp
