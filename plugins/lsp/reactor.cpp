// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/reactor.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace gantry::lsp {

namespace {
constexpr std::uint64_t kWakeToken = 0;
}

Result<std::unique_ptr<Reactor>> Reactor::make() {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  const int wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeToken;
  if (epoll < 0 || wake < 0 || ::epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event) != 0) {
    const int why = errno;
    if (epoll >= 0) ::close(epoll);
    if (wake >= 0) ::close(wake);
    return fail(ErrorKind::unavailable, std::string("cannot wait for descriptors: ") + std::strerror(why));
  }
  return std::unique_ptr<Reactor>(new Reactor(epoll, wake));
}

Reactor::Reactor(int epoll, int wake) : epoll_(epoll), wake_(wake), thread_([this] { run(); }) {}

Reactor::~Reactor() {
  stop();
  ::close(wake_);
  ::close(epoll_);
}

void Reactor::post(Task task) {
  auto tx = posted_.tx;  // a sender is used by one thread at a time
  (void)tx.send(std::move(task));
}

void Reactor::wake_up() noexcept {
  const std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof one);
}

void Reactor::stop() {
  stopping_ = true;
  wake_up();
  if (thread_.joinable()) thread_.join();
  posted_.rx.close();
  while (posted_.rx.try_recv()) {
  }
  entries_.clear();
  fds_.clear();
}

bool Reactor::add(int fd, std::uint32_t events, Handler handler) {
  const std::uint64_t token = ++last_token_;
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return false;
  entries_[fd] = Entry{token, std::make_shared<Handler>(std::move(handler))};
  fds_[token] = fd;
  return true;
}

void Reactor::set(int fd, std::uint32_t events) {
  const auto it = entries_.find(fd);
  if (it == entries_.end()) return;
  epoll_event event{};
  event.events = events;
  event.data.u64 = it->second.token;
  (void)::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Reactor::set_after(std::chrono::milliseconds pause, int fd, std::uint32_t events) {
  const auto it = entries_.find(fd);
  if (it == entries_.end()) return;
  set(fd, 0);
  paused_.push_back({std::chrono::steady_clock::now() + pause, it->second.token, events});
}

// Ends the pauses that are over. Returns the milliseconds until the next is, -1: there is none.
int Reactor::longest_wait() {
  if (paused_.empty()) return -1;
  const auto now = std::chrono::steady_clock::now();
  auto next = std::chrono::steady_clock::time_point::max();
  std::erase_if(paused_, [&](const Paused& each) {
    const auto fd = fds_.find(each.token);
    if (fd != fds_.end() && each.until > now) next = std::min(next, each.until);
    if (fd != fds_.end() && each.until <= now) set(fd->second, each.events);
    return fd == fds_.end() || each.until <= now;
  });
  if (paused_.empty()) return -1;
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(next - now).count());
}

void Reactor::remove(int fd) {
  const auto it = entries_.find(fd);
  if (it == entries_.end()) return;
  (void)::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  fds_.erase(it->second.token);
  entries_.erase(it);
}

void Reactor::run() {
  while (!stopping_) {
    if (auto task = posted_.rx.try_recv()) {
      (*task)();
    } else if (!posted_.rx.ready_or_wake(waker_) && !wait()) {
      return;
    }
  }
}

// False: it cannot wait any more.
bool Reactor::wait() {
  std::array<epoll_event, 64> events{};
  const int n = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), longest_wait());
  if (n < 0 && errno != EINTR) return false;
  for (int i = 0; i < n; ++i) {
    const auto token = events[static_cast<std::size_t>(i)].data.u64;
    if (token == kWakeToken) {
      std::uint64_t count = 0;
      (void)!::read(wake_, &count, sizeof count);
      continue;
    }
    const auto fd = fds_.find(token);
    if (fd == fds_.end()) continue;
    const auto handler = entries_.at(fd->second).handler;  // it may remove itself
    (*handler)(events[static_cast<std::size_t>(i)].events);
  }
  return true;
}

}  // namespace gantry::lsp
