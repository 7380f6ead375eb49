// SPDX-License-Identifier: Apache-2.0
#include "host/check/drive.hpp"

#include <algorithm>
#include <utility>

namespace gantry::host::check {

namespace {

constexpr std::uint32_t kCredit = 4;
constexpr std::uint64_t kMostItems = 64;

/// What a fault breaks, and how to mend it.
struct Law {
  const char* rule;
  const char* advice;
};
[[nodiscard]] Law law_of(Fault fault) {
  switch (fault) {
    case Fault::exception:
      return {"no exception crosses the boundary",
              "catch what a handler throws and answer `internal`; none may leave a function of the C boundary"};
    case Fault::answered_twice:
    case Fault::answered_late:
      return {"each call is answered once", "send one RESPONSE for each call; forget the call when it is answered"};
    case Fault::unknown_call:
      return {"only calls that were made are answered", "answer with the id that came with the call"};
    case Fault::bad_answer:
      return {"an answer is valid JSON with a status of the contract",
              "answer with JSON in UTF-8, and with 0 or a code of the contract as status"};
    case Fault::malformed:
      return {"messages are as gantry/abi.h has them",
              "set `size` to sizeof(gantry_msg) of the header that it is built with"};
    case Fault::too_early:
      return {"the host is not used before `start`", "call nothing of the host but `extension` before `start`"};
    case Fault::too_late:
      return {"the host is not used after `destroy` has returned",
              "join the plugin's threads in `destroy`, and let nothing of it run after"};
  }
  return {"", ""};
}

}  // namespace

std::string counted(std::size_t calls, std::size_t methods) {
  return std::to_string(calls) + (calls == 1 ? " call of " : " calls of ") + std::to_string(methods) +
         (methods == 1 ? " method" : " methods");
}

Drive::Drive(Subject& subject, HostOptions options, std::string name)
    : subject_(subject),
      name_(std::move(name)),
      host_(*subject.entry, subject.report, options),
      values_(subject.seed) {}

std::optional<Outcome> Drive::begin() {
  if (!host_.create())
    return Outcome::failed("`create` returns an object", "it returned nothing, or did not return within 5 s",
                           "create only allocates the object; what may fail or take time belongs into `start`");
  const auto started = host_.start(subject_.config(name_), kLongTimeout);
  if (!started)
    return Outcome::failed("`start` returns", "it did not within 20 s",
                           "leave what takes long to the plugin's threads");
  if (*started != 0) {
    const std::string why = host_.last_error();
    return Outcome::failed(
        "it starts with an empty state_dir, no workspace and the least settings that its schema allows",
        "`start` returned " + std::to_string(*started) + (why.empty() ? "" : ": " + why),
        "start without what is missing and answer calls with `unavailable`, or say in the settings' "
        "schema what is required");
  }
  return std::nullopt;
}

std::uint64_t Drive::call(const std::string& method, std::string params, std::int64_t budget_ns) {
  const auto id = host_.next_id();
  host_.say({.kind = GANTRY_CALL, .id = id, .topic = method, .payload = std::move(params), .budget_ns = budget_ns});
  return id;
}

std::uint64_t Drive::open_stream(const std::string& method, std::string params, std::uint32_t credit) {
  const auto id = host_.next_id();
  host_.say({.kind = GANTRY_CALL,
             .id = id,
             .topic = method,
             .payload = std::move(params),
             .flags = GANTRY_STREAM,
             .credit = credit});
  return id;
}

void Drive::cancel(std::uint64_t id) { host_.say({.kind = GANTRY_CANCEL, .id = id}); }

bool Drive::finish(std::uint64_t id, Duration timeout) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  const auto remaining = [&] { return until - std::chrono::steady_clock::now(); };
  while (host_.wait_for_need(id, remaining())) {
    const auto seen = host_.seen(id);
    if (seen.answered) return true;
    if (!seen.stream || seen.items >= kMostItems) break;
    host_.say({.kind = GANTRY_CREDIT, .id = id, .credit = kCredit});
  }
  if (host_.wait_for(id, remaining())) return true;
  cancel(id);
  return host_.wait_for(id, timeout);
}

std::size_t Drive::call_each(Wish wish) {
  std::size_t calls = 0;
  for (const auto& [name, method] : subject_.manifest.methods) {
    ++calls;
    (void)finish(call(name, dump_json(values_.params(method.params, wish))));
    if (!method.stream) continue;
    ++calls;
    (void)finish(open_stream(name, dump_json(values_.params(method.params, wish)), 1));
  }
  return calls;
}

void Drive::end_calls(Duration grace) {
  for (const auto id : host_.open()) {
    if (!host_.seen(id).cancelled) cancel(id);
  }
  (void)host_.wait_for_all(grace);
}

void Drive::free_thread() {
  if (host_.settle(kTimeout)) return;
  for (const auto id : host_.open()) cancel(id);
}

bool Drive::end() {
  const auto stopped = host_.stop(std::chrono::seconds(1), kLongTimeout);
  return stopped.returned && host_.destroy(kLongTimeout);
}

std::optional<Outcome> Drive::judge_unanswered() const {
  std::vector<std::string> methods;
  for (const auto& call : host_.all()) {
    if (!call.answered && std::find(methods.begin(), methods.end(), call.method) == methods.end())
      methods.push_back(call.method);
  }
  if (methods.empty()) return std::nullopt;
  std::string which = methods.front();
  for (std::size_t i = 1; i < std::min<std::size_t>(methods.size(), 3); ++i) which += ", " + methods[i];
  if (methods.size() > 3) which += " and " + std::to_string(methods.size() - 3) + " more";
  auto outcome = Outcome::failed("each call is answered, at the latest when it was cancelled",
                                 "no answer to " + which + ", though it was cancelled and waited for",
                                 "answer a cancelled call as well: with what there is, or with `cancelled`");
  outcome.defective = std::move(methods);
  return outcome;
}

Outcome Drive::judge(std::string note, std::initializer_list<Fault> fatal,
                     std::initializer_list<Fault> tolerated) const {
  const auto faults = host_.faults();
  const auto first_of = [&](const std::vector<Fault>& kinds) {
    return std::find_if(faults.begin(), faults.end(), [&](const FaultSeen& seen) {
      return std::find(kinds.begin(), kinds.end(), seen.fault) != kinds.end();
    });
  };
  std::vector<Fault> worst{Fault::exception};
  worst.insert(worst.end(), fatal);
  if (const auto it = first_of(worst); it != faults.end())
    return Outcome::failed(law_of(it->fault).rule, it->what, law_of(it->fault).advice);
  if (auto unanswered = judge_unanswered()) return *unanswered;
  if (const auto it = first_of(tolerated); it != faults.end())
    return Outcome::warned(law_of(it->fault).rule, it->what + "; the host drops it", law_of(it->fault).advice);
  return Outcome::passed(std::move(note));
}

Outcome with_plugin(Subject& subject, HostOptions options, const std::function<Outcome(Drive&)>& body) {
  Drive drive(subject, options);
  if (auto wrong = drive.begin()) return *wrong;
  Outcome outcome = body(drive);
  if (!is_failure(outcome.status)) (void)drive.end();
  return outcome;
}

}  // namespace gantry::host::check
