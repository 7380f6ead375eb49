// SPDX-License-Identifier: Apache-2.0
//
// host/services/append_only_map.hpp: a map that only grows; other threads may look up and iterate
// meanwhile.
//
// Thread rule: any thread. A value stays at its address until the map dies, and access to it is as
// safe as V is. The map's lock is the innermost of all: no other code is called under it.
// Bounds: the code that inserts has to keep them.
#pragma once

#include <cstddef>
#include <gantry/mutex.hpp>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace gantry::host {

template <class V>
class AppendOnlyMap {
  using Map = std::map<std::string, V, std::less<>>;

 public:
  /// Iterates in the order of names; an element that is inserted meanwhile may be met or not.
  template <class Of, class Inner>
  class Iterator {
   public:
    using difference_type = std::ptrdiff_t;
    using value_type = typename Map::value_type;
    using pointer = typename Inner::pointer;
    using reference = typename Inner::reference;
    using iterator_category = std::input_iterator_tag;

    Iterator(Of& of, Inner at) : of_(&of), at_(at) {}
    reference operator*() const { return *at_; }
    pointer operator->() const { return &*at_; }
    Iterator& operator++() {
      const Lock lock(of_->mutex_);
      ++at_;
      return *this;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    Of* of_;
    Inner at_;
  };
  using iterator = Iterator<AppendOnlyMap, typename Map::iterator>;
  using const_iterator = Iterator<const AppendOnlyMap, typename Map::const_iterator>;

  /// The value of that name, which is made if there is none.
  V& operator[](const std::string& name) {
    const Lock lock(mutex_);
    return map_[name];
  }
  /// Does nothing if there is a value of that name.
  void insert(const std::string& name, V value) {
    const Lock lock(mutex_);
    map_.try_emplace(name, std::move(value));
  }
  [[nodiscard]] iterator find(std::string_view name) {
    const Lock lock(mutex_);
    return {*this, map_.find(name)};
  }
  [[nodiscard]] const_iterator find(std::string_view name) const {
    const Lock lock(mutex_);
    return {*this, map_.find(name)};
  }
  [[nodiscard]] bool contains(std::string_view name) const {
    const Lock lock(mutex_);
    return map_.contains(name);
  }
  /// The value of that name, which must be there.
  [[nodiscard]] V& at(std::string_view name) {
    const Lock lock(mutex_);
    const auto it = map_.find(name);
    if (it == map_.end()) throw std::out_of_range("there is no " + std::string(name));
    return it->second;
  }
  [[nodiscard]] const V& at(std::string_view name) const { return const_cast<AppendOnlyMap&>(*this).at(name); }
  [[nodiscard]] std::size_t size() const {
    const Lock lock(mutex_);
    return map_.size();
  }
  [[nodiscard]] iterator begin() {
    const Lock lock(mutex_);
    return {*this, map_.begin()};
  }
  [[nodiscard]] iterator end() { return {*this, unlocked().end()}; }
  [[nodiscard]] const_iterator begin() const {
    const Lock lock(mutex_);
    return {*this, map_.begin()};
  }
  [[nodiscard]] const_iterator end() const { return {*this, const_cast<AppendOnlyMap&>(*this).unlocked().end()}; }

 private:
  // The end iterator of a map does not change when the map grows.
  Map& unlocked() GANTRY_NO_TSA { return map_; }

  mutable Mutex mutex_{"append-only map"};
  Map map_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
