// SPDX-License-Identifier: Apache-2.0
//
// Everything at once, against the real binary: 16 clients call plugins in the host and in processes in every way there
// is, while the processes are killed, builds replace each other, and the configuration changes.
//
// A client's own thread each, one that kills, one that reloads. GANTRY_SEED=N repeats the choices; GANTRY_CHAOS_SECONDS
// makes the storm that long instead of a number of calls.
#include <dirent.h>
#include <sys/syscall.h>

#include <condition_variable>
#include <iostream>
#include <mutex>

#include "tests/folders.hpp"
#include "tests/integration/chaos_client.hpp"
#include "tests/integration/daemon.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

namespace {

constexpr int kClients = 16;
constexpr std::size_t kCallsEach = 80;
constexpr auto kKillEvery = 100ms;
constexpr auto kReloadEvery = 50ms;
// Inline, each build stays in the process for ever (docs/abi.md): so many in each half of a storm.
constexpr int kInlineReloads = 20;
// What the allocator keeps differs by some MiB from one look to the next, with payloads of up to 400 KB, and each build
// that stays has a part of its own. Ten minutes make 700,000 calls after the first look: a leak of 25 bytes a call
// shows.
[[maybe_unused]] constexpr std::size_t kNoiseKib = 16 * 1024;
// The host's pool starts its threads when they are first needed, and keeps them: one for background tasks, four spare.
constexpr std::size_t kPoolThreads = 5;

const std::vector<std::string> kInline{"echo", "slow_stream", "resumed"};
const std::vector<std::string> kChildren{"typed", "plain", "faulty", "lsp_shaped", "ledger", "swap", "base", "middle"};

[[nodiscard]] std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
  const char* const given = std::getenv(variable);
  return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

/// What the host has of the system's things.
struct Footprint {
  std::size_t descriptors = 0;
  std::size_t threads = 0;
  std::size_t anonymous_kib = 0;  ///< without the files that are mapped, as the builds of a plugin are
};
[[nodiscard]] std::size_t entries_of(const std::string& folder) {
  std::size_t count = 0;
  DIR* const open = ::opendir(folder.c_str());
  while (open != nullptr && ::readdir(open) != nullptr) ++count;
  if (open != nullptr) ::closedir(open);
  return count;
}
[[nodiscard]] Footprint footprint_of(pid_t pid) {
  const std::string proc = "/proc/" + std::to_string(pid);
  Footprint out{entries_of(proc + "/fd"), entries_of(proc + "/task"), 0};
  std::ifstream in(proc + "/status");
  for (std::string word; in >> word;) {
    if (word == "RssAnon:") in >> out.anonymous_kib;
  }
  return out;
}

/// Ends when it is told to; until then a turn each so often. The pace is part of the load, and waits for nothing.
class Troublemaker {
 public:
  /// `turn` says what is wrong, or nothing.
  Troublemaker(std::chrono::milliseconds every, std::function<std::string()> turn)
      : thread_([this, every, turn = std::move(turn)] {
          std::unique_lock lock(mutex_);
          while (!over_ && wrong_.empty()) {
            lock.unlock();
            auto wrong = turn();
            lock.lock();
            wrong_ = std::move(wrong);
            ++turns_;
            (void)ended_.wait_for(lock, every, [this] { return over_; });
          }
        }) {}
  ~Troublemaker() { end(); }
  Troublemaker(const Troublemaker&) = delete;
  std::string end() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    ended_.notify_all();
    if (thread_.joinable()) thread_.join();
    return wrong_;
  }
  [[nodiscard]] std::size_t turns() const { return turns_; }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool over_ = false;
  std::string wrong_;
  std::size_t turns_ = 0;
  std::thread thread_;
};

class Chaos {
 public:
  explicit Chaos(std::uint64_t seed) : seed_(seed), random_(seed) {
    put("overlap_1");
    configure(random_);
    host_ = box_.serve({"--config", (box_.dir() / "g.toml").string()});
  }

  /// Until every client has made so many calls, or until then.
  void storm(std::size_t calls_each, std::optional<std::chrono::steady_clock::time_point> until) {
    Client killing = box_.connect();
    Client reloading = box_.connect();
    inline_reloads_ = 0;
    ChaosClient::Random kills(random_());
    ChaosClient::Random reloads(random_());
    Troublemaker killer(kKillEvery, [&] { return kill_one(killing, kills); });
    Troublemaker reloader(kReloadEvery, [&] { return change_something(reloading, reloads); });
    std::vector<std::unique_ptr<ChaosClient>> clients;
    std::vector<std::thread> threads;
    for (int i = 0; i < kClients; ++i) {
      clients.push_back(std::make_unique<ChaosClient>(
          box_.socket(), random_(), shared_, [this](ChaosClient::Random& random) { return any_act(random, shared_); }));
      threads.emplace_back([calls_each, until, client = clients.back().get()] {
        client->run(
            [&](std::size_t made) { return until ? std::chrono::steady_clock::now() >= *until : made >= calls_each; });
      });
    }
    for (auto& thread : threads) thread.join();
    const auto wrong_kill = killer.end();
    const auto wrong_reload = reloader.end();
    for (const auto& client : clients) {
      for (const auto& [kind, tally] : client->tallies()) {
        tallies_[kind].right += tally.right;
        for (const auto& [error, count] : tally.failed) tallies_[kind].failed[error] += count;
      }
    }
    INFO(told());
    std::string wrongs;
    for (const auto& client : clients) {
      for (const auto& wrong : client->wrong()) wrongs += wrong + "\n";
    }
    REQUIRE(wrong_kill == "");
    REQUIRE(wrong_reload == "");
    REQUIRE(wrongs == "");
  }

  /// Nobody kills any more: each kind of call does what it is for, and all plugins run.
  Footprint calm() {
    ChaosClient client(box_.socket(), random_(), shared_, {});
    const auto perform_each = [&](bool strictly) {
      for (auto& act : one_of_each(random_, shared_)) {
        if (strictly) {
          for (const char* kind : {"plugin_died", "unavailable", "overloaded"}) act.failures.erase(kind);
        }
        client.perform(std::move(act));
      }
    };
    wait_for("every plugin to be ready", [&] {
      perform_each(false);
      return all_ready();
    });
    perform_each(true);
    client.perform({.kind = "release", .method = "faulty.release", .right = [](const json&) { return true; }});
    for (const auto& wrong : client.wrong()) UNSCOPED_INFO(wrong);
    REQUIRE(client.wrong().empty());
    wait_for("calls to end", [&] { return open_calls() == 0; });
    const auto entries = call("ledger.sum")["entries"].get<std::int64_t>();
    REQUIRE(entries >= shared_.ledger_acknowledged);
    REQUIRE(entries <= shared_.ledger_tried);
    return settled();
  }
  /// Waits until nothing of what is counted changes any more, and is within `bound` where there is one.
  Footprint settled(std::optional<Footprint> bound = {}) {
    Footprint last = footprint_of(host_);
    int same = 0;
    wait_for("the host to be still", [&] {
      const auto next = footprint_of(host_);
      const bool within =
          !bound || (next.descriptors <= bound->descriptors && next.threads <= bound->threads + kPoolThreads);
      same = within && next.descriptors == last.descriptors && next.threads == last.threads ? same + 1 : 0;
      last = next;
      return same == 200;
    });
    return last;
  }
  [[nodiscard]] std::string told() const {
    std::string out = "GANTRY_SEED=" + std::to_string(seed_) + "; " + std::to_string(killed_) + " killed, " +
                      std::to_string(reloaded_) + " reloads (" + std::to_string(not_reloaded_) + " refused), " +
                      std::to_string(configured_) + " configurations\n";
    for (const auto& [kind, tally] : tallies_) {
      out += "  " + kind + ": " + std::to_string(tally.right) + " right";
      for (const auto& [error, count] : tally.failed) out += ", " + std::to_string(count) + " " + error;
      out += "\n";
    }
    return out;
  }
  void stop() {
    REQUIRE(box_.run({"stop"}).code == 0);
    REQUIRE(box_.wait(host_) == 0);  // a leak ends it otherwise, under asan
    REQUIRE(box_.read("serve.err").find("Sanitizer") == std::string::npos);
  }

 private:
  template <class F>
  void wait_for(const char* what, F&& condition) {
    if (gantry::test::polled(condition)) return;
    const auto now = footprint_of(host_);
    INFO(told() << now.descriptors << " descriptors, " << now.threads << " threads");
    for (const auto& plugin : call("host.plugins")) UNSCOPED_INFO(dump_json(plugin));
    FAIL("waited in vain for " << what);
  }
  [[nodiscard]] json call(const std::string& method) {
    auto answer = box_.connect().call(method, json::object(), kTimeout);
    if (!answer) FAIL(method << ": " << answer.error().message);
    return *answer;
  }
  [[nodiscard]] bool all_ready() {
    std::size_t ready = 0;
    for (const auto& plugin : call("host.plugins")) ready += plugin["state"] == "ready" ? 1 : 0;
    return ready == kInline.size() + kChildren.size();
  }
  [[nodiscard]] std::size_t open_calls() {
    std::size_t open = 0;
    for (const auto& plugin : call("host.plugins")) open += plugin["open_calls"].get<std::size_t>();
    return open;
  }

  // As a linker does: another file under the same name.
  void put(const std::string& build) const {
    const fs::path from = gantry::folders::build() + "/tests/plugins/more/swap_" + build;
    for (const char* kind : {".json", ".so"}) {
      fs::copy_file(from.string() + kind, box_.dir() / "made", fs::copy_options::overwrite_existing);
      fs::rename(box_.dir() / "made", box_.dir() / (std::string("swap") + kind));
    }
  }
  // Only keys that change by a reload differ between any two of these.
  void configure(ChaosClient::Random& random) const {
    const auto between = [&](int least, int most) {
      return std::to_string(std::uniform_int_distribution<int>(least, most)(random));
    };
    std::string text = "[host]\nmax_calls_per_service = " + between(16, 64) +
                       "\ndefault_call_timeout_seconds = " + between(60, 90) +
                       "\n[async]\nmax_background_tasks = 1\nevent_processing_concurrency = " + between(1, 8) +
                       "\n[log]\nlevel = \"warn\"\nstderr = false\n[supervisor]\nintensity = 1000\nperiod_seconds = 1\n"
                       "backoff_initial_ms = 1\nbackoff_max_ms = 10\n";
    for (const auto* plugins : {&kInline, &kChildren}) {
      for (const auto& name : *plugins) {
        const bool mortal = name == "base" || name == "middle";
        const std::string file = name == "swap" ? (box_.dir() / "swap.so").string()
                                                : std::string(gantry::folders::build() + "/tests/plugins/") +
                                                      (mortal ? "more/" : "") + name + ".so";
        text += "[plugins." + name + "]\npath = \"" + file + "\"\nisolation = \"";
        text += plugins == &kInline ? "inline\"\n" : "child\"\n";
        text += "grants = [\"call:**\", \"client\"]\n";
      }
    }
    const auto& ending = kEndings[std::uniform_int_distribution<std::size_t>(0, kEndings.size() - 1)(random)];
    box_.write("g.toml", text + "[plugins.typed.settings]\nending = \"" + ending + "\"\n");
  }

  // A call may need two processes at once. When it is the last open one, nothing else is left to kill, and processes
  // that start more slowly than the others die would never be ready: the next process dies after the next answer.
  std::string kill_one(Client& client, ChaosClient::Random& random) {
    const auto answered = shared_.answered.load();
    if (answered == answered_at_last_kill_) return {};
    answered_at_last_kill_ = answered;
    const auto plugins = client.call("host.plugins", json::object(), kTimeout);
    if (!plugins) return plugins.error().message;
    std::vector<pid_t> pids;
    for (const auto& plugin : *plugins) {
      if (plugin.contains("pid")) pids.push_back(plugin["pid"]);
      if (plugin["state"] == "quarantined")
        return plugin["name"].get<std::string>() + " is quarantined: " + plugin.value("reason", "");
    }
    if (pids.empty()) return {};
    const pid_t pid = pids[std::uniform_int_distribution<std::size_t>(0, pids.size() - 1)(random)];
    // A number may be another process's by now: the descriptor is of one process, and that one is looked at.
    const auto process = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (process >= 0 && parent_of(pid) == host_ && ::syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0) == 0)
      ++killed_;
    if (process >= 0) ::close(process);
    return {};
  }
  std::string change_something(Client& client, ChaosClient::Random& random) {
    const int what = std::uniform_int_distribution<int>(0, 9)(random);
    if (what < 2) return reconfigure(client, random, what == 0);
    std::string name = "swap";
    if (what < 4) {
      name = kChildren[std::uniform_int_distribution<std::size_t>(0, kChildren.size() - 1)(random)];
    } else if (what < 6 && inline_reloads_ < kInlineReloads) {
      name = kInline[std::uniform_int_distribution<std::size_t>(0, kInline.size() - 1)(random)];
    }
    const bool inside = std::ranges::find(kInline, name) != kInline.end();
    if (inside) ++inline_reloads_;
    if (name == "swap") {
      const bool handover = (random() & 1U) != 0;
      put((handover ? "handover_" : "overlap_") + std::string((random() & 1U) != 0 ? "1" : "2"));
    }
    const auto reloaded = client.call("plugin.reload", {{"name", name}}, kTimeout);
    ++(reloaded ? reloaded_ : not_reloaded_);
    if (reloaded) return {};
    const auto kind = reloaded.error().kind;
    const bool killed = kind == ErrorKind::plugin_died || kind == ErrorKind::unavailable || kind == ErrorKind::conflict;
    if (kind == ErrorKind::overloaded || (killed && !inside)) return {};
    return "reload of " + name + ": " + reloaded.error().message;
  }
  std::string reconfigure(Client& client, ChaosClient::Random& random, bool badly) {
    configure(random);
    if (badly) std::ofstream(box_.dir() / "g.toml", std::ios::app) << "endling = \"no such key\"\n[plugins.typed]\n";
    const auto loaded = client.call("config.reload", json::object(), kTimeout);
    ++configured_;
    if (badly) return loaded ? "a wrong configuration was taken" : "";
    if (!loaded) return "config.reload: " + loaded.error().message;
    if (!loaded->at("restart").empty()) return "config.reload: waits for a restart: " + dump_json(*loaded);
    return {};
  }

  const std::uint64_t seed_;
  ChaosClient::Random random_;
  Sandbox box_;
  pid_t host_ = 0;
  ChaosShared shared_;
  std::map<std::string, ChaosClient::Tally> tallies_;
  int inline_reloads_ = 0;
  std::size_t killed_ = 0;
  std::uint64_t answered_at_last_kill_ = 0;  ///< the killer's thread alone
  std::size_t reloaded_ = 0;
  std::size_t not_reloaded_ = 0;
  std::size_t configured_ = 0;
};

}  // namespace

TEST_CASE(
    "chaos: every call is answered once and rightly while processes are killed and plugins and configuration change") {
  Chaos chaos(number_of("GANTRY_SEED", std::random_device()()));
  const auto seconds = number_of("GANTRY_CHAOS_SECONDS", 0);
  const auto until = [&](std::uint64_t part) -> std::optional<std::chrono::steady_clock::time_point> {
    if (seconds == 0) return std::nullopt;
    return std::chrono::steady_clock::now() + std::chrono::seconds(part);
  };
  chaos.storm(kCallsEach, until(seconds / 2));
  const auto warm = chaos.calm();
  chaos.storm(kCallsEach, until(seconds - (seconds / 2)));
  (void)chaos.calm();
  const auto after = chaos.settled(warm);
  std::cout << chaos.told() << "  descriptors " << warm.descriptors << " -> " << after.descriptors << ", threads "
            << warm.threads << " -> " << after.threads << ", anonymous KiB " << warm.anonymous_kib << " -> "
            << after.anonymous_kib << "\n";
#if !__has_feature(address_sanitizer)  // which keeps what was freed
  if (seconds >= 60) REQUIRE(after.anonymous_kib <= warm.anonymous_kib + kNoiseKib);
#endif
  chaos.stop();
}
