// SPDX-License-Identifier: Apache-2.0
#include "plugins/project_state/object_cache.hpp"

#include <functional>

namespace gantry::state {

namespace {

/// What an entry costs besides its texts, about.
constexpr std::size_t kEntryBytes = 160;

[[nodiscard]] std::size_t cost(const std::string& id, const std::string& text) {
  return kEntryBytes + id.size() + text.size();
}

}  // namespace

std::size_t StateSnapshot::shard_of(Type type, std::string_view id) {
  return (std::hash<std::string_view>()(id) + static_cast<std::size_t>(type)) % kShards;
}

const std::string* StateSnapshot::find(Type type, std::string_view id) const {
  const auto& shard = shards_[shard_of(type, id)];
  if (shard == nullptr) return nullptr;
  const auto found = shard->texts.find(std::pair(type, id));
  return found == shard->texts.end() ? nullptr : found->second.get();
}

void ObjectCache::put(Type type, const std::string& id, std::shared_ptr<const std::string> text) {
  auto& place = next_.shards_[StateSnapshot::shard_of(type, id)];
  auto shard = place == nullptr ? std::make_shared<StateSnapshot::Shard>()
                                : std::make_shared<StateSnapshot::Shard>(*place);  // readers may have the old one
  bytes_ -= shard->bytes;
  const StateSnapshot::Key key(type, id);
  if (const auto known = shard->texts.find(key); known != shard->texts.end()) {
    shard->bytes -= cost(id, *known->second);
    shard->texts.erase(known);
  }
  if (text != nullptr) {
    shard->bytes += cost(id, *text);
    shard->texts.emplace(key, std::move(text));
  }
  bytes_ += shard->bytes;
  place = std::move(shard);
  make_room();
}

void ObjectCache::make_room() {
  for (std::size_t i = 0; i < StateSnapshot::kShards && bytes_ > most_; ++i) {
    auto& place = next_.shards_[emptied_++ % StateSnapshot::kShards];
    if (place == nullptr) continue;
    bytes_ -= place->bytes;
    place.reset();
  }
}

void ObjectCache::publish(const std::string& epoch, std::uint64_t seq) {
  next_.epoch = epoch;
  next_.seq = seq;
  snapshots_.publish(next_);
}

void ObjectCache::clear() {
  next_ = StateSnapshot{};
  bytes_ = 0;
  snapshots_.publish(next_);
}

}  // namespace gantry::state
