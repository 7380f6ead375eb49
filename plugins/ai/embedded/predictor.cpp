// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/embedded/predictor.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "plugins/ai/embedded/lexer.hpp"

namespace gantry::ai {

namespace {

constexpr std::size_t kLevels = 12;         // the longest contexts that are interpolated
constexpr std::size_t kLocalMatches = 128;  // the most recent places in the open file
constexpr std::size_t kWordsLooked = 4096;  // of the vocabulary, for an unfinished word

bool is_line_end(std::string_view text) { return text.starts_with('\n'); }

// The end of the text, from a line's start where one is near, else from a whole character.
std::string_view last_part(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  text.remove_prefix(text.size() - limit);
  if (const auto line = text.find('\n'); line < limit / 2) return text.substr(line + 1);
  while (!text.empty() && (static_cast<unsigned char>(text.front()) & 0xC0U) == 0x80) text.remove_prefix(1);
  return text;
}

std::string_view first_part(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  const auto line = text.rfind('\n', limit);
  return text.substr(0, line == std::string_view::npos ? 0 : line);
}

}  // namespace

TokenId LocalText::id(std::string_view text) {
  if (words_ != nullptr) {
    if (const auto known = words_->find(text)) return *known;
  }
  return kOwn + own_.intern(text);
}

std::string_view LocalText::text(TokenId id) const { return id >= kOwn ? own_.text(id - kOwn) : words_->text(id); }

void LocalText::append(TokenId id, std::int8_t gap) {
  const auto at = static_cast<std::int32_t>(ids.size());
  ids.push_back(id);
  gaps.push_back(gap);
  previous.push_back(-1);
  if (id == kBreak) return;
  Uses& known = uses[id];
  previous.back() = std::exchange(known.last, at);
  ++known.count;
}

Predictor::Predictor(std::shared_ptr<const SuffixModel> model, std::string_view prefix, std::string_view suffix,
                     PredictOptions options)
    : model_(std::move(model)), options_(options), local_(model_ ? &model_->vocabulary() : nullptr) {
  read_prefix(prefix);
  read_suffix(suffix);
}

void Predictor::read_prefix(std::string_view prefix) {
  const std::string_view text = last_part(prefix, kMaxPrefix);
  if (text.size() == prefix.size() && model_) local_.append(kFileStart, 0);
  // Most tokens of code are short.
  local_.ids.reserve(text.size() / 3);
  local_.gaps.reserve(text.size() / 3);
  local_.previous.reserve(text.size() / 3);
  Lexer lexer(text);
  std::optional<Lexeme> last;
  while (auto lexeme = lexer.next()) {
    if (last) local_.append(local_.id(last->text), last->gap);
    last = lexeme;
    ++read_;
  }
  typed_ = lexer.trailing();
  indent_ = lexer.indent();
  tabs_ = lexer.tabs();
  // A last token with nothing behind it may go on: a word, "-" of "->", one line end of two.
  if (last && typed_ == 0) {
    partial_ = last->text;
  } else if (last) {
    local_.append(local_.id(last->text), last->gap);
  }
  line_start_ = !last || is_line_end(last->text);
  context_ = local_.ids;
}

void Predictor::read_suffix(std::string_view suffix) {
  local_.append(LocalText::kBreak, 0);
  Lexer lexer(first_part(suffix, kMaxSuffix));
  const bool same_line = suffix.substr(0, suffix.find('\n')).find_first_not_of(" \t\r") != std::string_view::npos;
  bool first = true;
  while (const auto lexeme = lexer.next()) {
    if (std::exchange(first, false) && same_line) suffix_first_ = lexeme->text;
    local_.append(local_.id(lexeme->text), lexeme->gap);
  }
}

std::optional<std::string> Predictor::next() {
  if (finished_) return std::nullopt;
  if (produced_ >= options_.max_tokens) {
    finished_ = cut_by_length_ = true;
    return std::nullopt;
  }
  const bool inside = !partial_.empty();
  auto best = inside ? predict_rest_of_word() : predict();
  if (!best && inside) {
    // Nobody has seen such a word: it is complete, and new.
    context_.push_back(local_.id(partial_));
    partial_.clear();
    best = predict();
  }
  const std::string text(best ? local_.text(best->id) : "");
  if (!best || text.empty() || must_stop(*best, text)) {
    finished_ = true;
    return std::nullopt;
  }
  std::string shown = render(*best, text);
  joint_ = std::min(1.0, joint_ * best->p);
  context_.push_back(best->id);
  // A bracket of the prefix is not one that was opened here.
  if (!inside && (text == "(" || text == "[" || text == "{")) ++depth_;
  if (!inside && (text == ")" || text == "]" || text == "}")) depth_ = std::max(0, depth_ - 1);
  if (!shown.empty()) {
    ++produced_;
    visible_ = visible_ || shown.find_first_not_of(" \t\n") != std::string::npos;
  }
  return shown;
}

bool Predictor::must_stop(const Candidate& best, std::string_view text) const {
  const bool unchanged = text == partial_;
  if (is_line_end(text) && !unchanged) {
    if (options_.one_line && visible_) return true;
    if (!suffix_first_.empty()) return true;
  }
  // What stands behind the cursor is not said twice.
  if (partial_.empty() && depth_ == 0 && text == suffix_first_) return true;
  return visible_ && (joint_ * best.p < options_.min_joint || best.p < options_.min_token);
}

std::string Predictor::render(const Candidate& chosen, std::string_view text) {
  std::string shown;
  if (!partial_.empty()) {
    shown = text.substr(partial_.size());
    partial_.clear();
  } else if (is_line_end(text)) {
    shown = text;
  } else if (line_start_) {
    const int wanted = std::max(0, indent_ + chosen.gap);
    shown = padding(wanted - typed_);
    indent_ = std::max(wanted, typed_);
    shown += text;
  } else {
    if (chosen.gap == kTabGap && typed_ == 0) shown = "\t";
    if (chosen.gap > typed_) shown.assign(static_cast<std::size_t>(chosen.gap - typed_), ' ');
    shown += text;
  }
  typed_ = 0;
  line_start_ = is_line_end(text);
  return shown;
}

std::string Predictor::padding(int columns) const {
  if (columns <= 0) return {};
  if (!tabs_) return std::string(static_cast<std::size_t>(columns), ' ');
  return std::string(static_cast<std::size_t>(columns / kTabColumns), '\t') +
         std::string(static_cast<std::size_t>(columns % kTabColumns), ' ');
}

std::optional<Predictor::Candidate> Predictor::predict() {
  interpolate();
  const auto best = std::max_element(candidates_.begin(), candidates_.end(),
                                     [](const auto& a, const auto& b) { return a.p != b.p ? a.p < b.p : a.id > b.id; });
  if (best == candidates_.end()) return std::nullopt;
  return *best;
}

std::optional<Predictor::Candidate> Predictor::predict_rest_of_word() {
  interpolate();
  std::erase_if(candidates_, [this](const Candidate& c) { return !local_.text(c.id).starts_with(partial_); });
  places_.clear();
  for (std::size_t i = 0; i < candidates_.size(); ++i) places_[candidates_[i].id] = i;
  add_words(partial_);
  if (candidates_.empty()) return std::nullopt;
  // Some of the words that begin like this have never been seen; the fewer, the longer the beginning.
  double total = residual_ * 0.02 * std::pow(0.1, static_cast<double>(std::min<std::size_t>(partial_.size(), 4)));
  for (const auto& candidate : candidates_) total += candidate.p;
  auto best = *std::max_element(candidates_.begin(), candidates_.end(),
                                [](const auto& a, const auto& b) { return a.p != b.p ? a.p < b.p : a.id > b.id; });
  best.p /= total;
  return best;
}

// Order 0: the words of the workspace and of the open file, by their frequency.
void Predictor::add_words(std::string_view start) {
  if (model_) {
    const auto [first, last] = model_->starting_with(start);
    const auto looked = std::min<std::ptrdiff_t>(last - first, static_cast<std::ptrdiff_t>(kWordsLooked));
    const double all = static_cast<double>(std::max<std::size_t>(1, model_->tokens()));
    for (const TokenId* id = first; id != first + looked; ++id) {
      candidates_[place(*id)].p += residual_ * 0.5 * static_cast<double>(model_->count(*id)) / all;
    }
  }
  const double all = static_cast<double>(std::max<std::size_t>(1, local_.ids.size()));
  std::vector<std::pair<TokenId, std::uint32_t>> own;
  for (const auto& [id, known] : local_.uses) {
    if (local_.text(id).starts_with(start)) own.emplace_back(id, known.count);
  }
  std::sort(own.begin(), own.end());
  for (const auto& [id, count] : own) candidates_[place(id)].p += residual_ * 0.5 * count / all;
}

void Predictor::interpolate() {
  candidates_.clear();
  places_.clear();
  residual_ = 1;
  if (context_.empty()) return;
  const auto ranges = model_ranges();
  const auto matches = local_matches();
  std::size_t longest = ranges.size();
  for (const auto& match : matches) longest = std::max(longest, match.length);
  const std::size_t shortest = longest > kLevels ? longest - kLevels + 1 : 1;
  int level = 0;
  for (std::size_t length = shortest; length <= longest; ++length) {
    if (length <= ranges.size()) {
      const auto& range = ranges[length - 1];
      const std::size_t sampled = std::min(range.size(), kSample);
      for (std::size_t i = 0; i < sampled; ++i)
        tally(model_->follower(range.begin + i * range.size() / sampled), level);
      settle(level++, sampled);
    }
    std::size_t total = 0;
    for (const auto& match : matches) {
      if (match.length < length) continue;
      tally(match.follower, level);
      ++total;
    }
    settle(level++, total);
  }
}

std::vector<SuffixModel::Range> Predictor::model_ranges() const {
  std::vector<SuffixModel::Range> ranges;
  if (!model_) return ranges;
  auto range = model_->after(context_.back());
  while (range.size() > 0 && ranges.size() < SuffixModel::kMaxContext) {
    ranges.push_back(range);
    const std::size_t depth = ranges.size();
    if (depth >= context_.size()) break;
    range = model_->narrow(range, depth, context_[context_.size() - 1 - depth]);
  }
  return ranges;
}

std::vector<Predictor::Match> Predictor::local_matches() const {
  std::vector<Match> matches;
  const auto known = local_.uses.find(context_.back());
  if (known == local_.uses.end()) return matches;
  const auto& ids = local_.ids;
  for (auto at = known->second.last; at >= 0 && matches.size() < kLocalMatches;
       at = local_.previous[static_cast<std::size_t>(at)]) {
    const auto here = static_cast<std::size_t>(at);
    if (here + 1 >= ids.size() || ids[here + 1] == LocalText::kBreak) continue;
    std::size_t length = 1;
    while (length < SuffixModel::kMaxContext && length < context_.size() && length <= here &&
           ids[here - length] == context_[context_.size() - 1 - length]) {
      ++length;
    }
    matches.push_back(Match{length, SuffixModel::Follower{ids[here + 1], local_.gaps[here + 1]}});
  }
  return matches;
}

std::size_t Predictor::place(TokenId id) {
  const auto [it, fresh] = places_.try_emplace(id, candidates_.size());
  if (fresh) {
    candidates_.emplace_back();
    candidates_.back().id = id;
  }
  return it->second;
}

void Predictor::tally(const SuffixModel::Follower& follower, int level) {
  Candidate& candidate = candidates_[place(follower.id)];
  if (candidate.level != level) {
    candidate.level = level;
    candidate.count = 0;
    candidate.votes = 0;
  }
  ++candidate.count;
  if (candidate.votes == 0) candidate.gap = follower.gap;
  candidate.votes += candidate.gap == follower.gap ? 1 : -1;
}

void Predictor::settle(int level, std::size_t total) {
  if (total == 0) return;
  std::size_t distinct = 0;
  for (const auto& candidate : candidates_) distinct += candidate.level == level ? 1U : 0U;
  const double n = static_cast<double>(total);
  const double weight = n / (n + static_cast<double>(distinct) + 1.0);
  residual_ *= 1.0 - weight;
  for (auto& candidate : candidates_) {
    candidate.p *= 1.0 - weight;
    if (candidate.level == level) candidate.p += weight * candidate.count / n;
  }
}

}  // namespace gantry::ai
