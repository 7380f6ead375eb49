// SPDX-License-Identifier: Apache-2.0
//
// project_state against kill -9, full disks, read-only folders and a second process.
#include <fcntl.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <random>

#include "tests/folders.hpp"
#include "tests/other_user.hpp"
#include "tests/unit/project_state/support.hpp"

using namespace state_test;

namespace {

/// state_child in a scenario, with pipes to it.
class Child {
 public:
  Child(const char* scenario, const std::string& folder, std::uint64_t seed = 0) {
    const std::string program = gantry::folders::build() + "/tests/state_child";
    const std::string number = std::to_string(seed);
    int in[2];
    int out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("pipe failed");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::execl(program.c_str(), program.c_str(), kPlugin.c_str(), scenario, folder.c_str(), number.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    in_ = in[1];
    out_ = out[0];
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ > 0) kill();
    ::close(out_);
    if (in_ >= 0) ::close(in_);
  }

  /// The next line that it says; null when it is gone.
  [[nodiscard]] json line() {
    while (true) {
      if (const auto end = buffer_.find('\n'); end != std::string::npos) {
        const std::string text = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return json::parse(text);
      }
      char bytes[65536];
      const ssize_t got = ::read(out_, bytes, sizeof bytes);
      if (got <= 0) return nullptr;
      buffer_.append(bytes, static_cast<std::size_t>(got));
    }
  }
  void kill() {
    ::kill(pid_, SIGKILL);
    (void)wait();
  }
  void end_input() {
    ::close(in_);
    in_ = -1;
  }
  [[nodiscard]] int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  std::string buffer_;
};

void run_scenario(const char* scenario) {
  TempDir dir;
  REQUIRE(::chmod(dir.path().c_str(), 0755) == 0);
  Child child(scenario, dir.path());
  const int code = child.wait();
  if (code == gantry::test::kSkipped) gantry::test::skip(scenario);  // this machine does not allow it
  REQUIRE(code == 0);
}

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// The log's event at `answer`'s seq says what `answer` says.
void expect_logged(RawDatabase& db, const json& answer) {
  const auto rows = db.rows("SELECT payload FROM events WHERE seq = " + answer["seq"].dump());
  REQUIRE(rows.size() == 1);
  const json event = json::parse(rows[0][0]);
  if (answer.contains("key")) {
    REQUIRE(event["key"] == answer["key"]);
    REQUIRE(event["value"] == answer["value"]);
    REQUIRE(event["rev"] == answer["rev"]);
  } else if (answer.contains("results")) {
    REQUIRE(event["objects"].size() == answer["results"].size());
  } else {
    REQUIRE(event["session_id"] == answer["session"]["id"]);
    REQUIRE(event.value("rev", std::uint64_t{1}) == answer["session"]["rev"]);
  }
}

/// What a writer said until it was killed.
struct Said {
  std::vector<json> answers;  // the acknowledged ones
  json tried;                 // its last request
  bool acknowledged = false;  // was that one?

  void note(const json& line) {
    if (line.contains("try")) tried = line;
    if (line.contains("acknowledged")) answers.push_back(line["acknowledged"]);
    acknowledged = line.contains("acknowledged");
  }
};

/// Killed after a random number of lines, and then somewhere in what it does next.
[[nodiscard]] Said write_until_killed(const std::string& folder, std::uint64_t seed, std::mt19937_64& random) {
  Child child("write", folder, seed);
  Said said;
  const auto lines = random() % 60;
  for (std::uint64_t i = 0; i <= lines; ++i) {
    CAPTURE(i);
    const json line = child.line();
    REQUIRE(!line.is_null());
    said.note(line);
  }
  for (volatile std::uint64_t spin = random() % 2'000'000; spin > 0; spin = spin - 1) {
  }
  child.kill();
  for (json line = child.line(); !line.is_null(); line = child.line()) said.note(line);
  return said;
}

}  // namespace

// GANTRY_CRASH_LOOPS and GANTRY_CRASH_SEED run more, or the same again.
TEST_CASE("state: after kill -9 everything acknowledged is there, once, and the log has no hole") {
  const auto loops = from_environment("GANTRY_CRASH_LOOPS", 20);
  const auto seed = from_environment("GANTRY_CRASH_SEED", std::random_device{}());
  WARN("GANTRY_CRASH_SEED=" << seed);
  std::mt19937_64 random(seed);
  constexpr std::uint64_t kLoopsPerFolder = 25;  // each loop looks through the whole log
  std::unique_ptr<TempDir> dir;
  std::uint64_t acknowledged = 0;
  std::uint64_t head = 0;

  for (std::uint64_t loop = 0; loop < loops; ++loop) {
    CAPTURE(loop);
    if (loop % kLoopsPerFolder == 0) {
      dir = std::make_unique<TempDir>();
      head = 0;
    }
    const auto [answers, tried, was_acknowledged] = write_until_killed(dir->path(), seed + loop, random);
    acknowledged += answers.size();

    TestHost host(kPlugin, config(dir->path()));
    CAPTURE(host.log());
    REQUIRE(host.started() == 0);
    const std::uint64_t recovered = good(host.call("state.flush"))["seq"];
    // Changes that alter nothing (deleting an absent setting) are acknowledged at the seq before them.
    const std::uint64_t last = answers.empty() ? head : std::max(head, answers.back()["seq"].get<std::uint64_t>());
    std::uint64_t expected = last;
    if (!tried.is_null()) {
      // The writer asks again for its last one: done exactly once, whether it had been committed or not.
      const json again = good(host.call(tried["try"], tried["params"]));
      expected = std::max(last, again["seq"].get<std::uint64_t>());
      if (was_acknowledged) REQUIRE(again == answers.back());
      REQUIRE(good(host.call("state.flush"))["seq"] == expected);
    }
    host.destroy();
    REQUIRE((recovered == last || recovered == expected));  // one at most was committed and not yet acknowledged
    head = check_store(dir->path());
    REQUIRE(head == expected);
    RawDatabase db(dir->path());
    for (const auto& answer : answers) {
      // A deletion of what was absent altered nothing, and is at the seq of another change.
      if (!answer.contains("value") || !answer["value"].is_null()) expect_logged(db, answer);
    }
  }
  WARN("acknowledged " << acknowledged << ", lost 0, duplicated 0");
  REQUIRE((loops < 5 || acknowledged > 0));
}

TEST_CASE("state: a file size limit is storage_failed, and nothing refused is stored") { run_scenario("file-limit"); }
TEST_CASE("state: a full disk is storage_failed, and nothing refused is stored") { run_scenario("full-disk"); }
TEST_CASE("state: a read-only file system is storage_failed until it is writable") { run_scenario("read-only"); }
TEST_CASE("state: where no descriptors are left it is storage_failed, and a damaged database waits for its backup") {
  run_scenario("no-descriptors");
}
TEST_CASE("state: a damaged store whose newest backup cannot be read takes an older one by hand") {
  run_scenario("unreadable-backup");
}
TEST_CASE("state: a backup that cannot be put back for want of descriptors changes nothing") {
  run_scenario("restore-without");
}
TEST_CASE("state: an open store that has no descriptors left goes on with its changes, and loses none") {
  run_scenario("descriptors-gone");
}
TEST_CASE("state: a folder without permission is storage_failed until it has it") { run_scenario("no-access"); }

TEST_CASE("state: two processes cannot have one folder: the second is told who has it") {
  TempDir dir;
  Child first("hold", dir.path());
  REQUIRE(first.line()["started"] == 0);
  {
    TestHost second(kPlugin, config(dir.path()));
    REQUIRE(second.started() == static_cast<int>(ErrorKind::unavailable));
    REQUIRE(second.log().find("pid " + std::to_string(first.pid())) != std::string::npos);
    REQUIRE(second.log().find(dir.path()) != std::string::npos);
  }
  SECTION("one that ends gives it back") {
    first.end_input();
    REQUIRE(first.wait() == 0);
  }
  SECTION("so does one that is killed") { first.kill(); }
  TestHost third(kPlugin, config(dir.path()));
  REQUIRE(third.started() == 0);
}

TEST_CASE("state: nor can two instances in one process") {
  TempDir dir;
  TestHost first(kPlugin, config(dir.path()));
  TestHost second(kPlugin, config(dir.path()));
  REQUIRE(first.started() == 0);
  REQUIRE(second.started() == static_cast<int>(ErrorKind::unavailable));
  REQUIRE(first.call("state.settings.set", {{"key", "k"}, {"value", 1}}));
}
