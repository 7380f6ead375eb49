// SPDX-License-Identifier: Apache-2.0
//
// Who owns what: the queue towards the server belongs to out_mutex_, what is being written to the thread that set
// writing_; everything that reads belongs to the reactor's thread. The reactor's handlers hold the process alive until
// the exit was reported.
#include "plugins/lsp/process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "plugins/lsp/envelope.hpp"
#include "plugins/lsp/printable.hpp"

namespace gantry::lsp {

ServerProcess::ServerProcess(Reactor& reactor, Host host, HelperProcess helper, std::weak_ptr<ConnectionEvents> events)
    : reactor_(reactor),
      host_(std::move(host)),
      events_(std::move(events)),
      name_(std::move(helper.name)),
      pid_(helper.pid),
      writable_(std::move(helper.write)),
      warm_(helper.warm),
      in_(std::move(helper.input)),
      out_(std::move(helper.output)),
      err_(std::move(helper.errors)) {
  for (const int fd : {out_.get(), err_.get()}) (void)::fcntl(fd, F_SETFL, O_NONBLOCK);
}

ServerProcess::~ServerProcess() { kill_group(SIGKILL); }

std::optional<ServerProcess::Suspended> ServerProcess::suspend() {
  Lock lock(out_mutex_);
  if (broken_ || !output_open_ || decoder_.skipping() || !decoder_.error().empty()) return std::nullopt;
  Suspended suspended{std::string(decoder_.held()), front_.substr(front_at_) + queue_, stderr_tail(), close_wanted_};
  gone_ = true;
  return suspended;
}

void ServerProcess::restore(Suspended suspended) {
  Lock lock(out_mutex_);
  decoder_.feed(suspended.unread);
  queue_ = std::move(suspended.unsent);
  queued(queue_.size());
  close_wanted_ = suspended.close_wanted;
  Lock errors(err_mutex_);
  tail_ = std::move(suspended.stderr_tail);
}

void ServerProcess::begin() {
  reactor_.post([self = shared_from_this()] { self->watch(); });
  const auto report = [self = shared_from_this()](std::string reason) {
    self->reactor_.post([self, reason = std::move(reason)] { self->exited(reason); });
  };
  auto made = await_process(host_, name_, [report](const Result<ProcessEnd>& end) {
    if (!end) return report("is lost: " + end.error().message);
    if (end->exit_code) return report("exited with code " + std::to_string(*end->exit_code));
    const int signal = end->signal.value_or(SIGKILL);
    report("was killed by signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")");
  });
  if (!made) report("is lost: " + made.error().message);
}

void ServerProcess::watch() {
  auto self = shared_from_this();
  bool watched = reactor_.add(out_.get(), EPOLLIN, [self](std::uint32_t) { self->readable(); });
  watched = reactor_.add(err_.get(), EPOLLIN, [self](std::uint32_t) { self->errors_readable(); }) && watched;
  watched = reactor_.add(in_.get(), EPOLLET, [self](std::uint32_t) { self->has_room(); }) && watched;
  if (!watched) {
    end_reason_ = "could not be watched: " + std::string(std::strerror(errno));
    return kill_group(SIGKILL);
  }
  flush();
  if (decoder_.buffered() > 0) deliver();  // of before; what comes now will be told
}

// ---- towards the server -------------------------------------------------------------------------

void ServerProcess::queued(std::size_t bytes) {
  if (backlog_.fetch_add(bytes, std::memory_order_relaxed) + bytes > kHighWater) was_high_ = true;
}

void ServerProcess::enqueue(std::string_view message) {
  Lock lock(out_mutex_);
  if (broken_ || close_wanted_) return;
  const std::size_t before = queue_.size();
  append_frame(queue_, Framing::headers, message);
  queued(queue_.size() - before);
}

void ServerProcess::enqueue_with_id(std::string_view message, std::string_view id, std::string_view new_id) {
  const auto at = static_cast<std::size_t>(id.data() - message.data());
  Lock lock(out_mutex_);
  if (broken_ || close_wanted_) return;
  const std::size_t before = queue_.size();
  queue_ += "Content-Length: ";
  queue_ += std::to_string(message.size() - id.size() + new_id.size());
  queue_ += "\r\n\r\n";
  queue_ += message.substr(0, at);
  queue_ += new_id;
  queue_ += message.substr(at + id.size());
  queued(queue_.size() - before);
}

void ServerProcess::close_input() {
  {
    Lock lock(out_mutex_);
    close_wanted_ = true;
  }
  flush();
}

// True: front_ holds bytes to write. False: nothing is left, and this thread writes no more.
bool ServerProcess::next_chunk() {
  Lock lock(out_mutex_);
  if (broken_) queue_.clear();
  if (queue_.empty()) {
    writing_ = false;
    if (close_wanted_) (void)::shutdown(in_.get(), SHUT_WR);
    return false;
  }
  front_.clear();
  front_.swap(queue_);
  if (queue_.capacity() > 4 * kHighWater) std::string().swap(queue_);
  front_at_ = 0;
  return true;
}

// False: another thread saw room in between: it went away because we write, so its sight is ours.
bool ServerProcess::stops_writing() {
  Lock lock(out_mutex_);
  if (std::exchange(write_again_, false)) return false;
  writing_ = false;
  return true;
}

void ServerProcess::flush() {
  {
    Lock lock(out_mutex_);
    write_again_ = true;
    if (writing_) return;
    writing_ = true;
    write_again_ = false;
  }
  while (front_at_ < front_.size() || next_chunk()) {
    const auto n = ::send(in_.get(), front_.data() + front_at_, front_.size() - front_at_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      front_at_ += static_cast<std::size_t>(n);
      backlog_.fetch_sub(static_cast<std::size_t>(n), std::memory_order_relaxed);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (stops_writing()) return await_room();
    } else if (errno != EINTR) {
      Lock lock(out_mutex_);
      broken_ = true;
      front_at_ = front_.size();
    }
  }
  finish_flush();
}

// Watched only while it is wanted: else each message that the server takes would wake the reactor.
void ServerProcess::await_room() {
  if (room_awaited_.exchange(true)) return;
  reactor_.post([self = shared_from_this()] { self->reactor_.set(self->in_.get(), EPOLLOUT | EPOLLET); });
}

void ServerProcess::has_room() {
  reactor_.set(in_.get(), EPOLLET);
  room_awaited_ = false;
  flush();
}

void ServerProcess::finish_flush() {
  {
    Lock lock(out_mutex_);
    if (!was_high_ || backlog() > kLowWater) return;
    was_high_ = false;
  }
  if (drained_posted_.exchange(true)) return;
  reactor_.post([self = shared_from_this()] {
    self->drained_posted_ = false;
    if (const auto events = self->events_.lock()) events->on_drained(*self);
  });
}

// ---- from the server ----------------------------------------------------------------------------

void ServerProcess::readable() {
  constexpr std::size_t kChunk = 64 * 1024;
  for (int round = 0; round < 16 && output_open_ && !held_; ++round) {
    char* const into = decoder_.prepare(kChunk);
    const auto n = ::read(out_.get(), into, kChunk);
    if (n > 0) {
      if (sought_) {
        unsynced_.append(into, static_cast<std::size_t>(n));
        seek();
      } else {
        decoder_.commit(static_cast<std::size_t>(n));
      }
      if (!sought_) deliver();
      if (static_cast<std::size_t>(n) < kChunk) return;
    } else if (n == 0) {
      output_ended("closed its output");
    } else if (errno != EINTR) {
      if (errno != EAGAIN && errno != EWOULDBLOCK)
        output_ended(std::string("could not be read: ") + std::strerror(errno));
      return;
    }
  }
}

// A header in what is dropped may lie within a text: so its body must be the answer. What may still become it is kept.
void ServerProcess::seek() {
  constexpr auto kName = FrameDecoder::kLengthName;
  const std::string_view all = unsynced_;
  std::size_t keep = all.size() - std::min(all.size(), kName.size() - 1);
  constexpr auto kDash = kName.find('-');  // is rare in JSON
  for (auto dash = all.find('-'); dash != std::string_view::npos; dash = all.find('-', dash + 1)) {
    if (dash < kDash) continue;
    const auto at = dash - kDash;
    const auto held = all.substr(at);
    if (held.size() < kName.size()) break;  // kept
    if (!FrameDecoder::may_begin_with(held, kName)) continue;
    std::size_t body = 0, length = 0;
    const bool whole = FrameDecoder::header_size(held, Noise::skipped, body) != std::string_view::npos;
    const auto digits = std::min(held.find_first_not_of(" \t", kName.size()), held.size());
    (void)std::from_chars(held.data() + digits, held.data() + held.size(), length);
    if (!whole || held.size() - body < length) {
      keep = std::min(keep, at);
      continue;
    }
    const Envelope e = scan(held.substr(body, length), Scan::route);
    if (!e.is_response() || own_id(e.id) != *sought_) continue;
    sought_.reset();
    decoder_.feed(held);
    std::string().swap(unsynced_);
    return;
  }
  unsynced_.erase(0, keep);
  if (unsynced_.size() > kMaxMessage) output_ended("did not answer after the plugin's death");
}

void ServerProcess::deliver() {
  const auto events = events_.lock();
  if (!events) return output_ended("has lost its session");
  while (output_open_) {
    std::string_view message;
    const auto status = decoder_.next(message);
    if (!noise_reported_ && !decoder_.noise().empty() && status != FrameDecoder::Status::broken) {
      noise_reported_ = true;
      events->on_noise(*this, decoder_.noise());
    }
    switch (status) {
      case FrameDecoder::Status::message:
        if (events->on_message(*this, message)) break;
        held_ = true;
        reactor_.set(out_.get(), 0);
        return;
      case FrameDecoder::Status::need_more:
        decoder_.release();
        return;
      case FrameDecoder::Status::too_large:
        events->on_skipped(*this, decoder_.held());
        break;
      case FrameDecoder::Status::broken:
        output_ended("sent what is no LSP message: " + decoder_.error() +
                     (decoder_.noise().empty()
                          ? ""
                          : "; what it sent begins \"" + printable(decoder_.noise(), FrameDecoder::kNoiseKept) + '"'));
        return;
    }
  }
}

void ServerProcess::resume() {
  if (resume_posted_.exchange(true)) return;
  reactor_.post([self = shared_from_this()] {
    self->resume_posted_ = false;
    if (!self->held_) return;
    self->held_ = false;
    self->deliver();
    if (!self->held_ && self->output_open_) self->reactor_.set(self->out_.get(), EPOLLIN);
  });
}

void ServerProcess::output_ended(std::string reason) {
  output_open_ = false;
  reactor_.remove(out_.get());
  end_reason_ = std::move(reason);
  if (!exit_expected_.load(std::memory_order_relaxed)) kill_group(SIGKILL);
}

// True: there may be more.
bool ServerProcess::read_errors() {
  char chunk[std::size_t{16} << 10];
  const auto n = ::read(err_.get(), chunk, sizeof chunk);
  if (n < 0 && errno == EINTR) return true;
  if (n == 0 || (n < 0 && errno != EAGAIN)) reactor_.remove(err_.get());
  if (n <= 0) return false;
  Lock lock(err_mutex_);
  tail_.append(chunk, static_cast<std::size_t>(n));
  if (tail_.size() > kStderrTail) tail_.erase(0, tail_.size() - kStderrTail);
  return static_cast<std::size_t>(n) == sizeof chunk;
}

void ServerProcess::errors_readable() {
  if (!read_errors()) reactor_.set_after(kStderrPause, err_.get(), EPOLLIN);
}

std::string ServerProcess::stderr_tail() const {
  Lock lock(err_mutex_);
  return tail_;
}

// ---- the end ------------------------------------------------------------------------------------

void ServerProcess::kill_group(int signal) {
  if (!gone_.load(std::memory_order_relaxed)) signal_process(host_, name_, signal);
}

void ServerProcess::exited(std::string reason) {
  const bool ended_for_noise = !decoder_.error().empty() && !exit_expected_.load(std::memory_order_relaxed);
  if (output_open_ && !held_) readable();
  // What its last moments have left; what a process that it has started writes on has no end.
  for (int looks = 0; looks < 64 && read_errors(); ++looks) {
  }
  for (const int fd : {out_.get(), err_.get(), in_.get()}) reactor_.remove(fd);
  output_open_ = false;
  kill_group(SIGKILL);  // of one that is lost
  gone_.store(true, std::memory_order_relaxed);
  if (ended_for_noise) {
    reason = end_reason_ + "; Gantry ended it for that";
  } else if (!end_reason_.empty()) {
    reason = end_reason_ + " and " + reason;
  }
  if (const auto events = events_.lock()) events->on_exit(*this, reason);
}

}  // namespace gantry::lsp
