// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/session.hpp"

#include "plugins/lsp/printable.hpp"

namespace gantry::lsp {

Session::Session(std::shared_ptr<Context> context, ServerConfig config, std::string root, const char* kind)
    : context_(std::move(context)),
      config_(std::move(config)),
      kind_(kind),
      root_(std::move(root)),
      server_(*this, context_, config_, root_) {}

Session::~Session() { destroy(); }

void Session::destroy() {
  Section section(*this);
  server_.step(ServerEvent::abandon, section.fx);
}

bool Session::closed() const {
  Lock lock(mutex_);
  return server_.state() == ServerState::closed;
}

bool Session::closing() const {
  Lock lock(mutex_);
  return is_stopping(server_.state());
}

json Session::describe() const {
  Lock lock(mutex_);
  json out{{"name", config_.name}, {"command", config_.command}, {"languages", config_.languages}, {"kind", kind_},
           {"root", root_},        {"clients", clients()}};
  server_.describe(out);
  return out;
}

void Session::close(const std::shared_ptr<void>& hold) {
  Section section(*this);
  server_.close(hold, section.fx);
}

void Session::restart() {
  Section section(*this);
  server_.step(ServerEvent::restart, section.fx);
}

bool Session::stop() {
  Section section(*this);
  return server_.stop(section.fx);
}

void Session::agree_with(bool stopped) {
  Section section(*this);
  if (stopped != is_stopped(server_.state()))
    server_.step(stopped ? ServerEvent::stop : ServerEvent::restart, section.fx);
}

std::vector<Session::Use> Session::used_by() const {
  Lock lock(mutex_);
  return users();
}

void Session::workspaces_are(const std::vector<std::string>& workspaces) {
  Section section(*this);
  workspaces_ = workspaces;
  widen(workspaces, section.fx);
}

void Session::widen(const std::vector<std::string>& workspaces, DeferredActions& fx) {
  const auto* const writable = server_.writable();
  if (writable == nullptr) return;
  for (const auto& folder : folders()) {
    const auto workspace = folder_around(workspaces, folder);
    if (workspace.empty() || !folder_around(*writable, folder).empty()) continue;
    if (!widened_for_.insert(workspace).second) continue;  // it is not granted, so a new one may not either
    fx.log(context_, Level::info,
           config_.name + " is started anew, so that it may write in " + workspace +
               ", which was opened after it was started");
    return server_.step(ServerEvent::replace, fx);
  }
}

bool Session::settle(DeferredActions& fx) {
  if (fx.flush) fx.flush->flush();
  for (auto& task : fx.run) task();
  fx.permits.clear();
  return true;
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

// The answer to a request that timed out or was cancelled comes late, and a second one harms nobody.
void Session::nobody_waits(std::string_view id, DeferredActions& fx) {
  constexpr std::size_t kMostShown = 64;
  if (const auto given = own_id(id); given > 0 && given <= server_.last_id()) return;
  if (std::exchange(stray_answer_reported_, true)) return;
  fx.log(context_, Level::warn,
         config_.name + " answers " + printable(id, kMostShown) + (id.size() > kMostShown ? "..." : "") +
             ", an id that no request had; such answers are dropped");
}

}  // namespace gantry::lsp
