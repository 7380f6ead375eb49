// SPDX-License-Identifier: Apache-2.0
//
// When no host runs, a client starts one: `gantry serve` in a session of its own. Many clients may do so at once; the
// hosts race for the lock of the state folder, one wins, the others leave, and every client then connects to the
// winner, wherever that listens. The started host tells over a pipe that it listens, or closes the pipe when it ends;
// the client waits for that, not for a time.
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <gantry/retry.hpp>
#include <string>
#include <vector>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/paths.hpp"
#include "host/daemon/daemon.hpp"
#include "host/daemon/state_lock.hpp"
#include "host/protocols/rpc/listener.hpp"

namespace gantry::host {

namespace {

constexpr int kReadyFd = 3;
constexpr auto kTimeout = std::chrono::seconds(10);

// In the child: only async-signal-safe calls.
[[noreturn]] void become_host(char* const* arguments, int ready) {
  ::setsid();
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  if (ready == kReadyFd) {
    ::fcntl(ready, F_SETFD, 0);
  } else {
    ::dup2(ready, kReadyFd);
  }
  // A daemon must not hold on to what its first client happened to have open.
  (void)::syscall(SYS_close_range, static_cast<unsigned>(kReadyFd + 1), ~0U, 0U);
  ::execv(arguments[0], arguments);
  ::_exit(127);
}

// All that a started host says on its pipe: "1" once it listens, else the error that it ends with (host/cli/serve.cpp).
[[nodiscard]] std::string read_news(int fd) {
  std::string news;
  std::array<char, 4096> buffer{};
  pollfd state{fd, POLLIN, 0};
  while (news != "1" && ::poll(&state, 1, static_cast<int>(std::chrono::milliseconds(kTimeout).count())) > 0) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got <= 0) break;
    news.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return news;
}

// Starts a host and waits until it listens (true), or another one turns out to have the lock (false).
[[nodiscard]] Result<bool> start_host(const ConnectOptions& options) {
  std::array<int, 2> ready{};
  if (::pipe2(ready.data(), O_CLOEXEC) != 0) return fail(ErrorKind::unavailable, "no pipe for a new host");
  std::vector<std::string> words{program_path().string(), "serve",      "--socket",
                                 options.socket.string(), "--ready-fd", std::to_string(kReadyFd)};
  if (!options.config.empty()) words.insert(words.end(), {"--config", options.config});
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  // Twice forked: nobody has to wait for the host when it ends one day.
  const pid_t child = ::fork();
  if (child == 0) {
    if (::fork() != 0) ::_exit(0);
    become_host(arguments.data(), ready[1]);
  }
  ::close(ready[1]);
  if (child < 0) {
    ::close(ready[0]);
    return fail(ErrorKind::unavailable, "a host could not be started: fork failed");
  }
  (void)::waitpid(child, nullptr, 0);
  const std::string news = read_news(ready[0]);
  ::close(ready[0]);
  if (news == "1") return true;
  const auto error = parse_json(news);
  if (!error || !error->is_object()) return false;  // it has died without a word
  const auto kind = static_cast<ErrorKind>(error->value("code", 0));
  if (kind == ErrorKind::conflict) return false;
  return fail(kind, "a host could not be started: " + error->value("message", ""));
}

[[nodiscard]] std::vector<std::string> differences(const json& hello, const ConnectOptions& options) {
  std::vector<std::string> notes;
  const std::string socket = hello.value("socket", options.socket.string());
  const auto compare = [&](const std::string& what, const std::string& here, const std::string& there) {
    if (here == there) return;
    notes.push_back("the host that answers on " + socket + " (pid " + std::to_string(hello.value("pid", 0)) +
                    ") has another " + what + ": " + there + ", not " + here);
  };
  constexpr const char* kBuiltIn = "the built-in defaults";
  const std::string theirs = hello.value("config_file", "");
  const auto config =
      find_config_file(options.config.empty() ? std::nullopt : std::optional<std::filesystem::path>(options.config));
  if (options.socket_is_named) compare("socket", options.socket.string(), socket);
  compare("version", std::string(kVersion), hello.value("version", ""));
  compare("state folder", options.state_dir.string(), hello.value("state_dir", ""));
  compare("configuration", config ? std::filesystem::absolute(*config).string() : kBuiltIn,
          theirs.empty() ? kBuiltIn : theirs);
  if (const auto note = ignored_runtime_dir(); note && !options.socket_is_named) notes.push_back(*note);
  for (const auto& warning : hello.value("warnings", json::array()))
    notes.push_back("the host says: " + warning.get<std::string>());
  return notes;
}

constexpr RetryPolicy kAgain{.max_retries = kNoLimit,
                             .initial_delay = std::chrono::milliseconds(50),
                             .max_delay = std::chrono::milliseconds(50),
                             .jitter = 0};

// Connects to the host that this client, or another one at the same moment, starts.
[[nodiscard]] Result<Client> start_and_connect(const ConnectOptions& options) {
  bool starts = true;
  const auto start_one = [&]() -> Result<Client> {
    // Another one may listen, or have the state folder, by now.
    auto client = find_host(options);
    if (client || client.error().kind != ErrorKind::unavailable) return client;
    if (find_state_holder(options.state_dir)) return client;
    const auto listens = start_host(options);
    starts = listens.has_value();
    if (!listens) return std::unexpected(listens.error());
    if (!*listens) return fail(ErrorKind::unavailable, "another host was faster, and does not answer yet");
    return Client::connect(options.socket);
  };
  // It may lose: to one that will listen in a moment, or to one that is just stopping.
  auto client = retry(kAgain, start_one,
                      {.retry_if = [&](const Error& error) { return starts && error.kind == ErrorKind::unavailable; },
                       .deadline = Deadline(time_after(kTimeout))});
  if (client || !starts || client.error().kind != ErrorKind::unavailable) return client;
  if (find_state_holder(options.state_dir)) return client;
  return fail(ErrorKind::unavailable,
              "a host was started, but does not answer on " + options.socket.string() + "; `gantry serve` shows why");
}

[[nodiscard]] Result<Client> find_or_start(const ConnectOptions& options) {
  auto client = find_host(options);
  if (client || client.error().kind != ErrorKind::unavailable) return client;
  if (find_state_holder(options.state_dir)) return client;
  if (!options.may_start) return fail(client.error().kind, client.error().message + "; start one with `gantry serve`");
  if (auto ok = check_socket_folder(options.socket.parent_path()); !ok) return std::unexpected(ok.error());
  return start_and_connect(options);
}

}  // namespace

void print_notes(const std::vector<std::string>& notes) {
  for (const auto& note : notes) std::fprintf(stderr, "gantry: %s\n", shown(std::string_view(note)).c_str());
}

ConnectOptions connect_options(const Common& common, std::string client) {
  ConnectOptions options;
  options.socket = socket_path(common.socket);
  options.socket_is_named = socket_is_named(common.socket);
  options.state_dir = state_dir();
  options.config = common.config;
  options.may_start = !common.no_start;
  options.client = std::move(client);
  return options;
}

Result<Client> connect_only(const Common& common) {
  auto options = connect_options(common, "gantry");
  options.may_start = false;
  auto connected = connect_or_start(options);
  if (!connected) return std::unexpected(connected.error());
  print_notes(connected->notes);
  return std::move(connected->client);
}

Result<Connected> connect_or_start(const ConnectOptions& options) {
  const json params{{"client", options.client}, {"version", kVersion}};
  bool found = false;
  const auto greet = [&]() -> Result<Connected> {
    auto client = find_or_start(options);
    found = client.has_value();
    if (!client) return std::unexpected(client.error());
    const auto hello = client->call("host.hello", params, options.timeout);
    if (!hello) return std::unexpected(hello.error());
    const json can = hello->value("capabilities", json::object());
    return Connected{std::move(*client), differences(*hello, options), can.value("max_message_bytes", std::size_t{0})};
  };
  // A host that is just dying or stopping still takes connections: look again for one that lives.
  RetryPolicy policy = kAgain;
  policy.max_retries = 40;
  return retry(policy, greet,
               {.retry_if = [&](const Error& error) { return found && error.kind == ErrorKind::unavailable; }});
}

}  // namespace gantry::host
