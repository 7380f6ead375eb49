// SPDX-License-Identifier: Apache-2.0
//
// Diagnostics that a server gives when it is asked (textDocument/diagnostic), besides those that it publishes.
//
// A server that says so in its capabilities is asked for a document when a caller wants its diagnostics and those of
// its text of now are not known. The answer is for the text that the server had when it was asked, so it is `fresh`
// without a doubt. What the server has published for the same text is added, without what is in both. A server that
// does not know the request after all is asked no more, and counts as one that publishes.
#include <algorithm>
#include <gantry/file_uri.hpp>

#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/shared.hpp"

namespace gantry::lsp {

namespace {

constexpr int kMethodNotFound = -32601;

}  // namespace

void SharedSession::learn_pull(const json& capabilities) {
  pulls_ = false;
  const json provider = capabilities.is_object() ? capabilities.value("diagnosticProvider", json()) : json();
  if (!provider.is_object()) return;
  pulls_ = true;
  pull_identifier_ = provider.value("identifier", json());
}

void SharedSession::pull(const std::string& path, Document& document, DeferredActions& fx) {
  if (!pulls_ || document.pull.request != 0) return;
  document.pull.request = server_.next_id();
  document.pull.asked = document.version;
  document.pull.failed = false;
  json params{{"textDocument", {{"uri", to_uri(path)}}}};
  if (pull_identifier_.is_string()) params["identifier"] = pull_identifier_;
  server_.send(dump_json({{"jsonrpc", "2.0"},
                          {"id", document.pull.request},
                          {"method", "textDocument/diagnostic"},
                          {"params", std::move(params)}}),
               fx);
}

bool SharedSession::answers_pull(const Envelope& e, DeferredActions& fx) {
  const long long id = own_id(e.id);
  const auto asked = [&](auto& documents) {
    return std::ranges::find_if(documents, [&](const auto& entry) { return entry.second.pull.request == id; });
  };
  if (id <= 0) return false;
  if (overlay_) {
    if (const auto it = asked(overlay_->documents); it != overlay_->documents.end()) {
      pulled(it->first, it->second, e, fx);
      if (it->second.pull.failed) {
        fx.run.push_back([query = overlay_->query] { query->answer("null"); });
        end_overlay(fx);
      }
      look_at_overlay(fx);
      return true;
    }
  }
  const auto it = asked(documents_);
  if (it == documents_.end()) return false;
  const auto before = it->second.pull.version;
  pulled(it->first, it->second, e, fx);
  if (it->second.pull.version != before) publish_change(it->first, it->second.pull.version, fx);
  if (it->second.pull.failed) answer_waiters_of(it->first, fx);
  wake_waiters(fx);
  return true;
}

void SharedSession::pulled(const std::string& path, Document& document, const Envelope& e, DeferredActions& fx) {
  Pull& pull = document.pull;
  pull.request = 0;
  const std::string_view items = e.error.empty() ? member(e.result, "items") : std::string_view();
  if (!items.empty() && items.size() <= kMaxDiagnostics) {
    pull.version = pull.asked;
    pull.list = items;
    return;
  }
  const auto error = parse_json(e.error);
  if (error && error->is_object() && error->value("code", json()) == kMethodNotFound) {
    pulls_ = false;
    fx.log(context_, Level::warn,
           config().name + " says that it may be asked for diagnostics, and does not know the request");
  } else if (!e.error.empty() && means_later(e.error)) {
    (void)context_->host.after(kFirstPause, [again = later(&SharedSession::pull_again), path] { again(path); });
  } else {
    pull.failed = true;
  }
}

// With what is known: the server says no more.
void SharedSession::answer_waiters_of(const std::string& path, DeferredActions& fx) {
  std::erase_if(diagnostics_waiters_, [&](const DiagnosticsWaiter& waiter) GANTRY_NO_TSA {
    if (waiter.query->ask().path != path) return false;
    fx.run.push_back(
        [query = waiter.query, text = diagnostics_locked(path)]() mutable { query->answer(std::move(text)); });
    return true;
  });
}

SharedSession::Document* SharedSession::awaited(const std::string& path) {
  if (!is_serving(server_.state())) return nullptr;
  const auto waits = [&](const auto& waiter) { return waiter.query->ask().path == path; };
  if (!overlay_ && std::ranges::none_of(diagnostics_waiters_, waits)) return nullptr;
  auto& documents = overlay_ ? overlay_->documents : documents_;
  const auto it = documents.find(path);
  return it == documents.end() ? nullptr : &it->second;
}

// The server was not able to say, which it may be by now.
void SharedSession::pull_again(std::string path) {
  Section section(*this);
  if (auto* const document = awaited(path)) pull(path, *document, section.fx);
}

// workspace/diagnostic/refresh: what it has said does not hold any more.
void SharedSession::pulled_are_outdated(DeferredActions& fx) {
  for (auto& [path, document] : documents_) document.pull = {};  // an answer that is open may be the old one
  for (const auto& waiter : diagnostics_waiters_) {
    const auto it = documents_.find(waiter.query->ask().path);
    if (it != documents_.end()) pull(it->first, it->second, fx);
  }
}

bool SharedSession::is_diagnosed(const Document& document, long long version) const {
  if (pulls_) return document.pull.version && *document.pull.version >= version;
  return document.diagnosed && *document.diagnosed >= version && is_believed(document);
}

std::string SharedSession::all_diagnostics(const Document& document) const {
  const bool published =
      !document.diagnostics.empty() && document.diagnosed.value_or(document.published_at) >= document.version;
  if (!pulls_ || document.pull.list.empty()) return document.diagnostics;
  if (!published || is_empty_array(document.diagnostics)) return document.pull.list;
  auto all = parse_json(document.pull.list);
  const auto more = parse_json(document.diagnostics);
  if (!all || !all->is_array() || !more || !more->is_array()) return document.pull.list;
  for (const auto& each : *more) {
    if (std::ranges::find(*all, each) == all->end()) all->push_back(each);
  }
  return dump_json(*all);
}

}  // namespace gantry::lsp
