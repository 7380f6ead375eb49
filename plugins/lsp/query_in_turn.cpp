// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/query_in_turn.hpp"

#include <string_view>
#include <utility>

namespace gantry::lsp {

namespace {

// null, [] or {}, with white space anywhere.
[[nodiscard]] bool says_nothing(std::string_view raw) {
  std::string text;
  for (const char byte : raw) {
    if (byte != ' ' && byte != '\t' && byte != '\n' && byte != '\r') text += byte;
    if (text.size() > 4) return false;
  }
  return text == "null" || text == "[]" || text == "{}";
}

}  // namespace

QueryInTurn::QueryInTurn(std::shared_ptr<Context> context, std::shared_ptr<Registry> registry,
                         std::vector<Query::Ask> asks, First wanted, Done done)
    : context_(std::move(context)),
      registry_(std::move(registry)),
      wanted_(wanted),
      asks_(std::move(asks)),
      done_(std::move(done)) {}

void QueryInTurn::ask_next() {
  const auto query = std::make_shared<Query>(
      context_, registry_, std::move(asks_[next_++]),
      [self = shared_from_this()](Result<std::string> answer) { self->answered(std::move(answer)); });
  bool cancelled = false;
  {
    Lock lock(mutex_);
    query_ = query;
    cancelled = cancelled_;
  }
  cancelled ? query->cancel() : query->begin();
}

void QueryInTurn::cancel() {
  std::shared_ptr<Query> query;
  {
    Lock lock(mutex_);
    cancelled_ = true;
    query = query_.lock();
  }
  if (query) query->cancel();
}

void QueryInTurn::answered(Result<std::string> answer) {
  if (answer && (wanted_ == First::answers || !says_nothing(*answer))) return done_(std::move(answer));
  if (!nothing_ || (!*nothing_ && answer)) nothing_ = std::move(answer);
  if (next_ == asks_.size()) return done_(std::move(*nothing_));
  ask_next();
}

}  // namespace gantry::lsp
