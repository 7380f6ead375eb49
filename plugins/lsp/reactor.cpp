// SPDX-License-Identifier: Apache-2.0
#include "plugins/lsp/reactor.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

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
  const int n = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
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
