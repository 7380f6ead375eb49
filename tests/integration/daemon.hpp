// SPDX-License-Identifier: Apache-2.0
//
// Runs the real binary, in a folder of its own.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gantry/json.hpp>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "host/cli/client.hpp"
#include "tests/eventually.hpp"
#include "tests/folders.hpp"
#include "tests/process_stat.hpp"

namespace gantry::host::test {

namespace fs = std::filesystem;

using gantry::test::eventually;
/// How long a test waits for what has to come.
inline constexpr auto kTimeout = gantry::test::kWaitTimeout;

/// Another name of eventually().
template <class F>
void wait_for(const std::string& what, F&& condition) {
  eventually(what, std::forward<F>(condition));
}

/// The result of a finished command.
struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};

/// A folder with a socket, a state folder and a configuration, and the commands that live in it.
class Sandbox {
 public:
  Sandbox() {
    std::string pattern = (fs::temp_directory_path() / "gantry-it-XXXXXX").string();
    dir_ = ::mkdtemp(pattern.data());
    fs::create_directory(dir_ / "work");
  }
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  ~Sandbox() {
    if (const auto pid = host_pid()) {
      ::kill(*pid, SIGKILL);
    }
    for (const pid_t pid : started_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    std::error_code ignored;
    fs::remove_all(dir_, ignored);
  }

  [[nodiscard]] const fs::path& dir() const { return dir_; }
  [[nodiscard]] fs::path socket() const { return dir_ / "run" / "host.sock"; }
  [[nodiscard]] fs::path work() const { return dir_ / "work"; }
  void write(const fs::path& file, const std::string& text) const {
    fs::create_directories((dir_ / file).parent_path());
    std::ofstream(dir_ / file) << text;
  }
  [[nodiscard]] std::string read(const fs::path& file) const {
    std::ifstream in(dir_ / file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  /// Until `text` is in the file.
  void wait_for_text(const fs::path& file, const std::string& text) const {
    eventually(text + " in " + file.string(), [&] { return read(file).find(text) != std::string::npos; });
  }

  /// Runs `gantry WORDS...` to its end.
  [[nodiscard]] Ran run(const std::vector<std::string>& words) {
    const auto out = dir_ / "out.txt";
    const auto err = dir_ / "err.txt";
    const pid_t pid = spawn(words, out, err);
    int status = 0;
    ::waitpid(pid, &status, 0);
    Ran ran;
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    ran.out = read("out.txt");
    ran.err = read("err.txt");
    return ran;
  }
  /// Starts `gantry WORDS...`, for wait(); its output is in NAME.out and NAME.err. It ends with this sandbox.
  pid_t start(const std::vector<std::string>& words, const std::string& name) {
    started_.push_back(spawn(words, dir_ / (name + ".out"), dir_ / (name + ".err")));
    return started_.back();
  }
  /// Starts `gantry serve WORDS...` and waits until it listens.
  pid_t serve(std::vector<std::string> words = {}) {
    words.insert(words.begin(), "serve");
    const pid_t pid = start(words, "serve");
    const auto listens = [&] { return Client::connect(socket()).has_value(); };
    (void)gantry::test::polled([&] { return listens() || !lives(pid); });
    if (!listens()) FAIL("the host does not listen: " << read("serve.err"));
    return pid;
  }
  /// The exit code of what was started with start() or serve().
  [[nodiscard]] int wait(pid_t pid) {
    int status = 0;
    ::waitpid(pid, &status, 0);
    std::erase(started_, pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  [[nodiscard]] Client connect() const {
    auto client = Client::connect(socket());
    REQUIRE(client);
    return std::move(*client);
  }
  [[nodiscard]] std::optional<pid_t> host_pid() const {
    auto client = Client::connect(socket());
    if (!client) return std::nullopt;
    const auto status = client->call("host.status", json::object(), std::chrono::seconds(5));
    // As seen from here: the host may be in a pid namespace of its own.
    return status ? std::optional<pid_t>(client->pid()) : std::nullopt;
  }
  /// Further `NAME=value` for commands that are run.
  std::vector<std::string> environment;
  bool names_socket = true;
  std::string cwd;  ///< the working folder of commands; empty: the test's own
  std::string program = gantry::folders::build() + "/gantry";

  [[nodiscard]] pid_t spawn(const std::vector<std::string>& words, const fs::path& out, const fs::path& err,
                            int in = -1, int out_fd = -1) {
    std::vector<std::string> all{program};
    if (names_socket) all.insert(all.end(), {"--socket", socket().string()});
    all.insert(all.end(), words.begin(), words.end());
    std::vector<std::string> env = environment;
    const auto add = [&](const std::string& name, const std::string& value) {  // of two with one name programs differ
      const bool has = std::ranges::any_of(env, [&](const auto& entry) { return entry.starts_with(name + "="); });
      if (!has) env.push_back(name + "=" + value);
    };
    add("GANTRY_STATE_DIR", (dir_ / "state").string());
    add("XDG_CONFIG_HOME", (dir_ / "config").string());
    add("HOME", dir_.string());
    for (const char* name : {"PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "ASAN_SYMBOLIZER_PATH"}) {
      if (const char* value = std::getenv(name)) add(name, value);
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (!cwd.empty()) posix_spawn_file_actions_addchdir_np(&actions, cwd.c_str());
    if (in >= 0) {
      posix_spawn_file_actions_adddup2(&actions, in, 0);
    } else {
      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    }
    if (out_fd >= 0) {
      posix_spawn_file_actions_adddup2(&actions, out_fd, 1);
    } else {
      posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    }
    posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    std::vector<char*> argv;
    for (auto& word : all) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::vector<char*> envp;
    for (auto& variable : env) envp.push_back(variable.data());
    envp.push_back(nullptr);
    pid_t pid = -1;
    REQUIRE(::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), envp.data()) == 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
  }

 private:
  fs::path dir_;
  std::vector<pid_t> started_;
};

/// No command may print internals.
inline void require_civil(const Ran& ran) {
  for (const char* rude :
       {"terminate called", "what():", "Sanitizer", "std::", "boost::", "json.exception", "Aborted", "    #0 "}) {
    INFO(ran.err);
    REQUIRE(ran.err.find(rude) == std::string::npos);
    REQUIRE(ran.out.find(rude) == std::string::npos);
  }
  REQUIRE(ran.code < 128);
}

}  // namespace gantry::host::test
