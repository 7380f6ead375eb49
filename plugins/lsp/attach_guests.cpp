// SPDX-License-Identifier: Apache-2.0
//
// Guests of an attach session: callers that share the editors' server (guest.hpp).
#include <algorithm>

#include "plugins/lsp/attach.hpp"

namespace gantry::lsp {

std::size_t AttachSession::editors() const {
  Lock lock(mutex_);
  return editors_now();
}

std::size_t AttachSession::editors_now() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(clients_, [](const auto& entry) { return !entry.second->ended && !entry.second->guest; }));
}

// ---- they come ------------------------------------------------------------------------------------------------------

bool AttachSession::is_open_for_guests() const {
  return serves() && !key_.empty() && clients() > 0 && views_.lost().empty() && !has_notebooks();
}

bool AttachSession::has_notebooks() const {
  return std::ranges::any_of(clients_, [](const auto& entry) { return !entry.second->notebooks.empty(); });
}

std::string AttachSession::place_for_guest(const ServerConfig& wanted, const std::string& callers) const {
  const auto workspace = folder_around(rules_.workspaces(), callers);
  Lock lock(mutex_);
  if (config().name != wanted.name || config().command != wanted.command || !is_open_for_guests()) return {};
  auto all = folders();
  all.push_back(root());
  auto place = folder_around(all, callers);
  const bool fits = place == callers || (!workspace.empty() && !folder_around({workspace}, place).empty());
  return fits ? place : std::string();
}

bool AttachSession::join_as_guest(std::shared_ptr<Client> client) {
  Section section(*this);
  if (!is_open_for_guests()) return false;
  auto& guest = *clients_.emplace(client->id, std::move(client)).first->second;
  watch_asks();
  look_for_admission(guest, section.fx);
  return true;
}

// What has begun before it came.
void AttachSession::tell_progress(Client& guest, DeferredActions& fx) {
  for (auto& [token, told] : servers_tokens_) {
    const bool begun = std::ranges::any_of(
        clients_, [&](const auto& entry) { return entry.second->standing.progress().contains(token); });
    told.insert(guest.id);
    if (!begun) continue;
    std::string begin = R"({"jsonrpc":"2.0","method":"$/progress","params":{"token":)" + token +
                        R"(,"value":{"kind":"begin","title":""}}})";
    guest.standing.follow("$/progress", scan(begin, Scan::full).params);
    fx.items.push_back({guest.editor, std::move(begin)});
  }
}

// ---- they go with the process ---------------------------------------------------------------------------------------

// They come again to the next, and find it as it is. One that has lost nothing waits for it here.
void AttachSession::end_guests(DeferredActions& fx) {
  auto losers = guests();
  std::erase_if(losers, [&](const auto& guest) GANTRY_NO_TSA {
    const bool asks = std::ranges::any_of(pending_, [&](const auto& e) { return e.second.client == guest->id; });
    const bool has_open = views_.has(guest->id) && !views_.documents(guest->id).all().empty();
    return !asks && !has_open && !guest->standing.in_progress();
  });
  drop(losers, fx);
  if (clients() == 0) server_.step(ServerEvent::close, fx);
}

std::vector<std::shared_ptr<Client>> AttachSession::guests() const {
  std::vector<std::shared_ptr<Client>> out;
  for (const auto& [id, client] : clients_) {
    if (client->guest) out.push_back(client);
  }
  return out;
}

void AttachSession::drop(const std::vector<std::shared_ptr<Client>>& guests, DeferredActions& fx) {
  for (const auto& guest : guests) {
    end_stream(*guest, fail(ErrorKind::unavailable, "the server of the editors has gone"), fx);
    forget(*guest, fx);
  }
}

}  // namespace gantry::lsp
