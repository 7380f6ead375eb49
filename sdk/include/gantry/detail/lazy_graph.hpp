// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/lazy_graph.hpp: which construction waits for which, over all threads, so that a
// cycle is found before a thread waits in it.
//
// A construction runs on one thread and needs at most one other service at a time: either it
// constructs that service itself, within its own call, or it waits for another thread that does. So
// each construction has at most one edge, and the way from a service is a single path. A thread
// about to wait follows the path under one lock; if the path leads back to a service that this
// thread constructs, the wait would never end. The lock is taken only when a construction needs
// another service, never on a fast path.
//
// Thread rule: any thread. One graph for each shared library.
#pragma once

#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <map>
#include <string>

namespace gantry::detail {

class LazyGraph {
 public:
  struct Node {
    const void* lazy;
    const std::string* name;
  };

  /// Marks, for a scope, that this thread constructs `node`.
  class Constructing {
   public:
    explicit Constructing(Node node) : node_(node), outer_(here()) {
      if (outer_ != nullptr) add(outer_->node_, node_);
      here() = this;
    }
    ~Constructing() {
      here() = outer_;
      if (outer_ != nullptr) remove(outer_->node_.lazy);
    }
    Constructing(const Constructing&) = delete;
    Constructing& operator=(const Constructing&) = delete;

   private:
    friend class LazyGraph;
    const Node node_;
    Constructing* const outer_;
  };

  /// This thread is about to wait for `node`. An error with the path, when that wait would never
  /// end; else the argument for leave(): nullptr when this thread constructs nothing.
  [[nodiscard]] static Result<const void*> enter(Node node) {
    const Constructing* const innermost = here();
    if (innermost == nullptr) return nullptr;
    Graph& graph = all();
    const Lock lock(graph.mutex);
    const auto mine = [&](const void* lazy) {
      const Constructing* at = innermost;
      while (at != nullptr && at->node_.lazy != lazy) at = at->outer_;
      return at;
    };
    std::string elsewhere = " -> " + *node.name;
    Node at = node;
    while (mine(at.lazy) == nullptr) {
      const auto edge = graph.edges.find(at.lazy);
      if (edge == graph.edges.end()) {
        graph.edges.insert_or_assign(innermost->node_.lazy, node);
        return innermost->node_.lazy;
      }
      at = edge->second;
      elsewhere += " -> " + *at.name;
    }
    std::string path;
    for (const auto* mine_too = innermost; mine_too != mine(at.lazy); mine_too = mine_too->outer_)
      path.insert(0, " -> " + *mine_too->node_.name);
    return fail(ErrorKind::unavailable, "services wait for each other in a circle: " + *at.name + path + elsewhere);
  }
  /// Any thread.
  static void leave(const void* waiting) {
    if (waiting != nullptr) remove(waiting);
  }

 private:
  struct Graph {
    Mutex mutex{"lazy graph"};
    std::map<const void*, Node> edges GANTRY_GUARDED_BY(mutex);
  };
  // Never destroyed: services may be constructed while the statics of this library go.
  static Graph& all() {
    static Graph* const graph = new Graph;
    return *graph;
  }
  /// The innermost construction of this thread.
  static Constructing*& here() {
    static constinit thread_local Constructing* innermost = nullptr;
    return innermost;
  }
  static void add(Node from, Node to) {
    Graph& graph = all();
    const Lock lock(graph.mutex);
    graph.edges.insert_or_assign(from.lazy, to);
  }
  static void remove(const void* from) {
    Graph& graph = all();
    const Lock lock(graph.mutex);
    graph.edges.erase(from);
  }
};

}  // namespace gantry::detail
