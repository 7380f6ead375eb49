// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/lazy_graph.hpp: which construction waits for which, over all threads, so that a circle is found before
// it is waited for.
//
// A construction runs on one thread and needs at most one other service at a time: either it constructs that one
// itself, within its own call, or it waits for another thread that does. So each has at most one edge, and the way from
// a service is a single path. A thread about to wait walks it under one lock; when it comes back to what this thread
// constructs, the wait would never end. The lock is taken only when a construction needs another service, never on a
// fast path.
//
// Thread rule: any thread. One graph for each shared library.
#pragma once

#include <algorithm>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <map>
#include <string>
#include <vector>

namespace gantry::detail {

class LazyGraph {
 public:
  struct Node {
    const void* lazy;
    const std::string* name;
  };

  /// This thread constructs `node` for a scope.
  class Constructing {
   public:
    explicit Constructing(Node node) : node_(node) {
      auto& stack = here();
      if (!stack.empty()) add(stack.back(), node_);
      stack.push_back(node_);
    }
    ~Constructing() {
      auto& stack = here();
      stack.pop_back();
      if (!stack.empty()) remove(stack.back().lazy);
    }
    Constructing(const Constructing&) = delete;
    Constructing& operator=(const Constructing&) = delete;

   private:
    Node node_;
  };

  /// This thread is about to wait for `node`. An error with the path, when that would be for ever; else what to leave()
  /// with: nullptr when this thread constructs nothing.
  [[nodiscard]] static Result<const void*> enter(Node node) {
    const auto& stack = here();
    if (stack.empty()) return nullptr;
    Graph& graph = all();
    const Lock lock(graph.mutex);
    const auto mine = [&](const void* lazy) {
      return std::find_if(stack.begin(), stack.end(), [&](const Node& n) { return n.lazy == lazy; });
    };
    std::string elsewhere = " -> " + *node.name;
    Node at = node;
    while (mine(at.lazy) == stack.end()) {
      const auto edge = graph.edges.find(at.lazy);
      if (edge == graph.edges.end()) {
        graph.edges.insert_or_assign(stack.back().lazy, node);
        return stack.back().lazy;
      }
      at = edge->second;
      elsewhere += " -> " + *at.name;
    }
    std::string path = *at.name;
    for (auto it = std::next(mine(at.lazy)); it != stack.end(); ++it) path += " -> " + *it->name;
    path += elsewhere;
    return fail(ErrorKind::unavailable, "services wait for each other in a circle: " + path);
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
  /// What this thread constructs, outermost first.
  static std::vector<Node>& here() {
    thread_local std::vector<Node> stack;
    return stack;
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
