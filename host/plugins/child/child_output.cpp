// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/child/child_output.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace gantry::host {

namespace {

constexpr std::size_t kReadBytes = 16 * 1024;
constexpr int kReadsATurn = 4;
constexpr auto kPause = std::chrono::milliseconds(100);
/// Of an ended process: a pipe holds no more, unless somebody else still writes.
constexpr int kReadsAtTheEnd = 64;

}  // namespace

ChildOutput::ChildOutput(Worker& worker, Timers& timers, int fd, Log log)
    : worker_(worker), timers_(timers), log_(std::move(log)), pipe_(worker.context(), fd) {
  (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void ChildOutput::start() {
  worker_.post([self = shared_from_this()] { self->wait(); });
}

std::vector<std::string> ChildOutput::last_lines() const {
  const Lock lock(mutex_);
  return {last_.begin(), last_.end()};
}

void ChildOutput::wait_for_end(std::chrono::steady_clock::time_point until) {
  const Lock lock(mutex_);
  while (!ended_) {
    if (!changed_.wait_until(mutex_, until)) return;
  }
}

void ChildOutput::finish() {
  worker_.post([self = shared_from_this()] {
    self->read_rest();
    self->end();
  });
}

void ChildOutput::read_rest() {
  for (int i = 0; i < kReadsAtTheEnd && read_some(); ++i) {
  }
  say_dropped();
}

void ChildOutput::wait() {
  if (!pipe_.is_open()) return;
  pipe_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                   [self = shared_from_this()](const boost::system::error_code& failed) {
                     if (!failed) self->read();
                   });
}

void ChildOutput::read() {
  for (int i = 0; i < kReadsATurn; ++i) {
    if (!read_some()) {
      if (dropped_ == 0) return wait();
      break;
    }
  }
  if (dropped_ == 0) return wait();
  (void)timers_.after(kPause, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->say_dropped();
    self->wait();
  });
}

bool ChildOutput::read_some() {
  if (!pipe_.is_open()) return false;
  std::array<char, kReadBytes> buffer;
  ssize_t got = -1;
  do {
    got = ::read(pipe_.native_handle(), buffer.data(), buffer.size());
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    take(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    return true;
  }
  if (got < 0 && errno == EAGAIN) return false;
  end();
  return false;
}

void ChildOutput::take(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto newline = bytes.find('\n');
    const auto some = bytes.substr(0, std::min(newline, kMaxLine - partial_.size()));
    partial_ += some;
    bytes.remove_prefix(some.size());
    const bool ends = !bytes.empty() && bytes.front() == '\n';
    if (ends) bytes.remove_prefix(1);
    if (!ends && partial_.size() < kMaxLine) return;
    line(std::exchange(partial_, {}));
  }
}

void ChildOutput::line(std::string_view text) {
  if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
  {
    const Lock lock(mutex_);
    last_.emplace_back(text);
    if (last_.size() > kLastLines) last_.pop_front();
  }
  const auto now = std::chrono::steady_clock::now();
  const std::chrono::duration<double> passed = now - std::exchange(counted_, now);
  may_log_ = std::min(kBurst, may_log_ + (passed.count() * kPerSecond));
  if (may_log_ < 1) {
    ++dropped_;
    return;
  }
  say_dropped();
  may_log_ -= 1;
  log_(text);
}

void ChildOutput::say_dropped() {
  if (dropped_ == 0) return;
  log_(std::to_string(std::exchange(dropped_, 0)) + " lines of its output were dropped: it writes too many");
}

void ChildOutput::end() {
  if (!pipe_.is_open()) return;
  if (!partial_.empty()) line(std::exchange(partial_, {}));
  say_dropped();
  boost::system::error_code ignored;
  pipe_.close(ignored);
  const Lock lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

}  // namespace gantry::host
