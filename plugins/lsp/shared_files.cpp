// SPDX-License-Identifier: Apache-2.0
//
// What the server is told of the disk: the documents that are asked about, and what has changed besides.
#include <algorithm>
#include <gantry/file_uri.hpp>

#include "languages.hpp"
#include "messages.hpp"
#include "shared.hpp"

namespace gantry::lsp {

namespace {

[[nodiscard]] json notification(const char* method, json params) {
  return {{"jsonrpc", "2.0"}, {"method", method}, {"params", std::move(params)}};
}

[[nodiscard]] std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// It keeps what it knows of compile commands for 5 s, and that there are none for 30.
[[nodiscard]] bool is_clangd(const ServerConfig& config) {
  return name_of(config.command.front()).starts_with("clangd");
}

// What is known to be in another language is nothing that a C file can include. Of other servers nobody knows what they
// read.
[[nodiscard]] bool may_matter(const std::string& path, const ServerConfig& config) {
  const auto name = name_of(path);
  const auto language = language_of_file(name);
  return !is_clangd(config) || language.empty() || name == "compile_commands.json" || config.speaks(language);
}

[[nodiscard]] bool has_compile_commands(const Changes& changes) {
  return std::ranges::any_of(changes.files, [](const auto& change) {
    const auto name = name_of(change.first);
    return name == "compile_commands.json" || name == "compile_flags.txt";
  });
}

// As a caller has sent them.
[[nodiscard]] Changes changes_in(const json& params) {
  Changes out;
  const json changes = params.is_object() ? params.value("changes", json::array()) : json::array();
  if (!changes.is_array()) return out;
  for (const auto& each : changes) {
    if (!each.is_object()) continue;
    const json uri = each.value("uri", json()), type = each.value("type", json());
    if (!uri.is_string() || (type != 1 && type != 2 && type != 3)) continue;  // 2.0 is 2
    if (const auto path = to_path(uri.get<std::string>())) out.add(*path, static_cast<FileChange>(type.get<int>()));
  }
  return out;
}

}  // namespace

// ---- what has changed
// ------------------------------------------------------------------------------------------------------

void SharedSession::look_around(const std::vector<std::string>& workspaces) {
  std::string base;
  {
    Lock lock(mutex_);
    base = root();
  }
  if (const auto workspace = folder_around(workspaces, base); !workspace.empty()) base = workspace;
  const bool first = !watch_;
  if (first) watch_ = std::make_unique<TreeWatch>(base);
  const Changes changes = watch_->look();
  Effects fx;
  {
    Lock lock(mutex_);
    changed_on_disk(changes, fx);
    if (first || watch_->blind()) {  // of before nobody knows
      for (auto& [path, document] : documents_) document.disturbed = true;
    }
  }
  (void)settle(fx);
}

void SharedSession::changed_on_disk(const Changes& changes, Effects& fx) {
  if (!changes.any()) return;
  for (auto& [path, document] : documents_) {
    const auto is_another = [&](const auto& change) {
      return change.first != path && may_matter(change.first, config());
    };
    document.disturbed = document.disturbed || changes.lost || std::ranges::any_of(changes.files, is_another);
  }
  for (const auto& [path, change] : changes.files) untold_.add(path, change);
  const bool outdated = is_clangd(config()) ? has_compile_commands(changes) : changes.lost || untold_.lost;
  if (outdated && state() == State::ready) {
    replacing_ = true;
    replace_process();
  } else if (state() == State::ready) {
    tell_changes(fx);
  }
}

void SharedSession::tell_changes(Effects& fx) {
  const Changes changes = std::exchange(untold_, {});
  if (changes.files.empty()) return;
  json list = json::array();
  for (const auto& [path, change] : changes.files)
    list.push_back({{"uri", to_uri(path)}, {"type", static_cast<int>(change)}});
  tell_server(notification("workspace/didChangeWatchedFiles", {{"changes", std::move(list)}}), fx);
}

// ---- documents
// ---------------------------------------------------------------------------------------------------------

bool SharedSession::knows(const std::string& path, const FileStamp& stamp) const {
  Lock lock(mutex_);
  const auto it = documents_.find(path);
  return it != documents_.end() && !it->second.disturbed && !it->second.stamp.fresh && !stamp.fresh &&
         it->second.stamp.same(stamp);
}

// False: the session does not have the document (any more), or has to tell it again, and the snapshot has no text.
bool SharedSession::sync(const Query::Ask& ask, Query::Snapshot& snapshot, Effects& fx) {
  const std::string head = R"({"jsonrpc":"2.0","method":"textDocument/)";
  const std::string uri = R"({"uri":)" + dump_json(to_uri(ask.path));
  auto it = documents_.find(ask.path);
  if (it == documents_.end()) {
    if (!snapshot.quoted_text) return false;
    it = documents_.emplace(ask.path, Document{}).first;
    it->second.version = ++last_version_;
    note_documents();
    language_opened(ask.language, fx);
    to_server(head + R"(didOpen","params":{"textDocument":)" + uri + R"(,"languageId":)" + dump_json(ask.language) +
                  R"(,"version":)" + std::to_string(it->second.version) + R"(,"text":)" + *snapshot.quoted_text + "}}}",
              fx);
    it->second.hash = snapshot.hash;
  } else if (it->second.disturbed && !snapshot.quoted_text) {
    return false;
  } else if (snapshot.quoted_text && (snapshot.hash != it->second.hash || it->second.disturbed)) {
    // Of a text that it knows, clangd would say nothing unless it finds an included file changed.
    const bool force = snapshot.hash == it->second.hash && is_clangd(config());
    it->second.version = ++last_version_;
    it->second.changed = true;
    it->second.disturbed = false;
    it->second.hash = snapshot.hash;
    to_server(head + R"(didChange","params":{"textDocument":)" + uri + R"(,"version":)" +
                  std::to_string(it->second.version) + R"(},"contentChanges":[{"text":)" + *snapshot.quoted_text +
                  (force ? R"(}],"forceRebuild":true}})" : "}]}}"),
              fx);
    if (!force) say_saved(uri, *snapshot.quoted_text, fx);  // clangd would do that alone, and say nothing
  }
  it->second.stamp = snapshot.info.stamp;
  it->second.real_path = std::move(snapshot.real_path);
  it->second.used = ++uses_;
  close_unused(fx);
  return true;
}

// The text is on the disk: servers that check what is saved do so now.
void SharedSession::say_saved(const std::string& uri, const std::string& quoted_text, Effects& fx) {
  if (save_ == Save::none) return;
  to_server(R"({"jsonrpc":"2.0","method":"textDocument/didSave","params":{"textDocument":)" + uri + "}" +
                (save_ == Save::with_text ? R"(,"text":)" + quoted_text : std::string()) + "}}",
            fx);
}

void SharedSession::close_unused(Effects& fx) {
  if (documents_.size() <= kMaxDocuments) return;
  const auto oldest = std::min_element(documents_.begin(), documents_.end(),
                                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
  tell_server(notification("textDocument/didClose", {{"textDocument", {{"uri", to_uri(oldest->first)}}}}), fx);
  documents_.erase(oldest);
}

// ---- what callers tell
// ----------------------------------------------------------------------------------------------------

// The file is as the server was told just now.
void SharedSession::notify(std::shared_ptr<Query> query, Effects& fx) {
  const auto& ask = query->ask();
  if (ask.method == "workspace/didChangeWatchedFiles") {
    changed_on_disk(changes_in(ask.params), fx);
  } else {
    tell_server(notification(ask.method.c_str(), ask.params), fx);
  }
  fx.run.push_back([query = std::move(query)] { query->answer("null"); });
}

}  // namespace gantry::lsp
