// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/embedded_attempt.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace gantry::ai {

namespace {

constexpr int kTokensAStep = 8;

}  // namespace

void EmbeddedAttempt::begin() {
  PredictOptions options;
  options.max_tokens = job_->max_tokens.value_or(kDefaultMaxTokens);
  if (job_->kind == Job::Kind::complete) {
    predictor_.emplace(job_->learned.model, job_->prefix, job_->suffix, options);
    return;
  }
  options.one_line = false;
  options.min_joint = 0;
  predictor_.emplace(job_->learned.model, job_->prefix, "", options);
}

EmbeddedAttempt::Step EmbeddedAttempt::step() {
  if (!outlet_.flush()) return Step::stalled;
  if (!predictor_) begin();
  std::string produced;
  bool over = false;
  for (int i = 0; i < kTokensAStep && !over; ++i) {
    const auto piece = predictor_->next();
    over = !piece;
    if (piece) produced += *piece;
  }
  over = take(produced) || over;
  if (over) emit(std::exchange(held_, {}));
  if (!outlet_.flush()) return Step::stalled;
  if (!over) return Step::more;
  outlet_.finish(result());
  return Step::over;
}

bool EmbeddedAttempt::take(const std::string& text) {
  held_ += text;
  std::size_t first = std::string::npos;
  std::size_t may_begin = 0;  // bytes at the end
  for (const auto& stop : job_->stop) {
    first = std::min(first, held_.find(stop));
    for (std::size_t size = std::min(stop.size() - 1, held_.size()); size > may_begin; --size) {
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, size))) may_begin = size;
    }
  }
  if (first != std::string::npos) {
    held_.resize(first);
    stopped_ = true;
    return true;
  }
  emit(held_.substr(0, held_.size() - may_begin));
  held_.erase(0, held_.size() - may_begin);
  return false;
}

void EmbeddedAttempt::emit(const std::string& text) {
  if (text.empty()) return;
  text_ += text;
  if (!job_->stream) return;
  outlet_.emit(job_->kind == Job::Kind::complete ? json{{"text", text}} : json{{"delta", {{"content", text}}}});
}

json EmbeddedAttempt::result() const {
  json result{{"finish_reason", !stopped_ && predictor_->cut_by_length() ? "length" : "stop"},
              {"ready", job_->learned.ready}};
  if (job_->kind == Job::Kind::complete) {
    result["text"] = text_;
    result["confidence"] = predictor_->confidence();
  } else {
    const std::size_t prompt = predictor_->read();
    const std::size_t completion = predictor_->produced();
    result["message"] = {{"role", "assistant"}, {"content", text_}};
    result["usage"] = {
        {"prompt_tokens", prompt}, {"completion_tokens", completion}, {"total_tokens", prompt + completion}};
  }
  return result;
}

}  // namespace gantry::ai
