// SPDX-License-Identifier: Apache-2.0
//
// Who uses a shared server.
#include <algorithm>

#include "plugins/lsp/shared.hpp"

namespace gantry::lsp {

void SharedSession::asked_by(std::uint64_t origin) {
  const auto it = std::ranges::find(users_, origin, &Use::origin);
  const Use client = it == users_.end() ? Use{.origin = origin} : *it;
  if (it != users_.end()) users_.erase(it);
  if (users_.size() >= kMaxUsers) users_.pop_front();
  users_.push_back(client);
}

void SharedSession::sent_for(std::uint64_t origin) {
  const auto it = std::ranges::find(users_, origin, &Use::origin);
  if (it != users_.end()) ++it->requests;
}

std::vector<Session::Use> SharedSession::users() const { return {users_.begin(), users_.end()}; }

void SharedSession::client_left(std::uint64_t origin) {
  Lock lock(mutex_);
  std::erase_if(users_, [&](const Use& use) { return use.origin == origin; });
}

}  // namespace gantry::lsp
