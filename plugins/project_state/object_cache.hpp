// SPDX-License-Identifier: Apache-2.0
//
// object_cache.hpp: the objects that are read often, as they are after the last commit, in memory: an immutable value,
// which the writer replaces as a whole behind each commit and before the answers. Readers take no lock and wait for
// nobody; what is not there is read from the database.
//
// Only what was read is kept (fill()), and what is kept follows each commit. So a snapshot's object is the object as
// of the snapshot's `seq`.
//
// Thread rule: snapshots by any thread (Snapshot::Reader); the functions of ObjectCache by the writer's thread.
// Bounds: `most` bytes; beyond that the shards are emptied, in turn.
#pragma once

#include <array>
#include <cstdint>
#include <gantry/snapshot.hpp>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "plugins/project_state/objects.hpp"

namespace gantry::state {

/// The state as of `seq`, as far as it is kept.
class StateSnapshot {
 public:
  static constexpr std::size_t kShards = 256;

  std::string epoch;  ///< empty: the store is not open
  std::uint64_t seq = 0;

  /// The JSON text of a live object; nullptr: it is not kept.
  [[nodiscard]] const std::string* find(Type type, std::string_view id) const;

 private:
  friend class ObjectCache;
  using Key = std::pair<Type, std::string>;
  struct Less {
    using is_transparent = void;
    template <class A, class B>
    [[nodiscard]] bool operator()(const A& a, const B& b) const {
      return std::pair(a.first, std::string_view(a.second)) < std::pair(b.first, std::string_view(b.second));
    }
  };
  struct Shard {
    std::map<Key, std::shared_ptr<const std::string>, Less> texts;
    std::size_t bytes = 0;
  };
  [[nodiscard]] static std::size_t shard_of(Type type, std::string_view id);

  std::array<std::shared_ptr<const Shard>, kShards> shards_;  ///< nullptr: empty
};

class ObjectCache {
 public:
  explicit ObjectCache(std::size_t most) : most_(most) {}
  ObjectCache(const ObjectCache&) = delete;
  ObjectCache& operator=(const ObjectCache&) = delete;

  [[nodiscard]] const Snapshot<StateSnapshot>& snapshots() const { return snapshots_; }

  [[nodiscard]] bool has(Type type, const std::string& id) const { return next_.find(type, id) != nullptr; }
  /// The text of an object from now on; nullptr: it is not kept. Readers see it with the next publish().
  void put(Type type, const std::string& id, std::shared_ptr<const std::string> text);
  void publish(const std::string& epoch, std::uint64_t seq);
  /// Another store, or none: nothing is kept any more.
  void clear();
  void set_most(std::size_t bytes) { most_ = bytes; }

 private:
  void make_room();

  std::size_t most_;
  StateSnapshot next_;  ///< what publish() will publish
  std::size_t bytes_ = 0;
  std::size_t emptied_ = 0;  ///< the next shard that make_room() empties
  Snapshot<StateSnapshot> snapshots_{StateSnapshot{}};
};

}  // namespace gantry::state
