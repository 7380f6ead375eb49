// SPDX-License-Identifier: Apache-2.0
//
// What the server of editors is told of the disk: what the plugin sees itself, and what clients report.
#include <gantry/file_uri.hpp>

#include "plugins/lsp/attach.hpp"
#include "plugins/lsp/capabilities/member_at.hpp"
#include "plugins/lsp/messages.hpp"

namespace gantry::lsp {

namespace {

// A place of patterns outside of the workspace folders is watched, too, if that is not half of the file system.
[[nodiscard]] bool may_be_watched(const std::string& place, const std::vector<std::string>& folders) {
  constexpr std::ptrdiff_t kDeep = 3;
  if (std::ranges::count(place, '/') < kDeep) return false;
  return std::ranges::none_of(folders, [&](const std::string& folder) {
    return folder == place || folder.starts_with(place + "/") || place.starts_with(folder + "/");
  });
}

}  // namespace

// Its registrations or folders may be others by now.
void AttachSession::watch_files() {
  std::vector<json> all;
  for (const auto& [id, registrations] : registrations_) all.push_back(registrations);
  auto where = folders();
  if (where.empty()) where.push_back(root());
  WatchedGlobs wanted(all, where);
  if (wanted.empty() && !files_) return;
  if (!files_) {
    files_ =
        std::make_shared<FileWatch>(context_, config().name, [weak = weak_from_this()](const FileWatch::Files& files) {
          const auto self = std::static_pointer_cast<AttachSession>(weak.lock());
          return self == nullptr || self->tell_files(files);
        });
  }
  for (auto& place : wanted.places()) {
    if (may_be_watched(place, where)) where.push_back(std::move(place));
  }
  files_->look_for(std::move(wanted), std::move(where), files_since_);
}

// From when on another instance of the plugin has to look for changes.
FileWatch::WallTime AttachSession::files_until() const {
  if (!files_) return std::chrono::system_clock::now();
  return files_->told_until().value_or(files_since_);
}

bool AttachSession::tell_files(const FileWatch::Files& files) {
  Section section(*this);
  if (!server_.takes_messages()) return false;
  json changes = json::array();
  for (const auto& [path, change] : files)
    changes.push_back({{"uri", to_uri(path)}, {"type", static_cast<int>(change)}});
  server_.notify("workspace/didChangeWatchedFiles", {{"changes", std::move(changes)}}, section.fx);
  return true;
}

// Of what the server was told just now an editor's report says nothing new. A caller's report is passed on all the
// same: what the caller asks next is answered by a server that has it.
void AttachSession::pass_report(const Client& client, std::string_view text, DeferredActions& fx) {
  const auto changes = files_ ? parse_json(member(scan(text, Scan::full).params, "changes")) : json();
  if (!changes || !changes->is_array()) return server_.send(text, fx);
  json news = json::array();
  for (const auto& each : *changes) {
    const json uri = part(each, "uri"), type = part(each, "type");
    const auto path = uri.is_string() ? to_path(uri.get<std::string>()) : fail(ErrorKind::invalid_params, "no URI");
    if (path && !client.guest && !files_->is_news(*path)) continue;
    if (path && (type == 1 || type == 2 || type == 3))
      files_->reported(*path, static_cast<FileChange>(type.get<int>()));
    news.push_back(each);
  }
  if (news.size() == changes->size()) return server_.send(text, fx);
  if (!news.empty()) server_.notify("workspace/didChangeWatchedFiles", {{"changes", std::move(news)}}, fx);
}

}  // namespace gantry::lsp
