// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/server_asks.hpp"

#include <utility>

#include "plugins/lsp/envelope.hpp"

namespace gantry::lsp {

void ServerAsks::sent(const Ask& ask, const std::vector<std::pair<ClientId, long long>>& copies) {
  if (copies.empty()) return;
  const auto number = ++last_;
  asks_.emplace(number, Open{ask, copies.size(), false});
  for (const auto& [client, id] : copies) copies_.emplace(id, Copy{client, number});
}

std::optional<ServerAsks::Answered> ServerAsks::answered(ClientId client, long long copy, bool error) {
  const auto it = copies_.find(copy);
  if (it == copies_.end() || it->second.client != client) return std::nullopt;
  const auto asked = asks_.find(it->second.ask);
  copies_.erase(it);
  Open& open = asked->second;
  --open.copies;
  Answered out{open.ask, client, !open.done && (!error || open.copies == 0)};
  open.done = open.done || out.first;
  if (open.copies == 0) asks_.erase(asked);
  return out;
}

std::vector<ServerAsks::Ask> ServerAsks::left(ClientId client) {
  std::vector<Ask> out;
  for (auto it = copies_.begin(); it != copies_.end();) {
    if (it->second.client != client) {
      ++it;
      continue;
    }
    const auto asked = asks_.find(it->second.ask);
    it = copies_.erase(it);
    if (--asked->second.copies > 0) continue;
    if (!asked->second.done) out.push_back(std::move(asked->second.ask));
    asks_.erase(asked);
  }
  return out;
}

std::vector<std::pair<ClientId, long long>> ServerAsks::copies_of(std::string_view id) const {
  std::vector<std::pair<ClientId, long long>> out;
  for (const auto& [copy, of] : copies_) {
    const auto& asked = asks_.at(of.ask).ask.id;
    if (!asked.empty() && same_id(id, asked)) out.emplace_back(of.client, copy);
  }
  return out;
}

std::vector<long long> ServerAsks::open_for(ClientId client) const {
  std::vector<long long> out;
  for (const auto& [copy, of] : copies_) {
    if (of.client == client) out.push_back(copy);
  }
  return out;
}

std::vector<std::pair<ClientId, long long>> ServerAsks::clear() {
  std::vector<std::pair<ClientId, long long>> out;
  for (const auto& [copy, of] : copies_) out.emplace_back(of.client, copy);
  copies_.clear();
  asks_.clear();
  return out;
}

json ServerAsks::suspend() const {
  json asks = json::array(), copies = json::array();
  for (const auto& [number, open] : asks_)
    asks.push_back({number, open.ask.id, open.ask.method, open.ask.params, open.copies, open.done});
  for (const auto& [id, copy] : copies_) copies.push_back({id, copy.client, copy.ask});
  return {{"asks", std::move(asks)}, {"copies", std::move(copies)}, {"last", last_}};
}

void ServerAsks::restore(const json& suspended) {
  last_ = suspended.at("last");
  for (const auto& each : suspended.at("asks"))
    asks_.emplace(each.at(0), Open{{each.at(1), each.at(2), each.at(3)}, each.at(4), each.at(5)});
  for (const auto& each : suspended.at("copies")) copies_.emplace(each.at(0), Copy{each.at(1), each.at(2)});
}

}  // namespace gantry::lsp
