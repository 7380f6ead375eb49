// SPDX-License-Identifier: Apache-2.0
//
// A new build takes the place of the one that runs: by overlap and by handover, inline and in a process, under load.
#include <atomic>
#include <csignal>
#include <future>
#include <thread>

#include "tests/folders.hpp"
#include "tests/unit/services/swapping.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

TEST_CASE("reload: no call of thousands is lost or fails while builds follow each other, each way, each kind") {
  for (const auto& kind : kKinds) {
    INFO(kind.mode << (kind.isolation == Isolation::child ? " child" : " inline"));
    Swapping t(kind);
    REQUIRE(t.build() == 1);
    constexpr int kThreads = 4;
    constexpr int kReloads = 6;
    std::atomic<bool> over{false};
    std::atomic<int> answered{0};
    std::array<std::string, kThreads> failures;
    std::vector<std::thread> callers;
    for (int i = 0; i < kThreads; ++i) {
      callers.emplace_back([&, i] {
        while (!over && failures[i].empty()) {
          std::vector<TestDaemon::Begun> some;
          for (int n = 0; n < 8; ++n) some.push_back(t.set.begin("swap.build"));
          for (auto& begun : some) {
            if (auto answer = begun.recorder->wait(); !answer) failures[i] = answer.error().message;
            ++answered;
          }
        }
      });
    }
    std::string wrong;
    for (int i = 0; i < kReloads && wrong.empty(); ++i) {
      CAPTURE(i);
      t.put_of_mode(i % 2 == 0 ? "2" : "1");
      const auto before = answered.load();
      eventually("a reload, or why there is none", [&] {
        const auto reloaded = t.reload();
        if (reloaded || reloaded.error().kind == ErrorKind::overloaded)  // while the old ones end their calls
          return reloaded.has_value();
        wrong = reloaded.error().message;
        return true;
      });
      eventually("calls after it", [&] { return answered > before + 400 || over; });
      if (wrong.empty() && t.build() != (i % 2 == 0 ? 2 : 1)) wrong = "the old build answers";
    }
    over = true;
    for (auto& caller : callers) caller.join();
    REQUIRE(wrong == "");
    for (const auto& failure : failures) {
      CAPTURE(failure);
      REQUIRE(failure.empty());
    }
    REQUIRE(answered > kReloads * 400);
    REQUIRE(t.set.entry("swap")["state"] == "ready");
    REQUIRE(t.set.entry("swap")["restarts"] == 0);
  }
}

TEST_CASE("reload: what a manifest says is so from the reload on, methods and version") {
  for (const auto& kind : kKinds) {
    CAPTURE(kind.mode, kind.isolation);
    Swapping t(kind);
    REQUIRE(t.set.call("swap.more").error().kind == ErrorKind::method_not_found);
    t.put_of_mode("2");
    REQUIRE(t.reload().value()["version"] == "2.0.0");
    REQUIRE(t.set.call("swap.more").value()["build"] == 2);
    REQUIRE(t.set.entry("swap")["version"] == "2.0.0");
    t.put_of_mode("1");
    REQUIRE(t.reload());
    REQUIRE(t.set.call("swap.more").error().kind == ErrorKind::method_not_found);
  }
}

TEST_CASE("reload: a build that does not start leaves the one before it running, and says why") {
  for (const auto& kind : kKinds) {
    INFO(kind.mode << (kind.isolation == Isolation::child ? " child" : " inline"));
    Swapping t(kind);
    REQUIRE(t.build() == 1);
    REQUIRE(t.set.call("swap.count").value()["count"] == 1);
    t.put_of_mode("bad");
    const auto refused = t.reload().error();
    REQUIRE(refused.kind == ErrorKind::unavailable);
    REQUIRE(refused.message.find("this build refuses to start") != std::string::npos);
    REQUIRE(t.build() == 1);
    // An overlapping one has never been away, and the other one has handed over to itself.
    REQUIRE(t.set.call("swap.count").value()["count"] == 2);
    REQUIRE(t.set.entry("swap")["state"] == "ready");
    REQUIRE(t.set.entry("swap")["version"] == "1.0.0");
    t.put_of_mode("2");
    REQUIRE(t.reload());
    REQUIRE(t.build() == 2);
  }
}

TEST_CASE("reload: a process that dies is started again with the build that ran whatever lies there by now") {
  for (const char* mode : {"overlap", "handover"}) {
    CAPTURE(mode);
    Swapping t({mode, Isolation::child});
    REQUIRE(t.build() == 1);
    t.put_of_mode("2");
    REQUIRE(::kill(t.set.entry("swap")["pid"], SIGKILL) == 0);
    eventually("its death", [&] { return t.set.entry("swap").contains("evidence"); });
    REQUIRE(t.build() == 1);
    REQUIRE(t.reload());
    REQUIRE(t.build() == 2);
  }
}

TEST_CASE("reload: a restart by hand of one that does not run takes the build that lies there by now") {
  Swapping t({"overlap", Isolation::child}, false, [](Config& c) { c.plugins["swap"].restart = Restart::never; });
  REQUIRE(t.build() == 1);
  REQUIRE(::kill(t.set.entry("swap")["pid"].get<int>(), SIGKILL) == 0);
  eventually("its end", [&] { return t.set.entry("swap")["state"] == "failed"; });
  t.put_of_mode("2");
  REQUIRE_FALSE(t.set.call("swap.build"));
  REQUIRE(t.set.call("plugin.restart", {{"name", "swap"}}));
  REQUIRE(t.build() == 2);
  t.put_of_mode("1");
  REQUIRE(t.set.call("plugin.restart", {{"name", "swap"}}));
  REQUIRE(t.build() == 2);  // one that runs goes on with its own
}

TEST_CASE("reload: a call that is open ends at the instance that has it, while others go to the new one") {
  // Old builds do not gather: the next reload, and a restart, cut the time of this one.
  for (const auto& [isolation, next] :
       {std::pair(Isolation::in_line, "plugin.reload"), std::pair(Isolation::child, "plugin.reload"),
        std::pair(Isolation::child, "plugin.restart")}) {
    CAPTURE(isolation, next);
    Swapping t({"overlap", isolation});
    auto held = t.set.begin("swap.hold");
    eventually("the call to be there", [&] { return t.set.entry("swap")["open_calls"] == 1; });
    t.put("overlap_2");
    REQUIRE(t.reload());
    REQUIRE(t.build() == 2);
    REQUIRE_FALSE(held.recorder->done());
    REQUIRE(t.set.call(next, {{"name", "swap"}}));
    REQUIRE(held.recorder->wait().error().kind == ErrorKind::plugin_died);
    REQUIRE(t.build() == 2);
  }
}

TEST_CASE("reload: an instance that was replaced has time for its calls as long as somebody may wait for them") {
  for (const auto isolation : {Isolation::in_line, Isolation::child}) {
    CAPTURE(isolation);
    Swapping t({"overlap", isolation});
    REQUIRE(t.build() == 1);
    const auto first = t.set.daemon().services().instance("swap")->peek();
    const auto answered = t.set.begin("swap.later");
    auto drained = std::async(std::launch::async, [&] { return first->drain(0s, 1h); });
    eventually("the drain", [&] { return first->is_stopping(); });
    eventually("its answer", [&] {
      t.set.timers.advance(20ms);
      return answered.recorder->done();
    });
    REQUIRE(drained.get());
    REQUIRE(answered.recorder->wait().value()["count"] == 1);
    REQUIRE(t.set.call("plugin.restart", {{"name", "swap"}}));
    // The plugin keeps a call that was given up long ago.
    const auto held = t.set.begin("swap.hold");
    REQUIRE(t.build() == 1);  // asked behind it, so the plugin has it
    held.call->cancel();
    REQUIRE(held.recorder->wait().error().kind == ErrorKind::cancelled);
    REQUIRE_FALSE(t.set.daemon().services().instance("swap")->peek()->drain(0s, 1h));
  }
}

TEST_CASE("reload: a host that stops does not wait for the calls of an instance that was replaced") {
  for (const auto isolation : {Isolation::in_line, Isolation::child}) {
    CAPTURE(isolation);
    Swapping t({"overlap", isolation});
    const auto held = t.set.begin("swap.hold");
    eventually("the call to be there", [&] { return t.set.entry("swap")["open_calls"] == 1; });
    t.put("overlap_2");
    REQUIRE(t.reload());
    REQUIRE_FALSE(held.recorder->done());
    t.set.test().end();
    REQUIRE(held.recorder->answers() == 1);
    REQUIRE(t.set.daemon().clean());
  }
}

TEST_CASE("reload: the owner of a database keeps every entry through reloads, and no call fails") {
  TestDaemon t;
  std::atomic<bool> over{false};
  std::string failure;
  std::int64_t added = 0;
  std::thread caller([&] {
    while (!over && failure.empty()) {
      const auto answer = t.call("ledger.add", {{"n", 1}});
      if (!answer) failure = answer.error().message;
      ++added;
    }
  });
  std::string wrong;
  for (int i = 0; i < 4 && wrong.empty(); ++i) {
    if (const auto reloaded = t.call("plugin.reload", {{"name", "ledger"}}); !reloaded)
      wrong = reloaded.error().message;
  }
  over = true;
  caller.join();
  REQUIRE(wrong.empty());
  REQUIRE(failure.empty());
  REQUIRE(t.call("ledger.sum").value()["entries"] == added);
}

TEST_CASE("reload: inline, a library with symbols that exist once in a process is refused, in a process it is not") {
  for (const auto isolation : {Isolation::in_line, Isolation::child}) {
    CAPTURE(isolation);
    Swapping t({"overlap", isolation});
    REQUIRE(t.build() == 1);
    t.put("unique");
    const auto reloaded = t.reload();
    if (isolation == Isolation::child) {
      REQUIRE(reloaded);
      REQUIRE(t.build() == 4);
      continue;
    }
    REQUIRE(reloaded.error().message.find("exist once in a process") != std::string::npos);
    REQUIRE(reloaded.error().message.find("swap_only_one") != std::string::npos);
    REQUIRE(t.build() == 1);
  }
}

TEST_CASE("reload: copies of libraries are for this user alone, and at most one for a plugin is kept") {
  Swapping t({"overlap", Isolation::in_line});
  REQUIRE(t.build() == 1);
  const auto folder = t.set.test().dir() / "state" / ".libraries";
  const auto kept = [&] {
    return std::count_if(fs::directory_iterator(folder), fs::directory_iterator(),
                         [](const auto& copy) { return copy.path().filename().string().starts_with("swap."); });
  };
  REQUIRE(kept() == 1);
  for (const char* build : {"2", "1", "bad"}) {
    CAPTURE(build);
    t.put_of_mode(build);
    (void)t.reload();
    REQUIRE(kept() == 1);
  }
  REQUIRE((fs::status(folder).permissions() & fs::perms::all) == fs::perms::owner_all);
}

TEST_CASE("reload: what is no plugin, or has no manifest, is refused with what to do") {
  Swapping t({"overlap", Isolation::in_line});
  REQUIRE(t.build() == 1);
  REQUIRE(t.set.call("plugin.reload", {{"name", "swop"}}).error().message.find("did you mean swap?") !=
          std::string::npos);
  fs::remove(t.library());
  std::ofstream(t.library()) << "no library";
  REQUIRE(t.reload().error().message.find("is no shared library") != std::string::npos);
  fs::remove(manifest_path(t.library()));
  REQUIRE(t.reload().error().message.find("it has no manifest") != std::string::npos);
  REQUIRE(t.build() == 1);
}

TEST_CASE("reload: whoever watches reloads a plugin whose library was built anew, once it is quiet") {
  Swapping t({"overlap", Isolation::in_line}, true);
  REQUIRE(t.build() == 1);
  const auto live = [&](int build) { return t.set.entry("swap")["version"] == std::to_string(build) + ".0.0"; };
  for (const int build : {2, 1}) {
    CAPTURE(build);
    t.put_of_mode(std::to_string(build));
    while (!live(build)) t.set.advance_to_next_or(LibraryWatch::kQuiet, [&] { return live(build); });
    REQUIRE(t.build() == build);
  }
  // What cannot be loaded is no end of it.
  t.put_of_mode("bad");
  const auto told = [&] { return t.set.test().log_text().find("this build refuses to start") != std::string::npos; };
  while (!told()) t.set.advance_to_next_or(LibraryWatch::kQuiet, told);
  REQUIRE(t.build() == 1);
  t.put_of_mode("2");
  while (!live(2)) t.set.advance_to_next_or(LibraryWatch::kQuiet, [&] { return live(2); });
}

TEST_CASE(
    "reload: whoever watches goes on when a folder of libraries is removed and made anew, or another takes its place") {
  Swapping t({"overlap", Isolation::in_line}, true);
  REQUIRE(t.build() == 1);
  const auto folder = t.library().parent_path();
  const fs::path beside = folder.string() + ".beside";
  const auto comes = [&](int build) {
    INFO("build " << build);
    const auto live = [&] { return t.set.entry("swap")["version"] == std::to_string(build) + ".0.0"; };
    eventually("the build that was put there", [&] {
      if (!live()) t.set.advance_to_next_or(LibraryWatch::kQuiet, live);
      return live();
    });
    REQUIRE(t.build() == build);
  };
  fs::remove_all(folder);
  fs::create_directory(folder);
  t.put_of_mode("2");
  comes(2);
  t.put_of_mode("1");
  comes(1);
  fs::rename(folder, beside);
  fs::create_directory(folder);
  t.put_of_mode("2");
  comes(2);
  t.put_of_mode("1");
  comes(1);
  fs::remove_all(beside);
}

TEST_CASE("reload: whoever watches sees what a library that is a link leads to, and another link in its place") {
  Swapping t({"overlap", Isolation::in_line}, true, [](Config&) {});
  REQUIRE(t.build() == 1);
  const auto folder = t.library().parent_path();
  const auto live = [&](int build) { return t.set.entry("swap")["version"] == std::to_string(build) + ".0.0"; };
  const auto comes = [&](int build) {
    INFO("build " << build);
    while (!live(build)) t.set.advance_to_next_or(LibraryWatch::kQuiet, [&] { return live(build); });
    REQUIRE(t.build() == build);
  };
  const TempDir far;
  const auto built = [&](const std::string& build) {
    const fs::path from = gantry::folders::build() + "/tests/plugins/more/swap_" + t.mode + "_" + build;
    for (const char* kind : {".json", ".so"}) {
      fs::copy_file(from.string() + kind, far.path() / "made", fs::copy_options::overwrite_existing);
      fs::rename(far.path() / "made", far.path() / (std::string("swap") + kind));
    }
  };
  built("2");
  for (const char* kind : {".json", ".so"}) {
    fs::remove(folder / (std::string("swap") + kind));
    fs::create_symlink(far.path() / (std::string("swap") + kind), folder / (std::string("swap") + kind));
  }
  comes(2);
  built("1");
  comes(1);
}

TEST_CASE("reload: one that hands over leaves its state to the next one, and to nobody when nobody comes") {
  for (const auto& kind : kKinds) {
    INFO(kind.mode << (kind.isolation == Isolation::child ? " child" : " inline"));
    Swapping t(kind);
    const auto count = [&] { return t.set.call("swap.count").value()["count"]; };
    const bool given = kind.mode == "handover";
    REQUIRE(count() == 1);
    REQUIRE(count() == 2);
    t.put_of_mode("2");
    REQUIRE(t.reload());
    REQUIRE(count() == (given ? 3 : 1));
    REQUIRE(t.set.call("plugin.restart", {{"name", "swap"}}));
    REQUIRE(count() == 1);
    wait_for_log(t.set.test(), "keeps its count: no instance comes after this one");
  }
}

TEST_CASE(
    "reload: a plugin that was built anew before its first start runs as it lies there, with its manifest of now") {
  for (const auto& kind : kKinds) {
    INFO(kind.mode << (kind.isolation == Isolation::child ? " child" : " inline"));
    Swapping t(kind);
    REQUIRE(t.set.entry("swap")["version"] == "1.0.0");
    t.put_of_mode("2");
    REQUIRE(t.build() == 2);
    REQUIRE(t.set.entry("swap")["version"] == "2.0.0");
    REQUIRE(t.set.call("swap.more"));  // which the build before does not have
    t.put_of_mode("1");
    REQUIRE(t.set.call("plugin.restart", {{"name", "swap"}}));
    REQUIRE(t.build() == 2);  // once it has run, only a reload changes it
  }
}
