// SPDX-License-Identifier: Apache-2.0
#include "plugins/ai/embedded/suffix_model.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "plugins/ai/embedded/lexer.hpp"

namespace gantry::ai {

Vocabulary::Vocabulary() : offsets_{0, 0}, table_(1024, 0) {}

std::size_t Vocabulary::slot(std::string_view text) const {
  const std::size_t mask = table_.size() - 1;
  std::size_t at = std::hash<std::string_view>{}(text)&mask;
  while (table_[at] != 0 && this->text(table_[at]) != text) at = (at + 1) & mask;
  return at;
}

TokenId Vocabulary::intern(std::string_view text) {
  const std::size_t at = slot(text);
  if (table_[at] != 0) return table_[at];
  const auto id = static_cast<TokenId>(size());
  bytes_ += text;
  offsets_.push_back(static_cast<std::uint32_t>(bytes_.size()));
  table_[at] = id;
  if (size() * 2 > table_.size()) grow();
  return id;
}

std::optional<TokenId> Vocabulary::find(std::string_view text) const {
  const TokenId id = table_[slot(text)];
  return id == 0 ? std::nullopt : std::optional<TokenId>(id);
}

void Vocabulary::grow() {
  table_.assign(table_.size() * 2, 0);
  for (TokenId id = 1; id < size(); ++id) table_[slot(text(id))] = id;
}

bool Corpus::add_file(std::string_view text, std::size_t max_tokens) {
  const std::size_t before = tokens.size();
  if (tokens.back() != kFileStart) {
    tokens.push_back(kFileStart);
    gaps.push_back(0);
  }
  Lexer lexer(text);
  while (const auto lexeme = lexer.next()) {
    if (tokens.size() >= max_tokens) {
      tokens.resize(before);
      gaps.resize(before);
      return false;
    }
    tokens.push_back(vocabulary.intern(lexeme->text));
    gaps.push_back(lexeme->gap);
  }
  ++files;
  return true;
}

std::shared_ptr<const SuffixModel> SuffixModel::build(Corpus corpus, const std::atomic<bool>& stop) {
  // The end of the last file must be seen as one.
  if (corpus.tokens.back() != kFileStart) {
    corpus.tokens.push_back(kFileStart);
    corpus.gaps.push_back(0);
  }
  std::shared_ptr<SuffixModel> model(new SuffixModel(std::move(corpus)));
  if (!model->sort(stop)) return nullptr;
  return model;
}

bool SuffixModel::sort(const std::atomic<bool>& stop) {
  const auto& tokens = corpus_.tokens;
  const std::size_t words = corpus_.vocabulary.size();
  // By the last token with counting; within each by the tokens before it.
  buckets_.assign(words + 1, 0);
  for (std::size_t at = 1; at < tokens.size(); ++at) ++buckets_[tokens[at - 1] + 1];
  std::partial_sum(buckets_.begin(), buckets_.end(), buckets_.begin());
  sorted_.resize(tokens.size() - 1);
  std::vector<std::uint32_t> next(buckets_.begin(), buckets_.end() - 1);
  for (std::size_t at = 1; at < tokens.size(); ++at) sorted_[next[tokens[at - 1]]++] = static_cast<std::uint32_t>(at);
  const auto less = [this](std::uint32_t a, std::uint32_t b) {
    for (std::size_t distance = 2; distance <= kMaxContext; ++distance) {
      const TokenId left = before(a, distance);
      const TokenId right = before(b, distance);
      if (left != right) return left < right;
    }
    return a < b;
  };
  for (std::size_t word = 0; word < words; ++word) {
    if (stop.load(std::memory_order_relaxed)) return false;
    std::sort(sorted_.begin() + buckets_[word], sorted_.begin() + buckets_[word + 1], less);
  }
  by_text_.resize(words);
  std::iota(by_text_.begin(), by_text_.end(), TokenId{0});
  std::sort(by_text_.begin(), by_text_.end(),
            [this](TokenId a, TokenId b) { return corpus_.vocabulary.text(a) < corpus_.vocabulary.text(b); });
  return !stop.load(std::memory_order_relaxed);
}

SuffixModel::Range SuffixModel::after(TokenId last) const {
  if (last + 1 >= buckets_.size()) return {};
  return Range{buckets_[last], buckets_[last + 1]};
}

SuffixModel::Range SuffixModel::narrow(Range range, std::size_t depth, TokenId earlier) const {
  const auto first = sorted_.begin() + static_cast<std::ptrdiff_t>(range.begin);
  const auto last = sorted_.begin() + static_cast<std::ptrdiff_t>(range.end);
  const auto low =
      std::lower_bound(first, last, earlier, [&](std::uint32_t at, TokenId id) { return before(at, depth + 1) < id; });
  const auto high =
      std::upper_bound(low, last, earlier, [&](TokenId id, std::uint32_t at) { return id < before(at, depth + 1); });
  return Range{static_cast<std::size_t>(low - sorted_.begin()), static_cast<std::size_t>(high - sorted_.begin())};
}

std::pair<const TokenId*, const TokenId*> SuffixModel::starting_with(std::string_view start) const {
  const auto& words = corpus_.vocabulary;
  const auto low = std::lower_bound(by_text_.begin(), by_text_.end(), start,
                                    [&](TokenId id, std::string_view text) { return words.text(id) < text; });
  auto high = std::upper_bound(low, by_text_.end(), start, [&](std::string_view text, TokenId id) {
    return text < words.text(id).substr(0, text.size());
  });
  return {by_text_.data() + (low - by_text_.begin()), by_text_.data() + (high - by_text_.begin())};
}

}  // namespace gantry::ai
