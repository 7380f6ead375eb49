// SPDX-License-Identifier: Apache-2.0
//
// Several sd-bus connections on one thread. Each is processed completely before the thread sleeps,
// by sd_bus_get_fd() and sd_bus_get_events(); under sd-event a connection would handle one message
// per turn of the loop.
#pragma once

#include <sys/epoll.h>
#include <systemd/sd-bus.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <deque>

namespace sd_bus_echo {

inline constexpr const char* kName = "gantry.bench.Echo";
inline constexpr const char* kPath = "/gantry/bench/echo";
inline constexpr const char* kInterface = "gantry.bench.Echo";

class Connections {
 public:
  /// wait() also reports when the descriptor `other` is ready.
  explicit Connections(int other = -1) {
    epoll_event event{EPOLLIN, {.ptr = nullptr}};
    if (other >= 0) ::epoll_ctl(epoll_, EPOLL_CTL_ADD, other, &event);
  }
  /// False: the connection cannot be used.
  [[nodiscard]] bool add(sd_bus* bus) {
    auto& one = all_.emplace_back(Connection{bus, 0});
    epoll_event event{0, {.ptr = &one}};
    return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, sd_bus_get_fd(bus), &event) == 0 && process(one);
  }

  enum class Happened { kMessages, kOther, kNothing, kClosed };
  /// Sleeps until something arrives, at most `milliseconds`, and processes all of it.
  [[nodiscard]] Happened wait(int milliseconds) {
    std::array<epoll_event, 64> events{};
    const int ready = ::epoll_wait(epoll_, events.data(), events.size(), milliseconds);
    if (ready <= 0) return ready < 0 && errno == EINTR ? Happened::kMessages : Happened::kNothing;
    auto happened = Happened::kMessages;
    for (int i = 0; i < ready; ++i) {
      auto* one = static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (one == nullptr) {
        happened = Happened::kOther;
      } else if (!process(*one)) {
        ::epoll_ctl(epoll_, EPOLL_CTL_DEL, sd_bus_get_fd(one->bus), nullptr);
        if (happened == Happened::kMessages) happened = Happened::kClosed;
      }
    }
    return happened;
  }
  /// Called after calls were started outside wait().
  [[nodiscard]] bool process_all() {
    for (auto& one : all_) {
      if (!process(one)) return false;
    }
    return true;
  }

 private:
  struct Connection {
    sd_bus* bus;
    int events;
  };

  [[nodiscard]] bool process(Connection& one) {
    int done = 1;
    while (done > 0) done = sd_bus_process(one.bus, nullptr);
    const int events = done < 0 ? done : sd_bus_get_events(one.bus);
    if (events < 0) return false;
    if (events == one.events) return true;
    one.events = events;
    // The bits of poll equal those of epoll.
    epoll_event event{static_cast<std::uint32_t>(events), {.ptr = &one}};
    return ::epoll_ctl(epoll_, EPOLL_CTL_MOD, sd_bus_get_fd(one.bus), &event) == 0;
  }

  int epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  std::deque<Connection> all_;
};

}  // namespace sd_bus_echo
