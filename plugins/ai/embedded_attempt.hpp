// SPDX-License-Identifier: Apache-2.0
//
// embedded_attempt.hpp: answers one request with the model that was learned from the workspace.
//
// `ai.complete` predicts to the end of the line. `ai.chat` predicts how the text of the last
// message goes on: the model continues text, it does not converse. The answer ends before the first
// of the request's `stop` texts; text that may begin a stop text is held back until more is known.
//
// Thread rule: the worker's thread. step() works for well under a millisecond, so that transfers
// are not kept waiting.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "plugins/ai/embedded/predictor.hpp"
#include "plugins/ai/job.hpp"

namespace gantry::ai {

class EmbeddedAttempt {
 public:
  explicit EmbeddedAttempt(StartAttempt start) : job_(std::move(start.job)), outlet_(std::move(start.outlet)) {}

  enum class Step { more, stalled, over };
  /// Produces a few tokens. `stalled`: the caller reads no items for now. `over`: the request is
  /// answered.
  [[nodiscard]] Step step();
  [[nodiscard]] Outlet& outlet() { return outlet_; }

 private:
  void begin();
  void emit(const std::string& text);
  /// Takes predicted text. True: it holds a stop text, and the answer ends before that.
  [[nodiscard]] bool take(const std::string& text);
  [[nodiscard]] json result() const;

  std::shared_ptr<const Job> job_;
  Outlet outlet_;
  std::optional<Predictor> predictor_;
  std::string text_;
  std::string held_;  // text that may begin a stop text
  bool stopped_ = false;
};

}  // namespace gantry::ai
