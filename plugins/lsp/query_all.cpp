// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/query_all.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace gantry::lsp {

namespace {

constexpr std::array<std::string_view, 3> kFromWorst{"timeout", "stale", "fresh"};

[[nodiscard]] std::size_t rank_of(const json& answer) {
  const std::string freshness = answer.value("freshness", "timeout");
  const auto at = std::ranges::find(kFromWorst, freshness);
  return at == kFromWorst.end() ? 0 : static_cast<std::size_t>(at - kFromWorst.begin());
}

}  // namespace

QueryAll::QueryAll(std::shared_ptr<Context> context, std::shared_ptr<Registry> registry, std::vector<Query::Ask> asks,
                   Done done)
    : context_(std::move(context)),
      registry_(std::move(registry)),
      asks_(std::move(asks)),
      done_(std::move(done)),
      answers_(asks_.size(), fail(ErrorKind::cancelled, "cancelled")),
      left_(asks_.size()) {}

void QueryAll::begin() {
  std::vector<std::shared_ptr<Query>> queries;
  for (std::size_t i = 0; i < asks_.size(); ++i) {
    queries.push_back(std::make_shared<Query>(
        context_, registry_, std::move(asks_[i]),
        [self = shared_from_this(), i](Result<std::string> answer) { self->answered(i, std::move(answer)); }));
  }
  bool cancelled = false;
  {
    Lock lock(mutex_);
    queries_.assign(queries.begin(), queries.end());
    cancelled = cancelled_;
  }
  for (const auto& query : queries) cancelled ? query->cancel() : query->begin();
}

void QueryAll::cancel() {
  std::vector<std::weak_ptr<Query>> queries;
  {
    Lock lock(mutex_);
    cancelled_ = true;
    queries = queries_;
  }
  for (const auto& each : queries) {
    if (const auto query = each.lock()) query->cancel();
  }
}

void QueryAll::answered(std::size_t which, Result<std::string> answer) {
  Answers all;
  {
    Lock lock(mutex_);
    answers_[which] = std::move(answer);
    if (--left_ > 0) return;
    all = std::move(answers_);
  }
  done_(std::move(all));
}

Result<std::vector<Query::Ask>> asks_about(const Settings& settings, const std::string& path,
                                           const std::optional<std::string>& language) {
  auto first = ask_about(settings, path, language);
  if (!first) return std::unexpected(first.error());
  std::vector<Query::Ask> out{*first};
  for (const auto* const server : settings.at(path).together_for(first->language)) {
    if (server->name == first->server.name) continue;
    out.push_back(*first);
    out.back().server = *server;
  }
  return out;
}

Result<json> merged_diagnostics(const std::vector<std::string>& servers, const QueryAll::Answers& answers) {
  json out, failed = json::array();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto one = answers[i] ? parse_json(*answers[i]) : Result<json>(std::unexpected(answers[i].error()));
    if (!one || !one->is_object()) {
      failed.push_back({{"server", servers[i]}, {"message", one ? "sent malformed JSON" : one.error().message}});
    } else if (out.is_null()) {
      out = *one;
    } else {
      if (rank_of(*one) < rank_of(out)) out["freshness"] = kFromWorst[rank_of(*one)];
      for (auto& each : one->value("diagnostics", json::array())) out["diagnostics"].push_back(std::move(each));
    }
  }
  if (out.is_null()) return std::unexpected(answers.front().error());
  if (failed.empty()) return out;
  if (rank_of(out) > 1) out["freshness"] = "stale";  // what is missing may be an error
  out["failed"] = std::move(failed);
  return out;
}

}  // namespace gantry::lsp
