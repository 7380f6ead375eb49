// SPDX-License-Identifier: Apache-2.0
//
// Where an editor's server runs, and the folders that the editor has open.
#include <algorithm>
#include <gantry/file_uri.hpp>

#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/files.hpp"
#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

namespace {

// A path of this machine, if that is what the URI names; else it is the server's alone. `wrong`: why
// a file URI names none.
void add_path(const std::string& uri, std::vector<std::string>& out, std::string& wrong) {
  auto path = to_path(uri);
  if (!path) {
    if (is_file_uri(uri)) wrong = path.error().message;
  } else if (out.size() < AttachSession::kMaxFolders) {
    out.push_back(std::move(*path));
  }
}

// Of an array of workspace folders.
void add_paths(const json& folders, std::vector<std::string>& out, std::string& wrong) {
  if (!folders.is_array()) return;
  for (const auto& folder : folders) {
    if (!folder.is_object() || !folder.contains("uri") || !folder["uri"].is_string()) continue;
    add_path(folder["uri"].get<std::string>(), out, wrong);
  }
}

// The folders that an `initialize` names: workspaceFolders, else rootUri, else rootPath.
[[nodiscard]] std::vector<std::string> folders_named_in(std::string_view params, std::string& wrong) {
  std::vector<std::string> out;
  const auto doc = parse_json(params);
  if (!doc || !doc->is_object()) return out;
  add_paths(doc->value("workspaceFolders", json()), out, wrong);
  for (const char* key : {"rootUri", "rootPath"}) {
    const json root = doc->value(key, json());
    if (out.empty() && root.is_string()) add_path(root.get<std::string>(), out, wrong);
  }
  return out;
}

}  // namespace

void AttachSession::first(std::string_view text, const Envelope& e, DeferredActions& fx) {
  greeted_ = true;
  init_id_ = e.id;
  const Envelope whole = scan(text, Scan::full);
  // A server may ask for ever whether the process that it is told of lives, and end itself when it may not know: a
  // process that is confined may not signal others (Landlock, since Linux 6.12). The host ends its servers itself.
  init_params_ = with_null(whole.params.empty() ? "{}" : whole.params, "processId");
  std::string wrong;
  folders_ = folders_named_in(init_params_, wrong);
  if (!wrong.empty()) {
    fx.log(context_, Level::warn, config().name + " does not run in a folder of its editor: " + wrong);
  }
  find_root(fx);
}

void AttachSession::not_begun(DeferredActions& fx) {
  if (greeted_ && !ended_) find_root(fx);
}

// Looking at the disk may take its time.
void AttachSession::find_root(DeferredActions& fx) {
  std::string wanted = asked_root_;
  if (wanted.empty() && !folders_.empty()) wanted = folders_.front();
  fx.run.push_back([context = context_, start = later(&AttachSession::start_in),
                    cannot = later(&AttachSession::cannot_start), wanted = std::move(wanted), home = home_] {
    const auto posted = context->worker.post([=] { start(folder_that_exists(wanted, home)); });
    if (!posted) cannot(posted.error());
  });
}

void AttachSession::start_in(std::string root) {
  Section section(*this);
  if (ended_ || server_.state() != ServerState::not_started) return;
  const auto may = rules_.may_run(config(), root);
  if (!may) {
    gave_up(may.error(), section.fx);
  } else {
    if (folders_.empty()) folders_.push_back(root);
    set_root(std::move(root));
    server_.step(ServerEvent::want, section.fx);
  }
}

void AttachSession::cannot_start(const Error& error) {
  Section section(*this);
  gave_up(error, section.fx);
}

void AttachSession::folders_changed(std::string_view params, DeferredActions& fx) {
  const auto doc = parse_json(params);
  const json event = doc && doc->is_object() ? doc->value("event", json::object()) : json::object();
  if (!event.is_object()) return;
  std::vector<std::string> removed;
  std::string ignored;
  add_paths(event.value("removed", json()), removed, ignored);
  std::erase_if(folders_, [&](const auto& path) { return std::ranges::find(removed, path) != removed.end(); });
  add_paths(event.value("added", json()), folders_, ignored);
  widen(rules_.workspaces(), fx);
}

}  // namespace gantry::lsp
