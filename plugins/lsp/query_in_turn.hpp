// SPDX-License-Identifier: Apache-2.0
//
// query_in_turn.hpp: one question of a caller, asked of one language server after the other until one has something to
// say.
//
// Thread rule: begin() once; cancel() and the answers from any thread.
// Bounds: those of the queries, of which one is on its way; each has a permit and a time of its own.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plugins/lsp/query.hpp"

namespace gantry::lsp {

/// Which of several servers' answers counts: of the first that does not fail, or that has something to say.
enum class First { answers, says_something };

class QueryInTurn : public std::enable_shared_from_this<QueryInTurn> {
 public:
  using Done = std::move_only_function<void(Result<std::string>)>;

  /// `asks`: one at least. `done` runs once, on any thread, with the answer that counts; when none does, with the first
  /// answer, else the first error.
  QueryInTurn(std::shared_ptr<Context> context, std::shared_ptr<Registry> registry, std::vector<Query::Ask> asks,
              First wanted, Done done);

  void begin() { ask_next(); }
  /// Its caller wants no answer any more.
  void cancel();

 private:
  void ask_next();
  void answered(Result<std::string> answer);

  const std::shared_ptr<Context> context_;
  const std::shared_ptr<Registry> registry_;
  const First wanted_;

  // Of the thread that has the answer of the query that is on its way.
  std::vector<Query::Ask> asks_;
  std::size_t next_ = 0;
  std::optional<Result<std::string>> nothing_;  ///< the first answer or error that does not count
  Done done_;

  Mutex mutex_;
  std::weak_ptr<Query> query_ GANTRY_GUARDED_BY(mutex_);
  bool cancelled_ GANTRY_GUARDED_BY(mutex_) = false;
};

}  // namespace gantry::lsp
