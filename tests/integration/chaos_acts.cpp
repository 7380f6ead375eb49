// SPDX-License-Identifier: Apache-2.0
//
// The kinds of calls. What runs in the host itself is never killed, so it must always succeed; a process may die under
// its calls, and then they fail in the ways that the contract names.
#include <algorithm>
#include <memory>

#include "tests/integration/chaos_client.hpp"

namespace gantry::host::test {

namespace {

using Random = ChaosClient::Random;
using Make = Act (*)(Random&, ChaosShared&);

const std::set<std::string> kDies{"plugin_died", "unavailable", "overloaded"};

[[nodiscard]] int between(Random& random, int least, int most) {
  return std::uniform_int_distribution<int>(least, most)(random);
}
/// Of so many bytes at most, unlike any other.
[[nodiscard]] std::string text(Random& random, int most) {
  std::string out = std::to_string(random()) + "-";
  out.append(static_cast<std::size_t>(between(random, 0, most)), static_cast<char>(between(random, 'a', 'z')));
  return out;
}
[[nodiscard]] std::set<std::string> with(std::set<std::string> some, const std::string& one) {
  some.insert(one);
  return some;
}

/// What it was told comes back.
[[nodiscard]] Act echo(const std::string& kind, const std::string& method, std::string said, bool inside) {
  Act act{.kind = kind, .method = method, .params = {{"text", said}}};
  if (!inside) act.failures = kDies;
  act.right = [said = std::move(said)](const json& result) { return result.value("text", "") == said; };
  return act;
}
[[nodiscard]] json say(const std::string& said, int times) { return {{"text", said}, {"times", times}}; }
[[nodiscard]] std::string repeated(const std::string& said, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += said;
  return out;
}

/// Items with these numbers, from 0 on, each asked for when the one before has come.
[[nodiscard]] Act counting(const std::string& kind, const std::string& method, json params, const char* number, int to,
                           int credit, json expected) {
  Act act{.kind = kind, .method = method, .params = std::move(params)};
  act.params["_meta"]["stream"]["credit"] = credit;
  auto next = std::make_shared<int>(0);
  act.hears = [next, number](ChaosClient& client, int id, const std::string& what, const json& told) {
    if (what != "$/stream") return false;
    if (told.value("end", false)) return true;
    client.credit(id, 1);
    return told["item"].value(number, -1) == (*next)++;
  };
  act.right = [next, to, expected = std::move(expected)](const json& result) {
    return *next == to && result == expected;
  };
  return act;
}

/// Sends items as it may, and gets each back; then ends its direction.
[[nodiscard]] Act echoing(const std::string& kind, const std::string& method, json params, int items,
                          const json& expected) {
  struct State {
    int sent = 0;
    int seen = 0;
    std::int64_t credit = 0;
    bool ended = false;
  };
  Act act{.kind = kind, .method = method, .params = std::move(params), .failures = kDies};
  act.params["_meta"]["stream"]["credit"] = 2;
  auto state = std::make_shared<State>();
  act.hears = [state, items](ChaosClient& client, int id, const std::string& what, const json& told) {
    bool right = true;
    if (what == "$/credit") {
      state->credit += told.value("n", 0);
    } else if (!told.value("end", false)) {
      right = told["item"].value("i", -1) == state->seen++;
      client.credit(id, 1);
    }
    for (; state->credit > 0 && state->sent < items; --state->credit) client.item(id, {{"i", state->sent++}});
    if (state->sent == items && !std::exchange(state->ended, true)) client.end(id);
    return right;
  };
  act.right = [state, items, expected](const json& result) { return state->seen == items && result == expected; };
  return act;
}

// ---- in the host ------------------------------------------------------------------------------------------------

Act inline_call(Random& random, ChaosShared&) { return echo("echo inline", "echo.say", text(random, 300), true); }
Act inline_large(Random& random, ChaosShared&) {
  return echo("echo inline, large", "echo.say", text(random, 400'000), true);
}
Act inline_stream(Random& random, ChaosShared&) {
  const int to = between(random, 0, 12);
  return counting("stream inline", "slow_stream.run", {{"items", to}, {"every_ms", between(random, 0, 3)}}, "i", to,
                  between(random, 1, 4), {{"counted", to}});
}
Act inline_coroutine(Random& random, ChaosShared&) {
  const int to = between(random, 0, 12);
  return counting("stream of a coroutine inline", "resumed.counts", {{"n", to}}, "n", to, between(random, 1, 4),
                  {{"n", to}});
}
Act inline_cancel(Random& random, ChaosShared&) {
  return {.kind = "cancel inline",
          .method = "resumed.sleeps",
          .params = {{"n", 3'600'000}},
          .failures = {"cancelled"},
          .cancel_after = between(random, 0, 5)};
}
Act inline_timeout(Random& random, ChaosShared&) {
  return {.kind = "time-out inline",
          .method = "resumed.sleeps",
          .params = {{"n", 3'600'000}, {"_meta", {{"timeout_ms", between(random, 0, 50)}}}},
          .failures = {"timeout"}};
}
Act inline_to_child(Random&, ChaosShared&) {
  Act act{
      .kind = "inline calls child", .method = "resumed.asks", .params = {{"method", "typed.say"}}, .failures = kDies};
  act.right = [](const json& result) { return result == json{{"said", "asked"}}; };
  return act;
}
Act host_itself(Random&, ChaosShared&) {
  Act act{.kind = "host", .method = "host.status"};
  act.right = [](const json& result) { return result.value("ready", false); };
  return act;
}

// ---- in processes -----------------------------------------------------------------------------------------------

Act idempotent(Random& random, ChaosShared&) {
  const auto said = text(random, 200);
  const int times = between(random, 1, 10);
  Act act{.kind = "idempotent", .method = "typed.say", .params = say(said, times), .failures = kDies};
  act.right = [said, times](const json& result) { return result.value("said", "") == repeated(said, times); };
  return act;
}
Act once(Random& random, ChaosShared&) { return echo("echo", "plain.echo", text(random, 300), false); }
Act large(Random& random, ChaosShared&) { return echo("echo, large", "plain.echo", text(random, 400'000), false); }
Act pooled_stream(Random& random, ChaosShared&) {
  const int to = between(random, 0, 20);
  Act act = counting("stream from a pool", "typed.pooled_count", {{"to", to}}, "n", to, between(random, 1, 6),
                     {{"said", "done"}});
  act.failures = kDies;
  return act;
}
Act both_ways(Random& random, ChaosShared&) {
  const int items = between(random, 1, 12);
  return echoing("stream both ways", "faulty.echo_stream", {{"grant", between(random, 1, 5)}}, items,
                 {{"seen", items}});
}
Act cancel(Random& random, ChaosShared&) {
  return {.kind = "cancel",
          .method = "faulty.never",
          .failures = with(kDies, "cancelled"),
          .cancel_after = between(random, 0, 5)};
}
Act timeout(Random& random, ChaosShared&) {
  return {.kind = "time-out",
          .method = "faulty.never",
          .params = {{"_meta", {{"timeout_ms", between(random, 0, 50)}}}},
          .failures = with(kDies, "timeout")};
}
Act child_to_child(Random& random, ChaosShared&) {
  const auto said = text(random, 200);
  Act act{.kind = "child calls child",
          .method = "lsp_shaped.relay",
          .params = {{"method", "typed.say"}, {"params", say(said, 1)}},
          .failures = kDies};
  act.right = [said](const json& result) { return result == json{{"relayed", {{"said", said}}}}; };
  return act;
}
Act child_to_inline(Random& random, ChaosShared&) {
  const auto said = text(random, 200);
  Act act{.kind = "child calls inline",
          .method = "lsp_shaped.relay",
          .params = {{"method", "echo.say"}, {"params", {{"text", said}}}},
          .failures = kDies};
  act.right = [said](const json& result) { return result == json{{"relayed", {{"text", said}}}}; };
  return act;
}
Act child_to_client(Random& random, ChaosShared&) {
  const auto said = text(random, 200);
  Act act{.kind = "child calls client",
          .method = "lsp_shaped.ask",
          .params = {{"method", "chaos.tell"}, {"params", {{"text", said}}}},
          .failures = kDies};
  act.right = [said](const json& result) { return result == json{{"relayed", {{"told", {{"text", said}}}}}}; };
  return act;
}
Act tunnel(Random& random, ChaosShared&) {
  const int items = between(random, 1, 8);
  return echoing("stream through two children", "lsp_shaped.tunnel",
                 {{"method", "faulty.echo_stream"}, {"params", {{"grant", 2}}}, {"credit", 2}}, items,
                 {{"tunnelled", {{"seen", items}}}});
}
// What was acknowledged is there, whoever was killed meanwhile.
Act ledger(Random&, ChaosShared& shared) {
  Act act{.kind = "ledger", .method = "ledger.add", .params = {{"n", 1}}, .failures = kDies};
  ++shared.ledger_tried;
  const auto before = shared.ledger_acknowledged.load();
  act.right = [&shared, before](const json& result) {
    ++shared.ledger_acknowledged;
    const auto entries = result.value("entries", std::int64_t{0});
    return entries > before && entries <= shared.ledger_tried && result["sum"] == entries;
  };
  return act;
}
Act swapped(Random&, ChaosShared&) {
  Act act{.kind = "reloaded", .method = "swap.build", .failures = kDies};
  act.right = [](const json& result) { return result.value("build", 0) == 1 || result.value("build", 0) == 2; };
  return act;
}
Act needs_another(Random&, ChaosShared&) {
  Act act{.kind = "needs another", .method = "middle.pid", .failures = kDies};
  act.right = [](const json& result) { return result.value("pid", 0) > 0; };
  return act;
}
Act configured(Random&, ChaosShared&) {
  Act act{.kind = "configured", .method = "typed.ending", .failures = kDies};
  act.right = [](const json& result) {
    return std::ranges::find(kEndings, result.value("said", "")) != kEndings.end();
  };
  return act;
}

struct Kind {
  Make make;
  int weight;
};
constexpr Kind kKinds[] = {
    {inline_call, 10},   {inline_large, 1},    {inline_stream, 4},   {inline_coroutine, 4}, {inline_cancel, 4},
    {inline_timeout, 2}, {inline_to_child, 4}, {host_itself, 2},     {idempotent, 10},      {once, 10},
    {large, 1},          {pooled_stream, 4},   {both_ways, 4},       {cancel, 4},           {timeout, 2},
    {child_to_child, 4}, {child_to_inline, 4}, {child_to_client, 4}, {tunnel, 3},           {ledger, 2},
    {swapped, 8},        {needs_another, 3},   {configured, 3},
};

}  // namespace

Act any_act(Random& random, ChaosShared& shared) {
  int total = 0;
  for (const auto& kind : kKinds) total += kind.weight;
  int drawn = between(random, 1, total);
  for (const auto& kind : kKinds) {
    drawn -= kind.weight;
    if (drawn <= 0) return kind.make(random, shared);
  }
  return host_itself(random, shared);
}

std::vector<Act> one_of_each(Random& random, ChaosShared& shared) {
  std::vector<Act> out;
  for (const auto& kind : kKinds) out.push_back(kind.make(random, shared));
  return out;
}

}  // namespace gantry::host::test
