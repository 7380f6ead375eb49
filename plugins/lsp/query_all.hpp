// SPDX-License-Identifier: Apache-2.0
//
// query_all.hpp: one question of a caller, asked of several language servers at once, and what their answers are
// together.
//
// Thread rule: begin() once; cancel() and the answers from any thread.
// Bounds: those of the queries; each has a permit and a time of its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "plugins/lsp/query.hpp"

namespace gantry::lsp {

class QueryAll : public std::enable_shared_from_this<QueryAll> {
 public:
  /// The answers in the order of the questions.
  using Answers = std::vector<Result<std::string>>;
  using Done = std::move_only_function<void(Answers)>;

  /// `asks`: one at least. `done` runs once, on any thread, when the slowest has answered or has failed.
  QueryAll(std::shared_ptr<Context> context, std::shared_ptr<Registry> registry, std::vector<Query::Ask> asks,
           Done done);

  void begin();
  /// Its caller wants no answers any more.
  void cancel();

 private:
  void answered(std::size_t which, Result<std::string> answer);

  const std::shared_ptr<Context> context_;
  const std::shared_ptr<Registry> registry_;
  std::vector<Query::Ask> asks_;  // until begin()
  Done done_;                     // of the thread that has the last answer
  Mutex mutex_;
  std::vector<std::weak_ptr<Query>> queries_ GANTRY_GUARDED_BY(mutex_);
  Answers answers_ GANTRY_GUARDED_BY(mutex_);
  std::size_t left_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool cancelled_ GANTRY_GUARDED_BY(mutex_) = false;
};

/// The same question for each server of the language at `path`: those with a priority above 0, the highest first; one
/// when none or one has that. Errors: as ask_about() for the first; another that may not run is refused when it is
/// asked.
[[nodiscard]] Result<std::vector<Query::Ask>> asks_about(const Settings& settings, const std::string& path,
                                                         const std::optional<std::string>& language);

/// What lsp.diagnostics answers when several servers were asked: the diagnostics of all, and the worst freshness;
/// `failed` names the servers that gave none, and why, and then nothing is `fresh`. The error of the first when all
/// have failed.
[[nodiscard]] Result<json> merged_diagnostics(const std::vector<std::string>& servers,
                                              const QueryAll::Answers& answers);

}  // namespace gantry::lsp
