// SPDX-License-Identifier: Apache-2.0
//
// How a client finds the host that runs: on its socket; else by the state folder, whose holder may have lost its socket
// (it is woken, and makes the socket anew), or may listen elsewhere.
#include <gantry/retry.hpp>

#include "host/cli/client.hpp"
#include "host/daemon/state_lock.hpp"

namespace gantry::host {

namespace {

// A socket is made anew in milliseconds. Who may start a host asks again while one is just stopping.
constexpr auto kTimeout = std::chrono::seconds(3);
constexpr auto kMoment = std::chrono::milliseconds(20);

[[nodiscard]] std::unexpected<Error> unreachable(const StateHolder& holder, const std::filesystem::path& state_dir) {
  if (holder.pid == 0)
    return fail(ErrorKind::unavailable, "a host has the state folder " + state_dir.string() +
                                            ", but has not said on which socket it serves; look for it with `pgrep "
                                            "gantry`");
  const std::string who = "the host with pid " + std::to_string(holder.pid);
  if (!holder.is_here())
    return fail(ErrorKind::unavailable, who + " of another machine or container has the state folder " +
                                            state_dir.string() +
                                            "; stop it there, or use another folder here ($GANTRY_STATE_DIR)");
  return fail(ErrorKind::unavailable, who + " has the state folder " + state_dir.string() +
                                          ", but does not answer on " + holder.socket.string() +
                                          "; `gantry stop` ends it");
}

}  // namespace

Result<Client> find_host(const ConnectOptions& options) {
  bool woken = false;
  bool held = false;
  const auto look = [&]() -> Result<Client> {
    auto client = Client::connect(options.socket);
    if (client || client.error().kind != ErrorKind::unavailable) return client;
    const auto holder = find_state_holder(options.state_dir);
    held = holder.has_value();
    if (!holder) return client;
    if (!holder->socket.empty() && holder->socket != options.socket) {
      if (auto there = Client::connect(holder->socket)) return there;
    }
    if (!std::exchange(woken, true)) wake_state_holder(options.state_dir);
    return unreachable(*holder, options.state_dir);
  };
  return retry({.max_retries = kNoLimit, .initial_delay = kMoment, .max_delay = kMoment, .jitter = 0}, look,
               {.retry_if = [&](const Error& error) { return held && error.kind == ErrorKind::unavailable; },
                .deadline = Deadline(time_after(kTimeout))});
}

}  // namespace gantry::host
