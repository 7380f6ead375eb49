// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/lock_order.hpp: a debug build finds two threads that lock in opposite orders as
// soon as both orders have occurred, whether or not the threads meet.
//
// Each thread keeps a list of the locks that it holds. Locking B while holding A adds the edge A ->
// B to one graph; an edge that closes a cycle ends the process with the names of its locks. So does
// locking a mutex that the thread holds already. A release build (NDEBUG) has none of this. Each
// shared library has a graph of its own.
//
// Thread rule: any thread.
#pragma once

#if !defined(GANTRY_LOCK_ORDER)
#if defined(NDEBUG)
#define GANTRY_LOCK_ORDER 0
#else
#define GANTRY_LOCK_ORDER 1
#endif
#endif

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace gantry::detail {

class LockOrder {
 public:
  /// Called before the thread waits for `lock`.
  static void about_to_lock(const void* mutex, const char* name) {
    const Id lock = id_of(mutex);
    const Held& held = held_here();
    if (held.empty()) return;
    Graph& graph = all();
    const std::lock_guard guard(graph.mutex);
    graph.names[lock] = name;
    for (const Id other : held) {
      if (other == lock) {
        die(graph, {lock, lock}, "is locked by the thread that holds it");
        return;
      }
      if (graph.edges[other].contains(lock)) continue;
      std::vector<Id> path{lock};
      std::set<Id> visited;
      if (find_path(graph, other, path, visited)) {
        path.push_back(lock);
        die(graph, path, "are locked in opposite orders");
        return;
      }
      graph.edges[other].insert(lock);
    }
  }
  static void locked(const void* mutex, const char* name) {
    const Id lock = id_of(mutex);
    held_here().push(lock);
    Graph& graph = all();
    const std::lock_guard guard(graph.mutex);
    graph.names[lock] = name;
  }
  static void unlocked(const void* mutex) { held_here().remove(id_of(mutex)); }
  /// Forgets the mutex: its memory may become another lock.
  static void destroyed(const void* mutex) {
    const Id lock = id_of(mutex);
    Graph& graph = all();
    const std::lock_guard guard(graph.mutex);
    if (graph.names.erase(lock) == 0) return;
    graph.edges.erase(lock);
    for (auto& [from, to] : graph.edges) to.erase(lock);
  }

 private:
  // The address is stored inverted, so that it does not look like an address: otherwise a leak
  // checker would take leaked memory with a lock in it for memory in use.
  using Id = std::uintptr_t;
  static Id id_of(const void* mutex) { return ~reinterpret_cast<Id>(mutex); }

  struct Graph {
    std::mutex mutex;
    std::map<Id, std::set<Id>> edges;
    std::map<Id, std::string> names;
  };
  // Never destroyed: locks may outlive the statics of this library.
  static Graph& all() {
    static Graph* const graph = new Graph;
    return *graph;
  }
  // Without a destructor: locks are taken while a thread's other thread_locals and the statics go.
  class Held {
   public:
    [[nodiscard]] const Id* begin() const { return locks_.data(); }
    [[nodiscard]] const Id* end() const { return locks_.data() + size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }
    void push(Id lock) {
      if (size_ == locks_.size()) {
        std::fputs("gantry: a thread holds more than 64 locks\n", stderr);
        std::abort();
      }
      locks_[size_++] = lock;
    }
    void remove(Id lock) {
      for (std::size_t i = size_; i-- != 0;) {
        if (locks_[i] != lock) continue;
        std::copy(locks_.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                  locks_.begin() + static_cast<std::ptrdiff_t>(size_), locks_.begin() + static_cast<std::ptrdiff_t>(i));
        --size_;
        return;
      }
    }

   private:
    std::array<Id, 64> locks_{};
    std::size_t size_ = 0;
  };
  static Held& held_here() {
    static constinit thread_local Held held;
    return held;
  }
  static bool find_path(const Graph& graph, Id wanted, std::vector<Id>& path, std::set<Id>& visited) {
    const auto it = graph.edges.find(path.back());
    if (it == graph.edges.end()) return false;
    for (const Id next : it->second) {
      if (!visited.insert(next).second) continue;
      path.push_back(next);
      if (next == wanted || find_path(graph, wanted, path, visited)) return true;
      path.pop_back();
    }
    return false;
  }
  static void die(const Graph& graph, const std::vector<Id>& path, const char* what) {
    std::string text;
    for (const Id lock : path) {
      const auto name = graph.names.find(lock);
      text += (text.empty() ? "" : " -> ") + (name == graph.names.end() ? std::string("?") : name->second);
    }
    std::fprintf(stderr, "gantry: locks %s: %s\n", what, text.c_str());
    std::abort();
  }
};

}  // namespace gantry::detail
