// SPDX-License-Identifier: Apache-2.0
//
// A plugin with one fault fails the case that is about it, with the reason, and no other.
#include <deque>

#include "tests/integration/plugin_check.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

/// The cases that take no time. What is left out, each of its own case's test runs.
const std::vector<std::string> kQuick{"exports",
                                      "unique_symbols",
                                      "libstdcxx",
                                      "loads",
                                      "manifest",
                                      "start",
                                      "answers_once",
                                      "bare_host",
                                      "double_create",
                                      "unknown_topic",
                                      "truncated_payloads",
                                      "deep_payloads",
                                      "non_utf8_payloads",
                                      "other_threads",
                                      "cancel_before_reply",
                                      "cancel_after_reply",
                                      "deadline",
                                      "exceptions",
                                      "stop",
                                      "threads",
                                      "descriptors"};

/// The plugin that has this fault.
fs::path with_fault(const Sandbox& box, const std::string& fault, const std::string& build = "check_bad") {
  const fs::path library = box.work() / (fault + ".so");
  fs::copy_file(kTestPlugins / "bad" / (build + ".so"), library);
  fs::copy_file(kTestPlugins / "bad" / (build + ".json"), box.work() / (fault + ".json"));
  return library;
}

void fails_alone(Checking running, const std::string& name, const std::string& status, const std::string& happened) {
  const auto checked = running.wait();
  INFO(checked.document.dump(1));
  REQUIRE(checked.code == 1);
  REQUIRE(checked.failed() == std::vector<std::string>{name});
  const auto one = checked.of(name);
  REQUIRE(one["status"] == status);
  REQUIRE(one["happened"].get<std::string>().find(happened) != std::string::npos);
  REQUIRE_FALSE(one["expected"].get<std::string>().empty());
  REQUIRE_FALSE(one["advice"].get<std::string>().empty());
}

/// The quick cases and the one of that name.
Checking start(Sandbox& box, const fs::path& library, const std::string& name) {
  auto cases = kQuick;
  if (std::find(cases.begin(), cases.end(), name) == cases.end()) cases.push_back(name);
  return Checking(box, library, cases);
}

void fails_alone(Sandbox& box, const fs::path& library, const std::string& name, const std::string& status,
                 const std::string& happened) {
  fails_alone(start(box, library, name), name, status, happened);
}

struct Fault {
  const char* fault;
  const char* name;
  const char* status;
  const char* happened;
};
/// Plugins that have one fault each, checked at the same time.
void fail_alone(const std::vector<Fault>& faults) {
  std::deque<Sandbox> boxes;
  std::vector<Checking> running;
  for (const auto& one : faults) {
    auto& box = boxes.emplace_back();
    running.push_back(start(box, with_fault(box, one.fault), one.name));
  }
  for (std::size_t i = 0; i < faults.size(); ++i) {
    CAPTURE(faults[i].fault);
    fails_alone(running[i], faults[i].name, faults[i].status, faults[i].happened);
  }
}
void fails_alone(const char* fault, const char* name, const char* status, const char* happened) {
  fail_alone({{fault, name, status, happened}});
}

}  // namespace

TEST_CASE("check: a plugin that exports more than its entry fails exports alone") {
  Sandbox box;
  fails_alone(box, with_fault(box, "a", "check_bad_exports"), "exports", "failed", "also exported: one_more_symbol");
}

TEST_CASE("check: a plugin with a unique symbol fails unique_symbols alone") {
  Sandbox box;
  fails_alone(box, with_fault(box, "a", "check_bad_unique"), "unique_symbols", "failed", "1: swap_only_one");
}

TEST_CASE("check: a plugin with a C++ library of its own fails libstdcxx alone") {
  Sandbox box;
  fails_alone(box, with_fault(box, "a", "check_bad_static"), "libstdcxx", "failed", "it is linked into the plugin");
}

TEST_CASE("check: a plugin for another boundary fails loads alone, and what needs it loaded is skipped") {
  Sandbox box;
  const auto checked = check(box, kTestPlugins / "bad" / "other_magic.so", {"loads", "manifest", "stop"});
  REQUIRE(checked.failed() == std::vector<std::string>{"loads"});
  REQUIRE(checked.of("loads")["happened"].get<std::string>().find("another magic number") != std::string::npos);
  REQUIRE(checked.status("manifest") == "skipped");
  REQUIRE(checked.of("stop")["note"] == "it does not load: see `loads`");
}

TEST_CASE("check: a plugin that never comes back, or leaves calls open, fails the one case that waits in vain") {
  fail_alone({{"hangs", "loads", "timed_out", "the case was not over after 10 s, and was killed"},
              {"never", "answers_once", "failed", "no answer to bad.later"},
              {"loses_cancelled", "cancel_before_reply", "failed", "no answer to bad.later"},
              {"ignores_expired", "deadline", "failed", "no answer to bad."},
              {"drops_when_many", "overload", "failed", "no answer to bad.later"}});
}

TEST_CASE("check: a manifest that is not the one in the library fails manifest alone, and so does none") {
  Sandbox box;
  const auto library = with_fault(box, "a");
  auto manifest = json::parse(box.read("work/a.json"));
  manifest["version"] = "2.0.0";
  box.write("work/a.json", manifest.dump());
  fails_alone(box, library, "manifest", "failed", "(version)");
  fs::remove(box.work() / "a.json");
  fails_alone(box, library, "manifest", "failed", "it has no manifest");
}

TEST_CASE("check: a plugin that uses its host before it is started fails start alone") {
  fails_alone("hasty", "start", "failed", "post was called before `start`");
}

TEST_CASE("check: a plugin that refuses to start fails start alone, and what needs it started is skipped") {
  fails_alone("refuses", "start", "failed", "`start` returned -32004");
}

TEST_CASE("check: a plugin that answers twice fails answers_once alone") {
  fails_alone("twice", "answers_once", "failed", "bad.now (call ");
}

TEST_CASE("check: a plugin that answers with broken JSON fails answers_once alone") {
  fails_alone("garbage", "answers_once", "failed", "a payload that is no valid JSON");
}

TEST_CASE("check: a plugin with a method that crashes fails answers_once alone, and the rest goes on without it") {
  Sandbox box;
  const auto library = with_fault(box, "dies_of_calls");
  fails_alone(box, library, "answers_once", "crashed", "signal 6 (Aborted)");
  const auto checked = check(box, library, {"answers_once", "bare_host"});
  REQUIRE(checked.of("answers_once")["left_out"] == json{"bad.now"});
  REQUIRE(checked.of("bare_host")["note"].get<std::string>().find("of 2 methods") != std::string::npos);
}

TEST_CASE("check: a plugin that needs an extension fails bare_host alone") {
  fails_alone("bare", "bare_host", "crashed", "the plugin's process has ended");
}

TEST_CASE("check: a plugin of which there can be only one fails double_create alone") {
  fails_alone("only_one", "double_create", "failed", "it returned nothing");
}

TEST_CASE("check: a plugin that answers calls of no method fails unknown_topic alone") {
  fails_alone("answers_anything", "unknown_topic", "failed", "it was answered with a result");
}

TEST_CASE("check: a plugin that dies of bad params fails the case of those params alone") {
  const char* const aborts = "signal 6 (Aborted)";
  fail_alone({{"dies_of_truncated", "truncated_payloads", "crashed", aborts},
              {"dies_of_oversized", "oversized_payloads", "crashed", aborts},
              {"dies_of_deep", "deep_payloads", "crashed", aborts},
              {"dies_of_non_utf8", "non_utf8_payloads", "crashed", aborts}});
}

TEST_CASE("check: a plugin whose threads mix up their calls fails other_threads alone") {
  fails_alone("mixes_calls", "other_threads", "failed", "was answered again");
}

TEST_CASE("check: a plugin that dies of what crosses its answer fails cancel_after_reply alone") {
  fails_alone("dies_of_late_end", "cancel_after_reply", "crashed", "signal 6 (Aborted)");
}

TEST_CASE("check: a plugin that throws across the boundary fails exceptions alone") {
  fails_alone("throws", "exceptions", "failed", "an exception left deliver: on purpose");
}

TEST_CASE("check: a plugin that answers STOP twice fails stop alone") {
  fails_alone("stops_twice", "stop", "failed", "STOP was answered 2 times");
}

TEST_CASE("check: a plugin that cannot bear a closed host fails send_after_stop alone") {
  fails_alone("dies_of_closed", "send_after_stop", "crashed", "signal 6 (Aborted)");
}

TEST_CASE("check: a plugin that leaves a thread behind fails threads alone") {
  fails_alone("leaves_thread", "threads", "failed", "1: ");
}

TEST_CASE("check: a plugin that leaves a descriptor open fails descriptors alone") {
  fails_alone("leaves_descriptor", "descriptors", "failed", "/dev/null");
}

TEST_CASE("check: a plugin that keeps memory of each life fails growth alone") {
  fails_alone("memory", "growth", "failed", "bytes with each");
}

TEST_CASE("check: a plugin that answers otherwise in a process of its own fails transcript alone") {
  fails_alone("tells_its_pid", "transcript", "failed", "bad.now does not: result ");
}

TEST_CASE("check: a plugin that gives up after a time only in a process of its own fails nothing") {
  Sandbox box;
  const auto checked = check(box, with_fault(box, "slower_in_child"), {"transcript"});
  INFO(checked.document.dump(1));
  REQUIRE(checked.code == 0);
  REQUIRE(checked.of("transcript")["note"].get<std::string>().find("not comparable: bad.now") != std::string::npos);
}

TEST_CASE(
    "check: a plugin that dies of a message that only the fuzz says fails it alone, and --reproduce finds it again") {
  Sandbox box;
  const auto library = with_fault(box, "dies_of_gone");
  fails_alone(box, library, "fuzz", "crashed", "signal 6 (Aborted)");
  const auto found = check(box, library, {"fuzz"});
  const auto again =
      check(box, library, {}, {"--reproduce", std::to_string(found.document["seed"].get<std::uint64_t>())});
  REQUIRE(again.code == 1);
  REQUIRE(again.document["seed"] == found.document["seed"]);
  REQUIRE(again.document["cases"].size() == 1);
  const auto last = again.of("fuzz")["evidence"];
  REQUIRE(last == found.of("fuzz")["evidence"]);  // the same messages came before
  REQUIRE(std::any_of(last.begin(), last.end(), [](const json& line) {
    return line.get<std::string>().find("gone origin 3") != std::string::npos;
  }));
}
