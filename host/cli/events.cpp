// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/paths.hpp"

namespace gantry::host {

namespace {

void print_event(const json& event, bool as_json) {
  if (as_json) {
    std::printf("%s\n", dump_json(event).c_str());
  } else if (event.contains("end")) {
    std::fprintf(stderr, "gantry: %s\n", shown(std::string_view(dump_json(event["end"]))).c_str());
    std::exit(1);
  } else if (event.contains("topic")) {  // else it says how far the log is
    std::printf("%llu %s %s\n", static_cast<unsigned long long>(event.value("seq", 0ULL)),
                event.value("topic", "").c_str(), dump_json(event.value("payload", json())).c_str());
  }
  if (!output_is_written()) std::exit(1);
}

int print_dead(Client& client, bool as_json) {
  const auto letters = client.call("events.dead", json::object(), std::chrono::seconds(10));
  if (!letters) return complain(letters.error());
  const json items = letters->value("items", json::array());
  for (const auto& letter : items) {
    if (as_json) {
      std::printf("%s\n", dump_json(letter).c_str());
    } else {
      const auto text = [&](const char* member) { return shown(std::string_view(letter.value(member, ""))); };
      std::printf("%llu %s: %s failed %lld times: %s\n    %s\n",
                  static_cast<unsigned long long>(letter.value("seq", 0ULL)), text("topic").c_str(),
                  text("subscriber").c_str(), static_cast<long long>(letter.value("attempts", 0LL)),
                  text("error").c_str(), text("payload").c_str());
    }
  }
  const auto older = letters->value("total", 0ULL) - items.size();
  if (older != 0)
    std::fprintf(stderr, "gantry: %llu older ones are not kept\n", static_cast<unsigned long long>(older));
  return 0;
}

}  // namespace

int events(const Common& common, const EventsArgs& args) {
  for (const auto& words : {args.patterns, std::vector{args.since}}) {
    if (auto ok = check_utf8(words); !ok) return complain(ok.error());
  }
  const bool of_state = !args.scopes.empty();
  json params{{"topics", args.patterns.empty() ? std::vector<std::string>{"**"} : args.patterns}};
  if (of_state) params = {{"scopes", args.scopes}};
  if (!args.since.empty()) {
    const auto colon = args.since.find(':');
    char* end = nullptr;
    const auto seq = colon == std::string::npos ? 0 : std::strtoull(args.since.c_str() + colon + 1, &end, 10);
    if (colon == std::string::npos || end == args.since.c_str() + colon + 1 || *end != '\0') {
      std::fprintf(stderr, "gantry: --since must be EPOCH:SEQ, not %s\n", args.since.c_str());
      return 2;
    }
    const std::string epoch = args.since.substr(0, colon);
    params["since"] = of_state ? json{{"epoch", epoch}, {"seq", seq}} : json{{epoch, seq}};
  }
  auto options = connect_options(common, "gantry events");
  if (args.dead) options.may_start = false;
  auto connected = connect_or_start(options);
  if (!connected) return complain(connected.error());
  print_notes(connected->notes);
  Client& client = connected->client;
  if (args.dead) return print_dead(client, args.as_json);
  const auto on_notification = [&](const std::string& method, const json& p) {
    if (method == "$/event") print_event(p, args.as_json);
  };
  constexpr auto kTimeout = std::chrono::seconds(60);  // a plugin may have to start first
  const auto subscribed =
      client.call(of_state ? "state.subscribe" : "events.subscribe", params, kTimeout, on_notification);
  if (!subscribed) return complain(subscribed.error());
  for (const auto& [epoch, why] : subscribed->value("gaps", json::object()).items())
    std::fprintf(stderr, "gantry: cannot go on in log %s: %s\n", epoch.c_str(), why.get<std::string>().c_str());
  if (const auto reason = subscribed->find("reason"); reason != subscribed->end())
    std::fprintf(stderr, "gantry: the log does not go on from there (%s); this is what there is now\n",
                 shown(std::string_view(dump_json(*reason))).c_str());
  while (true) {
    const auto message = client.receive(std::chrono::milliseconds(-1));
    if (!message) return complain(message.error());
    if (message->contains("method"))
      on_notification(message->value("method", ""), message->value("params", json::object()));
  }
}

}  // namespace gantry::host
