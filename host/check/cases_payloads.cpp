// SPDX-License-Identifier: Apache-2.0
//
// What no host lets through, or no plugin knows. A plugin that reads what it is given refuses it; whatever it answers,
// it answers.
#include <functional>

#include "host/check/drive.hpp"
#include "host/sandbox/confine.hpp"

namespace gantry::host::check {

namespace {

constexpr auto kEnough = std::chrono::seconds(5);
/// For a handler that reads it all.
constexpr auto kReading = std::chrono::seconds(20);
/// More than the max_message_bytes of a host by default, and deeper than its largest max_json_depth. A plugin with a
/// sanitizer, as this build, reads a hundred times slower: it gets less.
constexpr std::size_t kOversized = ((kSanitized ? std::size_t{2} : std::size_t{16}) << 20) + 1;
constexpr std::size_t kDeep = 800;

[[nodiscard]] Outcome check_params(Subject& s, const std::vector<std::function<std::string(const std::string&)>>& spoil,
                                   const std::string& how) {
  return with_plugin(s, {}, [&](Drive& drive) {
    const auto until = std::chrono::steady_clock::now() + kEnough;
    std::size_t calls = 0;
    std::size_t methods = 0;
    for (const auto& [name, method] : s.manifest.methods) {
      if (std::chrono::steady_clock::now() > until) break;
      ++methods;
      const std::string params = dump_json(drive.values().params(method.params, Wish::some));
      for (const auto& change : spoil) {
        const auto id = drive.call(name, change(params));
        ++calls;
        (void)drive.host().settle(kReading);
        (void)drive.finish(id);
        if (drive.host().seen(id).cancelled) break;
      }
    }
    drive.end_calls(kReading);
    return drive.judge(counted(calls, methods) + " with " + how, {Fault::unknown_call});
  });
}

[[nodiscard]] std::string deep(char open, char close) {
  std::string out = R"({"deep":)";
  for (std::size_t i = 0; i < kDeep; ++i) out += open == '{' ? R"({"a":)" : "[";
  out += "0";
  out.append(kDeep, close);
  return out + "}";
}

}  // namespace

Outcome check_truncated(Subject& s) {
  return check_params(s,
                      {[](const std::string&) { return std::string(); },
                       [](const std::string& text) { return text.substr(0, text.size() - 1); },
                       [](const std::string& text) { return text.substr(0, text.size() / 2); },
                       [](const std::string&) { return std::string(R"({"a":"\u00)"); }},
                      "params that are cut off");
}

Outcome check_oversized(Subject& s) {
  return check_params(s, {[](const std::string&) { return R"({"large":")" + std::string(kOversized, 'x') + "\"}"; }},
                      std::to_string(kOversized >> 20) + " MiB and more of params");
}

Outcome check_deep(Subject& s) {
  return check_params(
      s, {[](const std::string&) { return deep('[', ']'); }, [](const std::string&) { return deep('{', '}'); }},
      "params " + std::to_string(kDeep) + " deep");
}

Outcome check_non_utf8(Subject& s) {
  return check_params(s,
                      {[](const std::string&) { return std::string("{\"a\":\"\xff\xfe\"}"); },
                       [](const std::string&) { return std::string("{\"\xc3\":1}"); },
                       [](const std::string&) { return std::string("\xed\xa0\x80\0\x01", 5); }},
                      "params that are no UTF-8");
}

Outcome check_unknown_topic(Subject& s) {
  constexpr std::uint64_t kNobodys = 1'000'000;
  return with_plugin(s, {}, [&](Drive& drive) {
    auto& host = drive.host();
    const std::string service = s.manifest.services.empty() ? s.manifest.id : s.manifest.services.front();
    const auto id = drive.call(service + ".a_method_that_is_not_there", "{}");
    (void)drive.finish(id);
    for (const std::uint16_t kind : {GANTRY_CREDIT, GANTRY_ITEM})
      host.say({.kind = kind, .id = kNobodys, .payload = "1", .credit = 1});
    host.say({.kind = GANTRY_RESPONSE, .id = GANTRY_OWN_CALL | 77U, .payload = "null"});
    host.say({.kind = GANTRY_EVENT, .id = 1, .topic = "nobody.has_subscribed.to_this", .payload = "{}"});
    host.say({.kind = GANTRY_GONE, .origin = kNobodys});
    host.say({.kind = 77, .id = kNobodys, .payload = "{}"});
    const auto again = drive.call(service + ".a_method_that_is_not_there", "{}");
    (void)drive.finish(again);
    drive.end_calls();
    Outcome outcome = drive.judge("", {}, {Fault::unknown_call, Fault::answered_twice});
    if (outcome.status != Status::passed) return outcome;
    const auto seen = host.seen(id);
    const std::string expected = "a method that the plugin has not is answered with method_not_found";
    if (seen.status == static_cast<std::int32_t>(ErrorKind::method_not_found))
      return Outcome::passed("method_not_found");
    const std::string happened =
        seen.status == 0 ? "it was answered with a result"
        : seen.refused   ? "`deliver` returned a negative result, which is `internal` to the caller"
                         : "it was answered with " + std::string(kind_name(static_cast<ErrorKind>(seen.status)));
    const std::string advice = "answer calls whose topic is none of the plugin's methods with status -32601";
    return seen.status == 0 ? Outcome::failed(expected, happened, advice) : Outcome::warned(expected, happened, advice);
  });
}

}  // namespace gantry::host::check
