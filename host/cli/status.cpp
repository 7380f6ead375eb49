// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <gantry/decimal.hpp>
#include <map>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/daemon/state_lock.hpp"

namespace gantry::host {

namespace {

void print_status(const json& status, const json& plugins, const json& tasks) {
  std::printf("gantry %s, pid %lld, up %s s, %s MiB\nsocket  %s\n", status.value("version", "").c_str(),
              static_cast<long long>(status.value("pid", 0LL)), decimal(status.value("uptime_seconds", 0.0), 0).c_str(),
              decimal(static_cast<double>(status.value("rss_bytes", 0ULL)) / 1048576.0, 1).c_str(),
              status.value("socket", "").c_str());
  for (const auto& workspace : status.value("workspaces", json::array()))
    std::printf("serves  %s\n", workspace.get<std::string>().c_str());
  for (const auto& warning : status.value("warnings", json::array()))
    std::printf("warning %s\n", warning.get<std::string>().c_str());
  for (const auto& project : status.value("projects", json::array())) {
    std::printf("project %s: %s\n", project.value("file", "").c_str(), project.value("state", "").c_str());
    for (const auto& key : project.value("waiting", json::array()))
      std::printf("        waits for `gantry trust`: %s\n", key.get<std::string>().c_str());
    for (const auto& error : project.value("errors", json::array()))
      std::printf("        %s\n", error.get<std::string>().c_str());
  }
  std::printf("\nplugins\n");
  for (const auto& p : plugins) {
    std::printf("  %-14s %-8s %-10s %s\n", p.value("name", "").c_str(), p.value("version", "").c_str(),
                p.value("state", "").c_str(), p.value("reason", "").c_str());
  }
  if (tasks.empty()) return;
  std::printf("\ntasks\n");
  std::map<std::string, int> depth;  // parents come first
  for (const auto& t : tasks) {
    const std::string name = t.value("name", "");
    const auto parent = depth.find(t.value("parent", ""));
    const int indent = depth[name] = parent == depth.end() ? 0 : parent->second + 2;
    std::printf("  %*s%-*s %-11s %7s s", indent, "", 28 - indent, name.c_str(), t.value("state", "").c_str(),
                decimal(t.value("age_seconds", 0.0), 1).c_str());
    if (const auto delay = t.value("queue_delay_seconds", 0.0); delay >= 0.1)
      std::printf("  queued %s s", decimal(delay, 1).c_str());
    if (const auto restarts = t.value("restarts", 0ULL); restarts != 0)
      std::printf("  %llu restarts", static_cast<unsigned long long>(restarts));
    for (const char* const member : {"progress", "error"}) {
      if (t.contains(member)) std::printf("  %s", t.value(member, "").c_str());
    }
    for (const auto& step : t.value("slow_steps", json::array()))
      std::printf("  slow: %s %s s", step.value("name", "").c_str(), decimal(step.value("seconds", 0.0), 1).c_str());
    std::printf("\n");
  }
}

constexpr auto kStopTimeout = std::chrono::seconds(30);

/// A process that can be waited for though it is nobody's child; -1: it cannot be seen from here.
class Process {
 public:
  explicit Process(pid_t pid) : fd_(pid > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1) {}
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] bool is_known() const { return fd_ >= 0; }
  [[nodiscard]] bool send(int signal) const { return ::syscall(SYS_pidfd_send_signal, fd_, signal, nullptr, 0) == 0; }
  [[nodiscard]] bool ends_within(std::chrono::milliseconds timeout) const {
    pollfd ended{fd_, POLLIN, 0};
    return ::poll(&ended, 1, static_cast<int>(timeout.count())) == 1;
  }

 private:
  int fd_;
};

[[nodiscard]] int wait_for_end(const Process& process, pid_t pid) {
  if (process.ends_within(kStopTimeout)) return 0;
  return complain(Error{
      ErrorKind::timeout,
      "the host was asked to stop, but still runs after 30 s; `kill -9 " + std::to_string(pid) + "` ends it at once",
      {}});
}

[[nodiscard]] int shut_down(Client& client) {
  const Process process(client.pid());
  auto answer = client.call("host.shutdown", json::object(), std::chrono::seconds(10));
  // It has no room for this client, and was not asked. A signal needs none.
  if (!answer && answer.error().kind == ErrorKind::overloaded && process.is_known() && process.send(SIGTERM))
    return wait_for_end(process, client.pid());
  if (!answer && answer.error().kind != ErrorKind::unavailable)  // `unavailable`: it is stopping already
    return complain(answer.error());
  if (process.is_known()) return wait_for_end(process, client.pid());
  // In another container, say: its connections are the last that it closes.
  while (client.receive(kStopTimeout)) {
  }
  return 0;
}

// One that has the state folder and answers nowhere.
[[nodiscard]] int stop_holder(const ConnectOptions& options, const Error& why) {
  const auto holder = find_state_holder(options.state_dir);
  const Process process(holder ? holder->pid : 0);
  // Read again: the pid was the holder's when the process was opened.
  const auto again = find_state_holder(options.state_dir);
  if (!process.is_known() || !again || again->pid != holder->pid || !again->is_here()) return complain(why);
  if (!process.send(SIGTERM)) return complain(why);
  return wait_for_end(process, holder->pid);
}

}  // namespace

int status(const Common& common, bool as_json) {
  auto client = connect_only(common);
  if (!client) return complain(client.error());
  const auto timeout = std::chrono::seconds(10);
  auto host = client->call("host.status", json::object(), timeout);
  if (!host) return complain(host.error());
  const auto plugins = client->call("host.plugins", json::object(), timeout);
  const auto tasks = client->call("host.tasks", json::object(), timeout);
  if (as_json) {
    (*host)["plugins"] = plugins.value_or(json::array());
    (*host)["tasks"] = tasks.value_or(json::array());
    std::printf("%s\n", dump_json(*host).c_str());
  } else {
    print_status(shown(*host), shown(plugins.value_or(json::array())), shown(tasks.value_or(json::array())));
  }
  return 0;
}

int stop(const Common& common) {
  const auto options = connect_options(common, "gantry stop");
  auto client = Client::connect(options.socket);
  if (client) return shut_down(*client);
  if (client.error().kind != ErrorKind::unavailable) return complain(client.error());
  const auto holder = find_state_holder(options.state_dir);
  const auto refuse = [&](const std::string& why) {
    return complain(Error{client.error().kind, client.error().message + "; " + why, {}});
  };
  if (!holder) return refuse("there is nothing to stop");
  // Perhaps it was another one that is meant, and that has ended.
  if (options.socket_is_named && !holder->socket.empty() && holder->socket != options.socket)
    return refuse("the host with pid " + std::to_string(holder->pid) + " has the state folder: `gantry stop --socket " +
                  holder->socket.string() + "` stops that");
  auto found = find_host(options);
  if (found) return shut_down(*found);
  if (found.error().kind == ErrorKind::unavailable) return stop_holder(options, found.error());
  return complain(found.error());
}

}  // namespace gantry::host
