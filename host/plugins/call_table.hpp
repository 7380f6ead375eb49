// SPDX-License-Identifier: Apache-2.0
//
// host/plugins/call_table.hpp: the calls that one plugin has to answer, by the id that the plugin
// knows them by.
//
// The table has a part for each of a few threads, so that calls of two workers do not take each
// other's lock. A call is entered in the part of the thread that brings it, which the call's id
// names. The chain members are in the call itself: entering a call allocates nothing.
//
// Thread rule: any thread. Nothing is called under a part's lock.
// Bounds: `max` calls; calls that are entered at the same moment may exceed that by one each.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <gantry/mutex.hpp>
#include <gantry/striped.hpp>
#include <vector>

#include "host/plugins/plugin_call.hpp"

namespace gantry::host {

class CallTable {
 public:
  enum class Entered : std::uint8_t { yes, closed, full };

  CallTable(std::size_t max, std::uint64_t first_id) : max_(max) {
    for (auto& part : parts_) {
      Lock lock(part.mutex);
      part.next = first_id / kParts + 1;
    }
  }
  CallTable(const CallTable&) = delete;
  CallTable& operator=(const CallTable&) = delete;
  ~CallTable() { (void)take_all(); }

  /// Enters the call under this id, or, for 0, under an id that was never used here. `before` is
  /// void(), called under the lock when the call has its id and is about to be entered.
  template <class F>
  [[nodiscard]] Entered enter(const PluginCallPtr& call, std::uint64_t id, F&& before) {
    const std::size_t at = id == 0 ? parts_.mine_at() : id % kParts;
    Part& part = parts_[at];
    Lock lock(part.mutex);
    if (closed_.load(std::memory_order_seq_cst)) return Entered::closed;
    if (is_full(part)) return Entered::full;
    if (id == 0) id = part.next * kParts + at;
    part.next = std::max(part.next, id / kParts + 1);
    call->id_.store(id, std::memory_order_relaxed);
    before();
    put(part, PluginCallPtr(call));
    return Entered::yes;
  }
  /// From here on no call is entered.
  void close() { closed_.store(true, std::memory_order_seq_cst); }
  [[nodiscard]] bool is_closed() const { return closed_.load(std::memory_order_seq_cst); }
  /// Enters a call from another table, under its id; also when this table is full. False: the table
  /// is closed.
  [[nodiscard]] bool adopt(const PluginCallPtr& call) {
    Part& part = parts_[call->id() % kParts];
    Lock lock(part.mutex);
    if (closed_.load(std::memory_order_seq_cst)) return false;
    put(part, PluginCallPtr(call));
    return true;
  }

  [[nodiscard]] PluginCallPtr find(std::uint64_t id) const {
    const Part& part = parts_[id % kParts];
    Lock lock(part.mutex);
    for (PluginCall* call = chain_of(part, id); call != nullptr; call = call->next_in_table) {
      if (call->id() == id) return call;
    }
    return nullptr;
  }
  /// Removes the call; nullptr: there is none.
  [[nodiscard]] PluginCallPtr take(std::uint64_t id) {
    return take_if(id, [](const PluginCall&) { return true; });
  }
  template <class F>
  [[nodiscard]] PluginCallPtr take_if(std::uint64_t id, F&& wanted) {
    Part& part = parts_[id % kParts];
    Lock lock(part.mutex);
    if (part.chains.empty()) return nullptr;
    for (PluginCall** at = &part.chains[index_of(part, id)]; *at != nullptr; at = &(*at)->next_in_table) {
      PluginCall* const call = *at;
      if (call->id() != id) continue;
      if (!wanted(*call)) return nullptr;
      *at = call->next_in_table;
      part.count.store(part.count.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
      return {call, false};
    }
    return nullptr;
  }
  [[nodiscard]] std::vector<PluginCallPtr> take_all() {
    std::vector<PluginCallPtr> out;
    for (auto& part : parts_) {
      Lock lock(part.mutex);
      for (PluginCall*& chain : part.chains) {
        while (PluginCall* const call = chain) {
          chain = call->next_in_table;
          out.emplace_back(call, false);
        }
      }
      part.count.store(0, std::memory_order_relaxed);
    }
    return out;
  }
  /// `visit` is void(PluginCall&), called under a part's lock.
  template <class F>
  void each(F&& visit) const {
    for (const auto& part : parts_) {
      Lock lock(part.mutex);
      for (PluginCall* call : part.chains) {
        for (; call != nullptr; call = call->next_in_table) visit(*call);
      }
    }
  }
  [[nodiscard]] std::size_t size() const {
    std::size_t sum = 0;
    for (const auto& part : parts_) sum += part.count.load(std::memory_order_relaxed);
    return sum;
  }
  /// An id that no call has or will have.
  [[nodiscard]] std::uint64_t fresh_id() {
    Part& part = parts_[0];
    Lock lock(part.mutex);
    return part.next++ * kParts;
  }
  /// An id that is higher than every id so far.
  [[nodiscard]] std::uint64_t next_id() const {
    std::uint64_t next = 0;
    for (const auto& part : parts_) {
      Lock lock(part.mutex);
      next = std::max(next, part.next);
    }
    return next * kParts;
  }

 private:
  static constexpr std::size_t kFewest = 16;

  struct Part {
    mutable Mutex mutex{"call table"};
    std::uint64_t next GANTRY_GUARDED_BY(mutex) = 0;  ///< an id is this number times kParts, plus the part's number
    std::vector<PluginCall*> chains GANTRY_GUARDED_BY(mutex);  ///< a power of two; each holds references to its calls
    std::atomic<std::size_t> count{0};                         ///< changed under the mutex
  };
  static constexpr std::size_t kParts = Striped<Part>::kStripes;

  [[nodiscard]] static std::size_t index_of(const Part& part, std::uint64_t id) GANTRY_REQUIRES(part.mutex) {
    return (id / kParts) & (part.chains.size() - 1);
  }
  [[nodiscard]] static PluginCall* chain_of(const Part& part, std::uint64_t id) GANTRY_REQUIRES(part.mutex) {
    return part.chains.empty() ? nullptr : part.chains[index_of(part, id)];
  }
  static void put(Part& part, PluginCallPtr call) GANTRY_REQUIRES(part.mutex) {
    const std::size_t count = part.count.load(std::memory_order_relaxed);
    if (count >= part.chains.size()) grow(part);
    PluginCall*& chain = part.chains[index_of(part, call->id())];
    call->next_in_table = chain;
    chain = call.detach();
    part.count.store(count + 1, std::memory_order_relaxed);
  }
  static void grow(Part& part) GANTRY_REQUIRES(part.mutex) {
    std::vector<PluginCall*> old(std::max(kFewest, part.chains.size() * 2));
    old.swap(part.chains);
    for (PluginCall* call : old) {
      while (call != nullptr) {
        PluginCall* const next = call->next_in_table;
        PluginCall*& chain = part.chains[index_of(part, call->id())];
        call->next_in_table = chain;
        chain = call;
        call = next;
      }
    }
  }
  // The counts of the other parts are read only when the own part is full.
  [[nodiscard]] bool is_full(const Part& part) const {
    return part.count.load(std::memory_order_relaxed) >= max_ / kParts && size() >= max_;
  }

  const std::size_t max_;
  std::atomic<bool> closed_{false};
  Striped<Part> parts_;
};

}  // namespace gantry::host
