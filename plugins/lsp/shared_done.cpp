// SPDX-License-Identifier: Apache-2.0
//
// Whether a server is done with a document.
//
// One that names no versions with its diagnostics has seen the text of now when it has answered a request about the
// document behind it. What it publishes from then on is for that text. What came between the text and the answer may be
// for either: if nothing follows, the server is given the text again, under the next version.
//
// A clangd:
// The first diagnostics of a text may be from the old preamble (the headers before a change), under the version of the
// new text; others follow when the new preamble is built. `textDocument/clangd.fileStatus` says when clangd is idle. In
// between it is idle for a moment, but has the work in its queue already: a request about the document is answered
// after that. So diagnostics are believed when clangd has become idle after them, and has answered such a request. A
// busy machine may let it be idle before its thread for preambles has begun to look at the text: it is idle only after
// it has said "parsing includes", which it says of each text whose compile command it understands, or not within
// kParseTime. A clangd that tells no states is believed at once.
#include <algorithm>
#include <gantry/file_uri.hpp>

#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/shared.hpp"

namespace gantry::lsp {

namespace {

template <class Documents>
[[nodiscard]] auto find_named(Documents& documents, const std::string& path) {
  const auto it = documents.find(path);
  if (it != documents.end()) return it;
  return std::ranges::find_if(documents, [&](const auto& entry) { return entry.second.real_path == path; });
}

}  // namespace

// Diagnostics have come.
void SharedSession::await_done(const std::string& path, Document& document, DeferredActions& fx) {
  if (!is_clangd(config()) || !tells_files_) return;
  document.busy = 0;
  if (document.rests()) ask_done(path, document, fx);
}

void SharedSession::ask_done(const std::string& path, Document& document, DeferredActions& fx) {
  document.busy = server_.next_id();
  server_.send(dump_json({{"jsonrpc", "2.0"},
                          {"id", *document.busy},
                          {"method", "textDocument/documentSymbol"},
                          {"params", {{"textDocument", {{"uri", to_uri(path)}}}}}}),
               fx);
}

void SharedSession::file_status(std::string_view params, DeferredActions& fx) {
  tells_files_ = true;
  const auto uri = parse_json(member(params, "uri"));
  const auto path = uri && uri->is_string() ? to_path(uri->get<std::string>()) : fail(ErrorKind::not_found, "");
  if (!path) return;
  auto& documents = overlay_ ? overlay_->documents : documents_;
  const auto it = find_named(documents, *path);
  if (it == documents.end()) return;
  auto& document = it->second;
  const auto state = member(params, "state");
  document.parses = document.parses || state.find("parsing includes") != std::string_view::npos;
  document.idle = state == R"("idle")";
  if (!document.idle) return;
  if (!document.parses) {
    (void)context_->host.after(kParseTime, [look = later(&SharedSession::parses_no_more), path = it->first,
                                            version = document.version] { look(path, version); });
  } else if (document.busy == 0) {
    ask_done(it->first, document, fx);
  }
}

void SharedSession::parses_no_more(const std::string& path, long long version) {
  Section section(*this);
  auto* const document = awaited(path);
  if (document == nullptr || document->version != version || std::exchange(document->parses, true)) return;
  if (document->busy == 0 && document->rests()) ask_done(path, *document, section.fx);
}

void SharedSession::ask_done_later(const std::string& path, Document& document) {
  document.busy = 0;
  (void)context_->host.after(kFirstPause, [again = later(&SharedSession::ask_done_again), path] { again(path); });
}

// Who asks later asks anew (wait_for_diagnostics()).
void SharedSession::ask_done_again(std::string path) {
  Section section(*this);
  auto* const document = awaited(path);
  if (document != nullptr && document->busy == 0 && document->rests()) ask_done(path, *document, section.fx);
}

// True: the answer is to such a request. One that says that the server could not answer now says nothing.
bool SharedSession::answers_done(const Envelope& e, DeferredActions& fx) {
  const long long id = own_id(e.id);
  if (id <= 0) return false;
  const bool later = !e.error.empty() && means_later(e.error);
  const auto find_asked = [&](auto& documents) {
    return std::ranges::find_if(documents, [&](const auto& entry) { return entry.second.busy == id; });
  };
  if (overlay_) {
    if (const auto it = find_asked(overlay_->documents); it != overlay_->documents.end()) {
      it->second.busy.reset();
      if (later) ask_done_later(it->first, it->second);
      look_at_overlay(fx);
      return true;
    }
  }
  const auto it = find_asked(documents_);
  if (it == documents_.end()) return false;
  it->second.busy.reset();
  if (later) {
    ask_done_later(it->first, it->second);
  } else if (has_to_answer(it->second)) {
    has_seen(it->first, it->second);
  }
  wake_waiters(fx);
  return true;
}

// The server has seen the text of now.
void SharedSession::has_seen(const std::string& path, Document& document) {
  document.seen = document.version;
  if (document.published_at < document.version) return;
  const auto look_again = [read = later(&SharedSession::tell_again), context = context_, path,
                           version = document.version] {
    (void)context->worker.post([read, path, version] { read(path, version); });
  };
  (void)context_->host.after(kLongQuietTime, look_again);
}

// On the worker.
void SharedSession::tell_again(const std::string& path, long long version) {
  const auto text = read_file(path);
  Section section(*this);
  auto* const document = awaited(path);
  if (document == nullptr || document->version != version || document->diagnosed >= version) return;
  if (overlay_ || !has_to_answer(*document) || server_.state() != ServerState::ready) return;
  if (!text || std::hash<std::string>{}(*text) != document->hash) return;  // who asks next tells the text
  const std::string quoted = dump_json(json(*text));
  document->version = document->seen = ++last_version_;
  send_change(path, document->version, quoted, false, section.fx);
  say_saved(path, quoted, section.fx);
}

}  // namespace gantry::lsp
