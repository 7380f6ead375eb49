// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdio>
#include <gantry/retry.hpp>
#include <map>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/paths.hpp"

namespace gantry::host {

namespace {

void print_status(const json& status, const json& plugins, const json& tasks) {
  std::printf("gantry %s, pid %lld, up %.0f s, %.1f MiB\nsocket  %s\n", status.value("version", "").c_str(),
              static_cast<long long>(status.value("pid", 0LL)), status.value("uptime_seconds", 0.0),
              static_cast<double>(status.value("rss_bytes", 0ULL)) / 1048576.0, status.value("socket", "").c_str());
  for (const auto& workspace : status.value("workspaces", json::array()))
    std::printf("serves  %s\n", workspace.get<std::string>().c_str());
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
    std::printf("  %*s%-*s %-11s %7.1f s", indent, "", 28 - indent, name.c_str(), t.value("state", "").c_str(),
                t.value("age_seconds", 0.0));
    if (const auto delay = t.value("queue_delay_seconds", 0.0); delay >= 0.1) std::printf("  queued %.1f s", delay);
    if (const auto restarts = t.value("restarts", 0ULL); restarts != 0)
      std::printf("  %llu restarts", static_cast<unsigned long long>(restarts));
    for (const char* const member : {"progress", "error"}) {
      if (t.contains(member)) std::printf("  %s", t.value(member, "").c_str());
    }
    for (const auto& step : t.value("slow_steps", json::array()))
      std::printf("  slow: %s %.1f s", step.value("name", "").c_str(), step.value("seconds", 0.0));
    std::printf("\n");
  }
}

/// Waits until nobody holds the socket's lock any more.
[[nodiscard]] bool wait_until_free(const std::filesystem::path& socket, std::chrono::seconds patience) {
  const std::string path = socket.string() + ".lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return true;
  constexpr Duration kMoment = std::chrono::milliseconds(10);
  const auto free = retry({.max_retries = kNoLimit, .initial_delay = kMoment, .max_delay = kMoment, .jitter = 0},
                          [&]() -> Result<void> {
                            if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return {};
                            return fail(ErrorKind::conflict, "it is held");
                          },
                          {.deadline = Deadline(time_after(patience))});
  ::close(fd);
  return free.has_value();
}

}  // namespace

int status(const Common& common, bool as_json) {
  auto client = connect_only(common);
  if (!client) return complain(client.error());
  const auto patience = std::chrono::seconds(10);
  auto host = client->call("host.status", json::object(), patience);
  if (!host) return complain(host.error());
  const auto plugins = client->call("host.plugins", json::object(), patience);
  const auto tasks = client->call("host.tasks", json::object(), patience);
  if (as_json) {
    (*host)["plugins"] = plugins.value_or(json::array());
    (*host)["tasks"] = tasks.value_or(json::array());
    std::printf("%s\n", dump_json(*host).c_str());
  } else {
    print_status(*host, plugins.value_or(json::array()), tasks.value_or(json::array()));
  }
  return 0;
}

int stop(const Common& common) {
  auto client = Client::connect(socket_path(common.socket));
  if (!client) return complain(Error{client.error().kind, client.error().message + "; there is nothing to stop", {}});
  if (auto answer = client->call("host.shutdown", json::object(), std::chrono::seconds(10));
      !answer && answer.error().kind != ErrorKind::unavailable)  // `unavailable`: it is stopping already
    return complain(answer.error());
  if (!wait_until_free(socket_path(common.socket), std::chrono::seconds(30)))
    return complain(Error{ErrorKind::timeout, "the host was asked to stop, but still runs after 30 s", {}});
  return 0;
}

}  // namespace gantry::host
