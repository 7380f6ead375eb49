// SPDX-License-Identifier: Apache-2.0
//
// What the server is told of the disk: the documents that are asked about, and what has changed besides.
#include <algorithm>
#include <gantry/file_uri.hpp>

#include "plugins/lsp/edits/write_plan.hpp"
#include "plugins/lsp/languages.hpp"
#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/shared.hpp"

namespace gantry::lsp {

namespace {

[[nodiscard]] std::string_view name_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// What is known to be in another language is nothing that a C file can include. Of other servers nobody knows what they
// read.
[[nodiscard]] bool may_matter(const std::string& path, const ServerConfig& config) {
  const auto name = name_of(path);
  if (name.starts_with(kTemporary)) return false;  // of an edit that is being written
  const auto language = language_of_file(name);
  return !is_clangd(config) || language.empty() || name == "compile_commands.json" || config.speaks(language);
}

// Which clangd keeps for 5 s, and that there are none for 30.
[[nodiscard]] bool has_compile_commands(const Changes& changes) {
  return std::ranges::any_of(changes.files, [](const auto& change) {
    const auto name = name_of(change.first);
    return name == "compile_commands.json" || name == "compile_flags.txt";
  });
}

// The beginning of a text document's description.
[[nodiscard]] std::string opening(const std::string& path) { return R"({"uri":)" + dump_json(to_uri(path)); }

// As a caller has sent them.
[[nodiscard]] Changes changes_in(const json& params) {
  Changes out;
  const json changes = params.is_object() ? params.value("changes", json::array()) : json::array();
  if (!changes.is_array()) return out;
  for (const auto& each : changes) {
    if (!each.is_object()) continue;
    const json uri = each.value("uri", json()), type = each.value("type", json());
    if (!uri.is_string() || (type != 1 && type != 2 && type != 3)) continue;  // 2.0 is 2
    if (const auto path = to_path(uri.get<std::string>()))
      out.add(*path, static_cast<FileChange>(type.get<int>()), TreeWatch::kMaxChanges);
  }
  return out;
}

}  // namespace

// ---- what has changed ---------------------------------------------------------------------------

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
  Section section(*this);
  changed_on_disk(changes, section.fx);
  if (first || watch_->blind()) {  // of before nobody knows
    for (auto& [path, document] : documents_) document.disturbed = true;
  }
}

void SharedSession::changed_on_disk(const Changes& changes, DeferredActions& fx) {
  if (!changes.any()) return;
  for (auto& [path, document] : documents_) {
    const auto is_another = [&](const auto& change) {
      return change.first != path && may_matter(change.first, config());
    };
    document.disturbed = document.disturbed || changes.lost || std::ranges::any_of(changes.files, is_another);
  }
  for (const auto& [path, change] : changes.files) unsent_changes_.add(path, change, TreeWatch::kMaxChanges);
  const bool outdated = is_clangd(config()) ? has_compile_commands(changes) : changes.lost || unsent_changes_.lost;
  if (server_.state() != ServerState::ready) return;
  if (outdated && !server_.is_guest()) return server_.step(ServerEvent::renew, fx);
  notify_changes(fx);
}

void SharedSession::notify_changes(DeferredActions& fx) {
  const Changes changes = std::exchange(unsent_changes_, {});
  if (changes.files.empty()) return;
  json list = json::array();
  for (const auto& [path, change] : changes.files)
    list.push_back({{"uri", to_uri(path)}, {"type", static_cast<int>(change)}});
  server_.notify("workspace/didChangeWatchedFiles", {{"changes", std::move(list)}}, fx);
}

// ---- documents ----------------------------------------------------------------------------------

bool SharedSession::knows(const std::string& path, const FileStamp& stamp) const {
  Lock lock(mutex_);
  const auto it = documents_.find(path);
  return it != documents_.end() && !it->second.disturbed && !it->second.stamp.fresh && !stamp.fresh &&
         it->second.stamp.same(stamp);
}

// False: the session does not have the document (any more), or has to tell it again, and the snapshot has no text.
bool SharedSession::sync(const Query::Ask& ask, Query::Snapshot& snapshot, DeferredActions& fx) {
  auto it = documents_.find(ask.path);
  if (it == documents_.end()) {
    if (!snapshot.quoted_text) return false;
    if (documents_.empty()) may_begin_until_ = context_->host.now() + kQuietTime;
    it = documents_.emplace(ask.path, Document{}).first;
    it->second.version = ++last_version_;
    note_documents();
    language_opened(ask.language, fx);
    server_.send(R"({"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":)" + opening(ask.path) +
                     R"(,"languageId":)" + dump_json(ask.language) + R"(,"version":)" +
                     std::to_string(it->second.version) + R"(,"text":)" + *snapshot.quoted_text + "}}}",
                 fx);
    it->second.hash = snapshot.hash;
  } else if (it->second.disturbed && !snapshot.quoted_text) {
    return false;
  } else if (snapshot.quoted_text && (snapshot.hash != it->second.hash || it->second.disturbed)) {
    it->second.disturbed = false;
    send_text(ask.path, it->second, *snapshot.quoted_text, snapshot.hash, fx);
  }
  it->second.stamp = snapshot.info.stamp;
  it->second.real_path = std::move(snapshot.real_path);
  it->second.used = ++uses_;
  close_unused(fx);
  return true;
}

void SharedSession::send_text(const std::string& path, Document& document, const std::string& quoted_text,
                              std::size_t hash, DeferredActions& fx) {
  // Of a text that it knows, clangd would say nothing unless it finds an included file changed.
  // What it was told of an overlay may be that text, too, and what followed may not have been built.
  const bool after_overlay = document.trusted_from > document.version;
  const bool force = (hash == document.hash || after_overlay) && is_clangd(config());
  if (hash != document.hash) disturb_others(path);
  document.version = ++last_version_;
  document.changed = true;
  document.heard = false;
  document.idle = document.parses = !is_clangd(config());
  if (!is_clangd(config())) document.busy.reset();  // that was about the text before
  document.hash = hash;
  send_change(path, document.version, quoted_text, force, fx);
  if (!force) say_saved(path, quoted_text, fx);  // clangd would do that alone, and say nothing
  if (has_to_answer(document) && awaited(path) == &document) ask_done(path, document, fx);
}

void SharedSession::send_change(const std::string& path, long long version, const std::string& quoted_text, bool force,
                                DeferredActions& fx) {
  server_.send(R"({"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":)" + opening(path) +
                   R"(,"version":)" + std::to_string(version) + R"(},"contentChanges":[{"text":)" + quoted_text +
                   (force ? R"(}],"forceRebuild":true}})" : "}]}}"),
               fx);
}

// ---- documents that nobody asks about now --------------------------------------------------------------------------

/// A document as the disk has it: a file with its text, unless that is as it was, or nothing to
/// keep open.
struct SharedSession::OnDisk {
  std::optional<FileStamp> stamp;
  std::size_t hash = 0;
  std::optional<std::string> quoted_text;
};

// One text at a time: all of them together may be large.
void SharedSession::look_at_documents(const std::string& but) {
  struct Open {
    std::string path;
    FileStamp stamp;
    std::size_t hash;
  };
  std::vector<Open> open;
  {
    Lock lock(mutex_);
    if (server_.state() != ServerState::ready) return;
    for (const auto& [path, document] : documents_) {
      if (path != but) open.push_back({path, document.stamp, document.hash});
    }
  }
  std::size_t bytes = 0;
  for (const auto& [path, stamp, hash] : open) {
    const auto info = look_at(path);
    if (info && !info->folder && !stamp.fresh && info->stamp.same(stamp)) continue;
    OnDisk now;
    auto text = info && !info->folder ? read_file(path) : fail(ErrorKind::not_found, "");
    if (text) {
      now.stamp = info->stamp;
      now.hash = std::hash<std::string>{}(*text);
      if (now.hash != hash) {
        bytes += text->size();
        now.quoted_text = dump_json(json(std::move(*text)));
      }
      if (now.quoted_text && bytes > kMaxTexts) now = {};
    }
    Section section(*this);
    became(path, stamp, now, section.fx);
  }
}

// `before`: of the document that was looked at. It is another one by now if somebody has told its
// text meanwhile.
void SharedSession::became(const std::string& path, const FileStamp& before, const OnDisk& now, DeferredActions& fx) {
  const auto it = documents_.find(path);
  if (it == documents_.end() || !it->second.stamp.same(before) || server_.state() != ServerState::ready) return;
  if (overlay_ && overlay_->documents.contains(path)) return;  // after the overlay the disk is looked at again
  if (now.stamp) it->second.stamp = *now.stamp;
  if (now.stamp && !now.quoted_text) return;  // touched
  if (now.stamp) return send_text(path, it->second, *now.quoted_text, now.hash, fx);
  documents_.erase(it);
  disturb_others(path);
  note_documents();
  say_closed(path, fx);
  std::erase_if(diagnostics_waiters_, [&](const DiagnosticsWaiter& waiter) {
    if (waiter.query->ask().path != path) return false;
    fx.run.push_back([query = waiter.query] { query->resolve_later(); });
    return true;
  });
}

// The watch may not have seen it.
void SharedSession::disturb_others(const std::string& path) {
  if (!may_matter(path, config())) return;
  for (auto& [other, document] : documents_) document.disturbed = document.disturbed || other != path;
}

void SharedSession::say_closed(const std::string& path, DeferredActions& fx) {
  server_.notify("textDocument/didClose", {{"textDocument", {{"uri", to_uri(path)}}}}, fx);
}

// The text is on the disk: servers that check what is saved do so now.
void SharedSession::say_saved(const std::string& path, const std::string& quoted_text, DeferredActions& fx) {
  if (save_ == Save::none) return;
  server_.send(R"({"jsonrpc":"2.0","method":"textDocument/didSave","params":{"textDocument":)" + opening(path) + "}" +
                   (save_ == Save::with_text ? R"(,"text":)" + quoted_text : std::string()) + "}}",
               fx);
}

void SharedSession::close_unused(DeferredActions& fx) {
  if (documents_.size() <= (server_.is_guest() ? kMaxGuestDocuments : kMaxDocuments)) return;
  const auto oldest = std::min_element(documents_.begin(), documents_.end(),
                                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
  say_closed(oldest->first, fx);
  documents_.erase(oldest);
}

// ---- what callers tell --------------------------------------------------------------------------

// The file is as the server was told just now.
void SharedSession::notify(std::shared_ptr<Query> query, DeferredActions& fx) {
  const auto& ask = query->ask();
  if (ask.method == "workspace/didChangeWatchedFiles") {
    changed_on_disk(changes_in(ask.params), fx);
  } else {
    server_.notify(ask.method, ask.params, fx);
  }
  fx.run.push_back([query = std::move(query)] { query->answer("null"); });
}

}  // namespace gantry::lsp
