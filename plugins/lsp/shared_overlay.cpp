// SPDX-License-Identifier: Apache-2.0
//
// What a server would say of other texts than those on the disk.
//
// The server is told the texts of the overlay as new versions of its documents, and its diagnostics for exactly these
// versions are awaited. Then it is told the texts of the disk again, as newer versions, whether the diagnostics have
// come or not: the caller may have left, or its time may be over.
//
// No other caller gets anything of that. Before the overlay, the requests that were sent are answered; during it, all
// queries wait in the session's line; diagnostics that come are the overlay's or are dropped. After it nothing that
// names a version of before is believed, so that late diagnostics are dropped as well, and each document is told anew
// before the next question about it. So a server must name versions with its diagnostics: for others there is no
// overlay.
#include <algorithm>
#include <gantry/file_uri.hpp>
#include <utility>

#include "plugins/lsp/registry.hpp"
#include "plugins/lsp/shared.hpp"

namespace gantry::lsp {

void SharedSession::begin_overlay(std::shared_ptr<Query> query, DeferredActions& fx) {
  const Overlay& overlay = *query->ask().overlay;
  for (const auto& file : overlay.files) {
    const auto it = documents_.find(file.path);
    if (it == documents_.end() || it->second.hash != file.hash_before) {
      return refuse(
          std::move(query),
          Error{ErrorKind::conflict, file.path + " was changed, or its server restarted, meanwhile; try again", {}},
          fx);
    }
    if (!it->second.says_version && !pulls_) {
      return refuse(std::move(query),
                    Error{ErrorKind::upstream_failed,
                          config().name +
                              " does not say which text its diagnostics are for, so that those of an edit could not be "
                              "told from those of the file",
                          {}},
                    fx);
    }
  }
  overlay_ = std::make_unique<ActiveOverlay>();
  overlay_->query = query;
  for (const auto& file : overlay.files) {
    Document& shown = overlay_->documents[file.path];
    shown.version = ++last_version_;
    shown.idle = shown.parses = false;
    send_change(file.path, shown.version, file.quoted_after, false, fx);
  }
  for (auto& [path, shown] : overlay_->documents) {
    // What is published besides is not waited for, and counts as it is: a build's problems, say.
    const auto& now = documents_.at(path);
    if (pulls_ && now.diagnosed.value_or(now.published_at) >= now.version) shown.diagnostics = now.diagnostics;
    shown.published_at = shown.version;
    pull(path, shown, fx);
  }
  // Waiting costs the server nothing.
  fx.run.push_back([query = std::move(query)] { query->give_permit_back(); });
}

// Dropped, unless it is for the overlay.
void SharedSession::published_during_overlay(const std::string& path, Document& shown, std::optional<long long> version,
                                             std::string_view diagnostics, DeferredActions& fx) {
  if (version != shown.version || pulls_) return;
  shown.diagnosed = version;
  shown.diagnostics = diagnostics;
  heard(shown, diagnostics, true);
  await_done(path, shown, fx);
  look_at_overlay(fx);
  await_quiet();
}

void SharedSession::look_at_overlay(DeferredActions& fx) {
  if (!overlay_) return;
  for (const auto& [path, shown] : overlay_->documents) {
    if (!is_diagnosed(shown, shown.version)) return;
  }
  std::string answer = "{";
  for (const auto& [path, shown] : overlay_->documents)
    answer += (answer.size() == 1 ? "" : ",") + dump_json(path) + ":" + all_diagnostics(shown);
  fx.run.push_back([query = overlay_->query, answer = answer + "}"]() mutable { query->answer(std::move(answer)); });
  end_overlay(fx);
}

void SharedSession::end_overlay(DeferredActions& fx) {
  const auto over = std::exchange(overlay_, nullptr);
  if (!over) return;
  for (const auto& file : over->query->ask().overlay->files) {
    const auto it = documents_.find(file.path);
    if (it == documents_.end()) continue;
    it->second.version = ++last_version_;
    it->second.changed = true;
    it->second.heard = it->second.idle = it->second.parses = false;
    send_change(file.path, it->second.version, file.quoted_before, false, fx);
  }
  for (auto& [path, document] : documents_) {
    document.trusted_from = last_version_ + 1;
    document.disturbed = true;
  }
  for (auto& waiter : std::exchange(diagnostics_waiters_, {}))
    fx.run.push_back([query = std::move(waiter.query)] { query->resolve_later(); });
  serve_waiting(fx);
}

}  // namespace gantry::lsp
