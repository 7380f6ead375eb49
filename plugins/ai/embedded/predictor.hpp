// SPDX-License-Identifier: Apache-2.0
//
// embedded/predictor.hpp: predicts the text that comes next, token by token, with a probability.
//
// Two sources are asked at every context length k, shortest first: the workspace's SuffixModel and
//   the text around the cursor itself. Each length refines the one before it (interpolated
//   Witten-Bell back-off):
//
//   P_k(w) = l * c_k(w) / n_k + (1 - l) * P_{k-1}(w)      l = n_k / (n_k + distinct followers + 1)
//
// so that a long context outweighs a short one the more often it was seen, and at equal length the
// open file outweighs the workspace. When the cursor is behind an unfinished word, only tokens that
// begin with it are candidates, and the words of the vocabulary are used when no context matches.
//
// The prediction is greedy and deterministic: the same text and model give the same tokens. The
//   confidence is the product of the probabilities of all tokens so far. Nothing is invented:
//   without a context that was seen there is no token.
//
// Thread rule: one thread.
// Bounds: the last kMaxPrefix bytes of the prefix and the first kMaxSuffix of the suffix are read;
//   a context has at most SuffixModel::kMaxContext tokens; kSample places of each length are looked
//   at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "plugins/ai/embedded/suffix_model.hpp"

namespace gantry::ai {

struct PredictOptions {
  std::size_t max_tokens = 64;
  bool one_line = true;     ///< stop before the line end that follows the first visible token
  double min_joint = 0.15;  ///< after the first visible token: stop before the confidence falls below this
  double min_token = 0.05;  ///< likewise for the probability of one token
};

/// The text around the cursor as tokens, with the model's ids for those that the model knows.
class LocalText {
 public:
  static constexpr TokenId kBreak = 0xFFFF'FFFF;

  explicit LocalText(const Vocabulary* words) : words_(words) {}
  [[nodiscard]] TokenId id(std::string_view text);
  [[nodiscard]] std::string_view text(TokenId id) const;
  void append(TokenId id, std::int8_t gap);

  struct Uses {
    std::int32_t last = -1;
    std::uint32_t count = 0;
  };
  std::vector<TokenId> ids;
  std::vector<std::int8_t> gaps;
  std::vector<std::int32_t> previous;  ///< the position where the same token occurred before; -1: none
  std::unordered_map<TokenId, Uses> uses;

 private:
  static constexpr TokenId kOwn = 0x8000'0000;
  const Vocabulary* words_;
  Vocabulary own_;
};

class Predictor {
 public:
  static constexpr std::size_t kMaxPrefix = 32 * 1024;
  static constexpr std::size_t kMaxSuffix = 8 * 1024;
  static constexpr std::size_t kSample = 128;

  /// `model` may be null: then the prediction uses only the text itself.
  Predictor(std::shared_ptr<const SuffixModel> model, std::string_view prefix, std::string_view suffix,
            PredictOptions options);

  /// The next piece of text; it may be empty. No value: finished.
  [[nodiscard]] std::optional<std::string> next();

  /// The joint probability of the produced text; 0 when there is none.
  [[nodiscard]] double confidence() const { return visible_ ? joint_ : 0.0; }
  /// The number of tokens produced.
  [[nodiscard]] std::size_t produced() const { return produced_; }
  /// The number of tokens of the prefix that were read.
  [[nodiscard]] std::size_t read() const { return read_; }
  /// True: max_tokens ended the prediction.
  [[nodiscard]] bool cut_by_length() const { return cut_by_length_; }

 private:
  struct Candidate {
    TokenId id = 0;
    double p = 0;
    std::uint32_t count = 0;  // at the level counted last
    int level = -1;
    std::int8_t gap = 0;  // the most frequent one at the longest context, by majority vote
    std::int32_t votes = 0;
  };
  struct Match {
    std::size_t length;
    SuffixModel::Follower follower;
  };

  void read_prefix(std::string_view prefix);
  void read_suffix(std::string_view suffix);
  [[nodiscard]] std::optional<Candidate> predict();
  [[nodiscard]] std::optional<Candidate> predict_rest_of_word();
  void interpolate();
  [[nodiscard]] std::vector<SuffixModel::Range> model_ranges() const;
  [[nodiscard]] std::vector<Match> local_matches() const;
  void tally(const SuffixModel::Follower& follower, int level);
  void settle(int level, std::size_t total);
  void add_words(std::string_view start);
  [[nodiscard]] bool must_stop(const Candidate& best, std::string_view text) const;
  [[nodiscard]] std::string render(const Candidate& chosen, std::string_view text);
  [[nodiscard]] std::string padding(int columns) const;
  [[nodiscard]] std::size_t place(TokenId id);

  std::shared_ptr<const SuffixModel> model_;
  PredictOptions options_;
  LocalText local_;
  std::vector<TokenId> context_;  // the tokens of the prefix, then those produced
  std::string partial_;           // the unfinished last token of the prefix
  std::string suffix_first_;      // the first token behind the cursor, if it is on the same line

  std::vector<Candidate> candidates_;
  std::unordered_map<TokenId, std::size_t> places_;
  double residual_ = 1;

  bool line_start_ = true;
  bool tabs_ = false;
  int indent_ = 0;
  int typed_ = 0;  // columns of white space before the cursor
  int depth_ = 0;  // number of brackets that the produced text has opened
  double joint_ = 1;
  bool visible_ = false;
  bool finished_ = false;
  bool cut_by_length_ = false;
  std::size_t produced_ = 0;
  std::size_t read_ = 0;
};

}  // namespace gantry::ai
