// SPDX-License-Identifier: Apache-2.0
//
// Streams and states of a plugin that hands over when not all goes as it should: the old instance dies in between, the
// host is late, no next instance starts. Whoever has a stream open hears exactly one answer.
#include <csignal>
#include <future>

#include "tests/other_user.hpp"
#include "tests/unit/services/swapping.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

namespace {

const std::vector<Isolation> kIsolations{Isolation::in_line, Isolation::child};

/// Keeps the worker that reads the links of children from doing anything.
class Standstill {
 public:
  explicit Standstill(Daemon& daemon) {
    std::promise<void> begin;
    auto begun = begin.get_future();
    daemon.workers().first().post([begin = std::move(begin), end = end_.get_future()]() mutable {
      begin.set_value();
      end.wait();
    });
    begun.wait();
  }
  Standstill(const Standstill&) = delete;
  Standstill& operator=(const Standstill&) = delete;
  ~Standstill() { end_.set_value(); }

 private:
  std::promise<void> end_;
};

/// With a stream that was echoed three items.
struct Echoing {
  explicit Echoing(Isolation isolation, const std::function<void(Config&)>& change = {})
      : t({"handover", isolation}, false, change), stream(t.set.test().begin("swap.echo", {}, 100)) {
    Swapping::send_numbers(stream, 0, 3);
    stream.recorder->wait_for_items(3);
  }
  /// The reload by the next build, whose first part, until then, the host's links stand still for.
  template <class F>
  TestDaemon::Begun reload_standing_still(F&& until) {
    t.put_of_mode("2");
    const Standstill standstill(t.set.daemon());
    auto reload = t.set.begin("plugin.reload", {{"name", "swap"}});
    until();
    return reload;
  }
  [[nodiscard]] fs::path in_state(const std::string& name) { return t.set.test().dir() / "state" / "swap" / name; }
  Swapping t;
  const TestDaemon::Begun stream;
};

}  // namespace

TEST_CASE("reload: a renewal in place of one that hands over keeps its build and its count and its streams") {
  const TempDir workspace;
  std::ofstream(workspace.path() / "main.cpp") << "text";
  const auto grant = [](Config& c) { c.plugins["swap"].grants->push_back("read:workspace"); };
  Echoing e(Isolation::child, grant);
  Swapping& t = e.t;
  const auto reads = [&] {
    return t.set.call("swap.reads", {{"path", (workspace.path() / "main.cpp").string()}}).value()["read"] == true;
  };
  if (reads()) gantry::test::skip("this kernel confines nothing");
  REQUIRE(t.set.call("swap.count").value()["count"] == 1);
  const int before = t.set.entry("swap")["pid"];
  t.put_of_mode("2");  // that is there, and nobody has asked for it
  REQUIRE(t.set.daemon().open_workspace(workspace.path().string()));
  Swapping::send_numbers(e.stream, 3, 6);
  eventually("the workspace", [&] { return reads(); });
  REQUIRE(t.set.entry("swap")["pid"] != before);
  REQUIRE(t.set.call("swap.count").value()["count"] == 2);
  REQUIRE(t.build() == 1);
  REQUIRE(t.set.entry("swap")["restarts"] == 0);
  Swapping::send_numbers(e.stream, 6, 9);
  e.stream.call->send_end();
  REQUIRE(e.stream.recorder->wait() == json{{"seen", 9}, {"build", 1}});
  REQUIRE(Swapping::builds_of(*e.stream.recorder, 9) == std::set<int>{1});
  REQUIRE(e.stream.recorder->answers() == 1);
}

TEST_CASE("reload: a process that dies after it has given a stream leaves nothing to the next one") {
  Echoing e(Isolation::child, [](Config& c) { c.plugins["swap"].settings = {{"hangs_after_giving", true}}; });
  Swapping& t = e.t;
  REQUIRE(t.set.call("swap.count").value()["count"] == 1);
  const pid_t pid = t.set.entry("swap")["pid"];
  t.put_of_mode("2");
  const auto reload = t.set.begin("plugin.reload", {{"name", "swap"}});
  wait_for_log(t.set.test(), "has given its streams");
  Swapping::send_numbers(e.stream, 3, 5);
  REQUIRE(::kill(pid, SIGKILL) == 0);
  const auto error = e.stream.recorder->wait().error();
  REQUIRE(error.kind == ErrorKind::plugin_died);
  REQUIRE(error.message == "plugin swap died while it was replaced; open it again");
  REQUIRE(reload.recorder->wait());
  REQUIRE(t.build() == 2);
  REQUIRE(t.set.call("swap.count").value()["count"] == 1);
  REQUIRE(t.set.call("swap.streams").value() == json{{"open", 0}, {"left", 0}});
  t.set.test().end();
  REQUIRE(e.stream.recorder->answers() == 1);
  REQUIRE(t.set.daemon().clean());
}

TEST_CASE("reload: no item is lost however late the host says that it has taken the stream over") {
  Echoing e(Isolation::child);
  Swapping& t = e.t;
  const pid_t pid = t.set.entry("swap")["pid"];
  const auto reload = e.reload_standing_still([&] {
    eventually("what it gives", [&] { return fs::exists(e.in_state("given")); });
    // It must not end before the host has said so: there is nothing else to wait for.
    REQUIRE_FALSE(gantry::test::polled([&] { return !lives(pid); }, 1500ms));
    Swapping::send_numbers(e.stream, 3, 6);
  });
  const auto reloaded = reload.recorder->wait();
  INFO((reloaded ? "" : reloaded.error().message));
  REQUIRE(reloaded);
  e.stream.call->send_end();
  REQUIRE(e.stream.recorder->wait() == json{{"seen", 6}, {"build", 2}});
  REQUIRE(Swapping::builds_of(*e.stream.recorder, 6).contains(1));
}

TEST_CASE("reload: a stream that the host never takes over ends with its process and the next one serves") {
  Echoing e(Isolation::child);
  Swapping& t = e.t;
  const pid_t pid = t.set.entry("swap")["pid"];
  const auto reload =
      e.reload_standing_still([&] { eventually("the end of its process", [&] { return !lives(pid); }); });
  const auto error = e.stream.recorder->wait().error();
  REQUIRE(error.kind == ErrorKind::plugin_died);
  REQUIRE(reload.recorder->wait());
  REQUIRE(t.build() == 2);
  REQUIRE(t.set.call("swap.streams").value() == json{{"open", 0}, {"left", 0}});
  t.set.test().end();
  REQUIRE(e.stream.recorder->answers() == 1);
}

TEST_CASE("reload: when no build starts any more each given stream is answered once and a later start begins anew") {
  for (const auto isolation : kIsolations) {
    CAPTURE(isolation);
    Echoing e(isolation);
    Swapping& t = e.t;
    const auto other = t.set.test().begin("swap.echo_stream", {}, 100);
    Swapping::send_numbers(other, 0, 1);
    const auto call = t.set.begin("swap.hold");
    REQUIRE(t.set.call("swap.count").value()["count"] == 1);
    // What every build must have is not to be had.
    fs::rename(e.in_state("only_one"), e.in_state("gone"));
    fs::create_directory(e.in_state("only_one"));
    t.put_of_mode("2");
    REQUIRE_FALSE(t.reload());
    for (const auto* begun : {&e.stream, &other}) {
      const auto error = begun->recorder->wait().error();
      REQUIRE(error.kind == ErrorKind::plugin_died);
      REQUIRE(error.message == "plugin swap could not be started again; open it again");
    }
    REQUIRE_FALSE(call.recorder->wait());
    e.stream.call->cancel();
    other.call->send_end();
    fs::remove(e.in_state("only_one"));
    REQUIRE(t.set.call("plugin.restart", {{"name", "swap"}}));
    REQUIRE(t.build() == 1);
    REQUIRE(t.set.call("swap.streams").value() == json{{"open", 0}, {"left", 0}});
    REQUIRE(t.set.call("swap.count").value()["count"] == 1);
    t.set.test().end();
    for (const auto* begun : {&e.stream, &other, &call}) REQUIRE(begun->recorder->answers() == 1);
  }
}
