// SPDX-License-Identifier: Apache-2.0
//
// gantry/sharded_map.hpp: a hash map for many writers: each key belongs to one of a few locked
// shards.
//
// Thread rule: any thread. Closures run under the lock of one shard: they must not touch the map,
// block or call foreign code. Atomic: each operation on one key. for_each, size and clear go shard
// by shard: the result may correspond to no single moment.
// Bound: at most `max_size` entries, if given (counted over all shards, exact); insertion is then
// `overloaded`.
// Never: a reference to an entry leaves a closure as its result.
#pragma once

#include <array>
#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace gantry {

template <class K, class V, class Hash = std::hash<K>>
class ShardedMap {
 public:
  static constexpr std::size_t kShards = 32;

  explicit ShardedMap(std::size_t max_size = std::numeric_limits<std::size_t>::max())
      : shards_(std::make_unique<Shards>()), max_size_(max_size) {}

  /// A copy of the value; empty: the key is not there.
  [[nodiscard]] std::optional<V> find(const K& key) const {
    const Shard& shard = shard_of(key);
    const Lock lock(shard.mutex);
    const auto it = shard.map.find(key);
    return it == shard.map.end() ? std::nullopt : std::optional<V>(it->second);
  }
  [[nodiscard]] bool contains(const K& key) const {
    const Shard& shard = shard_of(key);
    const Lock lock(shard.mutex);
    return shard.map.contains(key);
  }
  /// True: the key is new. False: its value was replaced. `overloaded`: the map is full, and
  /// nothing changed.
  Result<bool> insert_or_assign(const K& key, V value) {
    std::optional<V> old;  // destroyed outside of the lock
    Shard& shard = shard_of(key);
    const Lock lock(shard.mutex);
    if (const auto it = shard.map.find(key); it != shard.map.end()) {
      old.emplace(std::exchange(it->second, std::move(value)));
      return false;
    }
    if (!reserve()) return full();
    insert(shard, key, std::move(value));
    return true;
  }
  /// True: the key is new. False: the key is there, and its value stays. `overloaded`: as above.
  Result<bool> try_insert(const K& key, V value) {
    Shard& shard = shard_of(key);
    const Lock lock(shard.mutex);
    if (shard.map.contains(key)) return false;
    if (!reserve()) return full();
    insert(shard, key, std::move(value));
    return true;
  }
  /// Removes the key; returns the value that was there.
  std::optional<V> erase(const K& key) {
    Shard& shard = shard_of(key);
    const Lock lock(shard.mutex);
    const auto it = shard.map.find(key);
    if (it == shard.map.end()) return std::nullopt;
    std::optional<V> old(std::move(it->second));
    shard.map.erase(it);
    size_.fetch_sub(1, std::memory_order_relaxed);
    return old;
  }
  /// Runs `f(V&)` under the shard's lock if the key is there. False: it is not there.
  template <class F>
  bool update(const K& key, F&& f) {
    Shard& shard = shard_of(key);
    const Lock lock(shard.mutex);
    const auto it = shard.map.find(key);
    if (it == shard.map.end()) return false;
    std::invoke(std::forward<F>(f), it->second);
    return true;
  }
  /// Runs `f(const K&, const V&)` for each entry, shard by shard, under the shard's lock.
  template <class F>
  void for_each(F&& f) const {
    for (const Shard& shard : *shards_) {
      const Lock lock(shard.mutex);
      for (const auto& [key, value] : shard.map) std::invoke(f, key, value);
    }
  }
  void clear() {
    for (Shard& shard : *shards_) {
      boost::unordered_flat_map<K, V, Hash> old;
      const Lock lock(shard.mutex);
      old.swap(shard.map);
      size_.fetch_sub(old.size(), std::memory_order_relaxed);
    }
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

 private:
  struct alignas(detail::kCacheLine) Shard {
    mutable Mutex mutex{"shard"};
    boost::unordered_flat_map<K, V, Hash> map GANTRY_GUARDED_BY(mutex);
  };
  using Shards = std::array<Shard, kShards>;

  [[nodiscard]] static std::unexpected<Error> full() { return fail(ErrorKind::overloaded, "the map is full"); }
  [[nodiscard]] bool reserve() noexcept {
    auto size = size_.load(std::memory_order_relaxed);
    do {
      if (size >= max_size_) return false;
    } while (!size_.compare_exchange_weak(size, size + 1, std::memory_order_relaxed));
    return true;
  }
  void insert(Shard& shard, const K& key, V&& value) GANTRY_REQUIRES(shard.mutex) {
    try {
      shard.map.emplace(key, std::move(value));
    } catch (...) {
      size_.fetch_sub(1, std::memory_order_relaxed);
      throw;
    }
  }
  // std::hash of a number is the number itself: its bits are mixed, and the high ones choose the
  // shard.
  [[nodiscard]] Shard& shard_of(const K& key) const {
    const auto hash = static_cast<std::uint64_t>(Hash{}(key)) * 0x9E37'79B9'7F4A'7C15ULL;
    return (*shards_)[static_cast<std::size_t>(hash >> 59U)];
  }

  const std::unique_ptr<Shards> shards_;
  const std::size_t max_size_;
  alignas(detail::kCacheLine) std::atomic<std::size_t> size_{0};
};

}  // namespace gantry
