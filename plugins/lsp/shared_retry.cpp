// SPDX-License-Identifier: Apache-2.0
//
// Answers of a server that mean "not now": ContentModified, when something has changed while it worked on a request,
// and ServerCancelled, unless it says that the request is not to be made again. An editor knows these codes and gets
// them as they are. A script would take them for failures.
#include <algorithm>
#include <array>

#include "plugins/lsp/messages.hpp"
#include "plugins/lsp/shared.hpp"

namespace gantry::lsp {

namespace {

constexpr int kServerCancelled = -32802;

}  // namespace

bool SharedSession::means_later(std::string_view error) {
  const auto doc = parse_json(error);
  if (!doc || !doc->is_object()) return false;
  const json code = doc->value("code", json()), data = doc->value("data", json());
  if (code == kContentModified) return true;
  return code == kServerCancelled && !(data.is_object() && data.value("retriggerRequest", json()) == false);
}

// False: the error is the caller's.
bool SharedSession::ask_again(const std::shared_ptr<Query>& query, std::string_view error) {
  if (!only_reads(query->ask().method) || !means_later(error)) return false;
  const unsigned retry = query->pauses();
  if (retry > kMaxRetries) return false;
  const auto timer =
      context_->host.after(kFirstPause * (1U << (retry - 1)),
                           [over = later(&SharedSession::pause_is_over), again = std::weak_ptr<Query>(query)] {
                             if (auto asked = again.lock()) over(asked);
                           });
  if (timer) pausing_.push_back(query);
  return timer.has_value();
}

void SharedSession::pause_is_over(const std::shared_ptr<Query>& query) {
  {
    Lock lock(mutex_);
    if (std::erase(pausing_, query) == 0) return;
  }
  query->resolve_later();
}

}  // namespace gantry::lsp
