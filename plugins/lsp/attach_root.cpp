// SPDX-License-Identifier: Apache-2.0
//
// Where an editor's server runs, and the folders that the editor has open.
#include <algorithm>

#include "attach.hpp"
#include "files.hpp"
#include "messages.hpp"
#include "uri.hpp"

namespace gantry::lsp {

namespace {

// Those that are paths of this machine, of an array of workspace folders or their URIs.
void add_paths(const json& folders, std::vector<std::string>& out) {
  if (!folders.is_array()) return;
  for (const auto& folder : folders) {
    if (!folder.is_object() || !folder.contains("uri") || !folder["uri"].is_string()) continue;
    auto path = to_path(folder["uri"].get<std::string>());
    if (path && out.size() < AttachSession::kMaxFolders) out.push_back(std::move(*path));
  }
}

// The folders that an `initialize` names: workspaceFolders, else rootUri, else rootPath.
[[nodiscard]] std::vector<std::string> folders_named_in(std::string_view params) {
  std::vector<std::string> out;
  const auto doc = parse_json(params);
  if (!doc || !doc->is_object()) return out;
  add_paths(doc->value("workspaceFolders", json()), out);
  for (const char* key : {"rootUri", "rootPath"}) {
    const json root = doc->value(key, json());
    if (!out.empty() || !root.is_string()) continue;
    if (auto path = to_path(root.get<std::string>())) out.push_back(std::move(*path));
  }
  return out;
}

}  // namespace

void AttachSession::first(std::string_view text, const Envelope& e, Effects& fx) {
  greeted_ = true;
  init_id_ = e.id;
  const Envelope whole = scan(text, Scan::full);
  // A server may ask for ever whether the process that it is told of lives, and end itself when it may not know: a
  // process that is confined may not signal others (Landlock, since Linux 6.12). The host ends its servers itself.
  init_params_ = with_null(whole.params.empty() ? "{}" : whole.params, "processId");
  folders_ = folders_named_in(init_params_);
  find_root(fx);
}

void AttachSession::not_begun(Effects& fx) {
  if (greeted_ && !ended_) find_root(fx);
}

// Looking at the disk may take its time.
void AttachSession::find_root(Effects& fx) {
  std::string wanted = asked_root_;
  if (wanted.empty() && !folders_.empty()) wanted = folders_.front();
  fx.run.push_back([context = context_, weak = weak(), wanted = std::move(wanted), home = home_] {
    auto posted = context->worker.post([weak, wanted, home] {
      if (const auto self = weak.lock()) static_cast<AttachSession&>(*self).start_in(folder_that_exists(wanted, home));
    });
    const auto self = posted ? nullptr : weak.lock();
    if (self) static_cast<AttachSession&>(*self).cannot_start(posted.error());
  });
}

void AttachSession::start_in(const std::string& root) {
  Effects fx;
  {
    Lock lock(mutex_);
    if (ended_ || state() != State::idle) return;
    const auto may = rules_.may_run(config(), root);
    if (!may) {
      gave_up(may.error(), fx);
    } else {
      set_root(root);
      if (folders_.empty()) folders_.push_back(root);
      start(fx);
    }
  }
  (void)settle(fx);
}

void AttachSession::cannot_start(const Error& error) {
  Effects fx;
  {
    Lock lock(mutex_);
    gave_up(error, fx);
  }
  (void)settle(fx);
}

void AttachSession::folders_changed(std::string_view params, Effects& fx) {
  const auto doc = parse_json(params);
  const json event = doc && doc->is_object() ? doc->value("event", json::object()) : json::object();
  if (!event.is_object()) return;
  std::vector<std::string> removed;
  add_paths(event.value("removed", json()), removed);
  std::erase_if(folders_, [&](const auto& path) { return std::ranges::find(removed, path) != removed.end(); });
  add_paths(event.value("added", json()), folders_);
  widen(rules_.workspaces(), fx);
}

}  // namespace gantry::lsp
