// SPDX-License-Identifier: Apache-2.0
//
// embedded/suffix_model.hpp: the tokens of a workspace, and an index of every context in them.
//
// The positions of the corpus are sorted by the tokens before them, read backwards (a suffix array
// of the reversed text). All positions with the same last k tokens are adjacent, so each longer
// context narrows a range, and the tokens that follow there are the candidates. There is no order n
// to choose: contexts match as far as they go, up to kMaxContext, and shorter ones serve as
// back-off.
//
// Thread rule: Corpus is used by one thread; a SuffixModel is immutable and read from any thread.
// Memory: 9 bytes for each token, 4 for each distinct token, and the text of the vocabulary.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gantry::ai {

using TokenId = std::uint32_t;

/// The token at the beginning of every file; it is also the first token of the corpus.
inline constexpr TokenId kFileStart = 0;

/// The distinct tokens, numbered in order of appearance. Id 0 is kFileStart, with an empty text.
class Vocabulary {
 public:
  Vocabulary();
  [[nodiscard]] TokenId intern(std::string_view text);
  [[nodiscard]] std::optional<TokenId> find(std::string_view text) const;
  [[nodiscard]] std::string_view text(TokenId id) const {
    return std::string_view(bytes_).substr(offsets_[id], offsets_[id + 1] - offsets_[id]);
  }
  [[nodiscard]] std::size_t size() const { return offsets_.size() - 1; }

 private:
  [[nodiscard]] std::size_t slot(std::string_view text) const;
  void grow();
  std::string bytes_;
  std::vector<std::uint32_t> offsets_;
  std::vector<TokenId> table_;  // open addressing; 0: free
};

/// The tokens of files, one after the other.
struct Corpus {
  Corpus() : tokens{kFileStart}, gaps{0} {}
  /// Appends one file. False: the file would exceed `max_tokens` and was left out as a whole.
  [[nodiscard]] bool add_file(std::string_view text, std::size_t max_tokens);

  Vocabulary vocabulary;
  std::vector<TokenId> tokens;
  std::vector<std::int8_t> gaps;
  std::size_t files = 0;
};

class SuffixModel {
 public:
  static constexpr std::size_t kMaxContext = 32;

  /// A range of positions with the same context.
  struct Range {
    std::size_t begin = 0;
    std::size_t end = 0;
    [[nodiscard]] std::size_t size() const { return end - begin; }
  };

  /// Null when `stop` became true meanwhile.
  [[nodiscard]] static std::shared_ptr<const SuffixModel> build(Corpus corpus, const std::atomic<bool>& stop);

  [[nodiscard]] const Vocabulary& vocabulary() const { return corpus_.vocabulary; }
  [[nodiscard]] std::size_t tokens() const { return corpus_.tokens.size(); }
  [[nodiscard]] std::size_t files() const { return corpus_.files; }
  /// The number of occurrences of a token.
  [[nodiscard]] std::size_t count(TokenId id) const { return buckets_[id + 1] - buckets_[id]; }

  /// The positions behind the token `last`.
  [[nodiscard]] Range after(TokenId last) const;
  /// The part of `range`, whose contexts agree in `depth` tokens, where the token before those is
  /// `earlier`.
  [[nodiscard]] Range narrow(Range range, std::size_t depth, TokenId earlier) const;

  struct Follower {
    TokenId id;
    std::int8_t gap;
  };
  /// The token that follows at the index-th position of the sorted contexts.
  [[nodiscard]] Follower follower(std::size_t index) const {
    const std::uint32_t at = sorted_[index];
    return Follower{corpus_.tokens[at], corpus_.gaps[at]};
  }

  /// The ids whose text begins with `start`, sorted by text.
  [[nodiscard]] std::pair<const TokenId*, const TokenId*> starting_with(std::string_view start) const;

 private:
  explicit SuffixModel(Corpus corpus) : corpus_(std::move(corpus)) {}
  [[nodiscard]] bool sort(const std::atomic<bool>& stop);
  [[nodiscard]] TokenId before(std::uint32_t at, std::size_t distance) const {
    return at >= distance ? corpus_.tokens[at - distance] : kFileStart;
  }

  Corpus corpus_;
  std::vector<std::uint32_t> sorted_;
  std::vector<std::uint32_t> buckets_;  // for each id, where the contexts that end in it begin
  std::vector<TokenId> by_text_;
};

}  // namespace gantry::ai
