// SPDX-License-Identifier: Apache-2.0
//
// What a plugin's process writes to stdout and stderr.
#include <fcntl.h>
#include <unistd.h>

#include "host/plugins/child/child_output.hpp"
#include "tests/unit/sandbox/support.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;

namespace {

[[nodiscard]] std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++found;
  return found;
}

/// A ChildOutput behind a pipe, on a worker of its own.
class Reading {
 public:
  Reading() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    in_ = ends[1];
    output = std::make_shared<ChildOutput>(workers_.first(), workers_.timers(), ends[0], [this](std::string_view line) {
      const Lock lock(mutex_);
      lines_.emplace_back(line);
    });
    thread_ = std::thread([this] { (void)workers_.run([](std::string_view) {}); });
    output->start();
  }
  ~Reading() {
    end();
    workers_.stop();
    thread_.join();
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  void write(const std::string& text) const {
    REQUIRE(::write(in_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  void end() {
    if (in_ < 0) return;
    ::close(std::exchange(in_, -1));
    output->wait_for_end(std::chrono::steady_clock::now() + std::chrono::seconds(20));
  }
  [[nodiscard]] std::vector<std::string> lines() {
    const Lock lock(mutex_);
    return lines_;
  }

 private:
  Workers workers_{1};
  std::thread thread_;

 public:
  std::shared_ptr<ChildOutput> output;  ///< goes before its worker

 private:
  int in_ = -1;
  Mutex mutex_;
  std::vector<std::string> lines_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace

TEST_CASE("sandbox: what a plugin writes to stderr is in the host's log, under its name") {
  ConfinedDaemon t;
  REQUIRE(t.call("prober.prints", {{"text", "a word from below"}}));
  wait_for_log(t, " prober: a word from below\n");
}

TEST_CASE("sandbox: the last words of a plugin that died are in the log before its death") {
  ConfinedDaemon t;
  REQUIRE(t.call("prober.dies", {{"last_words", "it was the butler"}}).error().kind == ErrorKind::plugin_died);
  const auto log = t.log_text();
  const auto words = log.find("prober: it was the butler");
  const auto death = log.find("its process has ended: signal 6");
  REQUIRE(words != std::string::npos);
  REQUIRE(death != std::string::npos);
  REQUIRE(words < death);
}

TEST_CASE("sandbox: one that ends while it starts is `failed` with how, and with the last that it said") {
  ConfinedDaemon t([](Config& c) { c.plugins["prober"].settings = {{"dies_at_start", true}}; });
  const auto why = t.call("prober.folder").error().message;
  REQUIRE_THAT(why, Catch::Contains("exit code 3") && Catch::Contains("it cannot go on like this"));
}

TEST_CASE("sandbox: a plugin that floods its stderr is answered for, and its log has an end that is told") {
  ConfinedDaemon t;
  REQUIRE(t.call("prober.prints", {{"text", "again"}, {"times", 5000}}));
  wait_for_log(t, "lines of its output were dropped");
  REQUIRE(count(t.log_text(), " prober: again\n") < 5000);
}

TEST_CASE("sandbox: a long line becomes several, the last one needs no end, and twenty are kept") {
  Reading reading;
  reading.write(std::string(ChildOutput::kMaxLine + 10, 'a') + "\n");
  for (int i = 0; i < 30; ++i) reading.write("line " + std::to_string(i) + "\n");
  reading.write("no end");
  reading.end();
  const auto lines = reading.lines();
  REQUIRE(lines.size() == 33);
  REQUIRE(lines[0] == std::string(ChildOutput::kMaxLine, 'a'));
  REQUIRE(lines[1] == std::string(10, 'a'));
  REQUIRE(lines[32] == "no end");
  const auto last = reading.output->last_lines();
  REQUIRE(last.size() == ChildOutput::kLastLines);
  REQUIRE(last.front() == "line 11");
  REQUIRE(last.back() == "no end");
}

TEST_CASE("sandbox: of lines beyond the bound the number is told, and the last ones are kept all the same") {
  Reading reading;
  std::string flood;
  for (int i = 0; i < 3000; ++i) flood += std::to_string(i) + "\n";
  reading.write(flood);
  reading.end();
  const auto lines = reading.lines();
  std::size_t told = 0;
  std::size_t kept = 0;
  for (const auto& line : lines) {
    if (line.find(" lines of its output were dropped") != std::string::npos) {
      told += std::stoul(line);
    } else {
      ++kept;
    }
  }
  REQUIRE(told > 0);
  REQUIRE(told + kept == 3000);
  REQUIRE(reading.output->last_lines().back() == "2999");
}

#if __has_feature(address_sanitizer)
TEST_CASE("sandbox: what a sanitizer says of a plugin is in the log") {
  ConfinedDaemon t;
  REQUIRE(t.call("prober.misuses_memory").error().kind == ErrorKind::plugin_died);
  REQUIRE_THAT(t.log_text(), Catch::Contains("AddressSanitizer: heap-use-after-free"));
}
#endif
