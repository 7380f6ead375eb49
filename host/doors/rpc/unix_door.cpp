// SPDX-License-Identifier: Apache-2.0
//
// A Connection lives on its worker. What a worker writes, this one or another, is gathered and leaves when that worker
// comes to flush it, behind what it has queued already: so the answers to calls that were read together leave together.
// What arrives from other threads is a write into its Outbox, which the outbox does itself, and a wish for attention
// (events to deliver, the socket to be watched for room, the end of the last call), which is posted to the worker, at
// most one post of each kind at a time.
#include "host/doors/rpc/unix_door.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/local/stream_protocol.hpp>
#include <cerrno>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "host/doors/rpc/outbox.hpp"
#include "host/runtime/json_text.hpp"

namespace gantry::host {

namespace asio = boost::asio;
using Local = asio::local::stream_protocol;

namespace {
constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kReadsATurn = 8;
// Above this much unwritten output no events are taken from subscriptions and nothing is read.
constexpr std::size_t kBusyBytes = 256 * 1024;

class Connection final : public SessionWire, public std::enable_shared_from_this<Connection> {
 public:
  using Ended = std::function<void(const std::shared_ptr<Connection>&)>;

  Connection(Worker& worker, Local::socket socket, const UnixDoorLimits& limits, Log& log, Ended ended)
      : worker_(worker),
        socket_(std::move(socket)),
        fd_(socket_.native_handle()),
        limits_(limits),
        log_(log),
        ended_(std::move(ended)),
        decoder_(limits.max_message_bytes),
        outbox_(fd_, limits.max_outbound_bytes) {}

  void start(SessionDeps& deps, EnvelopeParser& parser) {
    session_ = std::make_shared<RpcSession>(deps, weak_from_this(), parser);
    wait_for_input();
  }
  [[nodiscard]] OriginId origin() const { return session_->origin(); }

  void write(std::string text) override {
    const Framing framing = framing_.load(std::memory_order_relaxed);
    if (framing == Framing::lines && text.find('\n') != std::string::npos) text = minify_json(text);
    after_write(outbox_.put(framing, text, Worker::current() != nullptr ? Outbox::When::later : Outbox::When::now));
  }
  void schedule_events() override {
    if (events_scheduled_.exchange(true)) return;
    worker_.post([self = shared_from_this()] {
      self->events_scheduled_ = false;
      self->deliver_events();
    });
  }
  [[nodiscard]] bool writable() const override { return outbox_.size() < kBusyBytes; }
  void call_ended() override {
    if (!half_closed_.load(std::memory_order_relaxed)) return;
    worker_.post([self = shared_from_this()] { self->end_if_done(); });
  }

  /// Worker. What is still unwritten is tried once more.
  void close() {
    if (std::exchange(closed_, true)) return;
    (void)outbox_.flush();
    outbox_.close();
    boost::system::error_code ignored;
    socket_.close(ignored);
    session_->closed();
    ended_(shared_from_this());
  }

 private:
  void wait_for_input() {
    if (closed_ || half_closed_ || waiting_for_input_) return;
    waiting_for_input_ = true;
    socket_.async_wait(Local::socket::wait_read, [self = shared_from_this()](const boost::system::error_code& failed) {
      self->waiting_for_input_ = false;
      if (failed || self->closed_) return;
      self->read();
    });
  }

  // An exception is a mistake of ours; this connection does not survive it, the others do.
  template <class F>
  auto or_close(F&& body) {
    try {
      return body();
    } catch (...) {
      close();
      throw;
    }
  }

  void read() {
    outbox_.cork();
    const bool alive = or_close([this] { return read_some(); });
    if (closed_) return;
    after_write(outbox_.uncork());
    decoder_.release();
    if (closed_) return;
    if (!alive) {
      end_of_input();
    } else if (writable()) {
      wait_for_input();
    } else {
      paused_ = true;  // who does not read is not read from
    }
  }

  // False: the client has closed its side.
  [[nodiscard]] bool read_some() {
    for (std::size_t turn = 0; turn < kReadsATurn; ++turn) {
      const ssize_t got = ::recv(fd_, decoder_.prepare(kReadBytes), kReadBytes, MSG_DONTWAIT);
      if (got < 0) {
        if (errno == EINTR) continue;
        return errno == EAGAIN || errno == EWOULDBLOCK;
      }
      if (got == 0) return false;
      decoder_.commit(static_cast<std::size_t>(got));
      if (!take_messages()) return true;
      if (static_cast<std::size_t>(got) < kReadBytes || !writable()) return true;
    }
    return true;
  }

  // False: the connection is closed.
  [[nodiscard]] bool take_messages() {
    while (!closed_) {
      std::string_view message;
      const auto status = decoder_.next(message);
      framing_.store(decoder_.framing() == Framing::unknown ? Framing::lines : decoder_.framing(),
                     std::memory_order_relaxed);
      switch (status) {
        case FrameDecoder::Status::need_more:
          return true;
        case FrameDecoder::Status::message:
          session_->receive(message);
          break;
        case FrameDecoder::Status::too_large:
          session_->refuse(Error{ErrorKind::too_large,
                                 "a message is larger than max_message_bytes (" +
                                     std::to_string(limits_.max_message_bytes) + " bytes); it was skipped",
                                 {}});
          break;
        case FrameDecoder::Status::broken:
          session_->refuse(Error{ErrorKind::parse_error, decoder_.error() + "; the connection is closed", {}});
          (void)outbox_.uncork();
          close();
          return false;
      }
    }
    return false;
  }

  // The client may still want its answers (`printf ... | nc -U`): it is served until the last one, unless it is gone.
  void end_of_input() {
    pollfd state{fd_, 0, 0};
    (void)::poll(&state, 1, 0);
    if ((state.revents & (POLLHUP | POLLERR)) != 0) {
      close();
      return;
    }
    half_closed_ = true;
    end_if_done();
    if (closed_) return;
    socket_.async_wait(Local::socket::wait_error, [self = shared_from_this()](const boost::system::error_code& failed) {
      if (!failed) self->close();
    });
  }
  void end_if_done() {
    if (!closed_ && half_closed_ && session_->calls_in_flight() == 0 && outbox_.size() == 0) close();
  }

  // Any thread.
  void after_write(Outbox::State state) {
    switch (state) {
      case Outbox::State::empty:
        return;
      case Outbox::State::gathered:
        flush_later(*Worker::current());
        return;
      case Outbox::State::waiting:
        if (output_scheduled_.exchange(true)) return;
        worker_.post([self = shared_from_this()] { self->wait_for_output(); });
        return;
      case Outbox::State::full:
        if (!full_.exchange(true))
          log_.write(Level::warn, "rpc", "a client does not read: its outbox is full, the connection is closed");
        [[fallthrough]];
      case Outbox::State::broken:
        worker_.post([self = shared_from_this()] { self->close(); });
    }
  }
  // Its own worker does not wait for another's: that one may be in a turn that takes its time.
  void flush_later(Worker& worker) {
    std::atomic<bool>& scheduled = &worker == &worker_ ? own_flush_scheduled_ : other_flush_scheduled_;
    if (scheduled.exchange(true)) return;
    worker.post([self = shared_from_this(), &scheduled] {
      scheduled = false;
      self->after_write(self->outbox_.flush());
      self->call_ended();
    });
  }
  void wait_for_output() {
    if (closed_) return;
    socket_.async_wait(Local::socket::wait_write, [self = shared_from_this()](const boost::system::error_code& failed) {
      self->output_scheduled_ = false;
      if (failed || self->closed_) return;
      self->after_write(self->outbox_.flush());
      if (!self->writable()) return;
      self->deliver_events();
      if (std::exchange(self->paused_, false)) self->read();
      self->end_if_done();
    });
  }
  void deliver_events() {
    if (closed_) return;
    outbox_.cork();
    const bool more = or_close([this] { return session_->deliver_events(); });
    const auto state = outbox_.uncork();
    after_write(state);
    // Nobody will say that there is room again when the socket has taken it all.
    if (more && state == Outbox::State::empty) schedule_events();
  }

  Worker& worker_;
  Local::socket socket_;
  const int fd_;
  const UnixDoorLimits& limits_;
  Log& log_;
  const Ended ended_;
  FrameDecoder decoder_;
  Outbox outbox_;
  std::shared_ptr<RpcSession> session_;
  std::atomic<Framing> framing_{Framing::lines};
  std::atomic<bool> events_scheduled_{false};
  std::atomic<bool> own_flush_scheduled_{false};
  std::atomic<bool> other_flush_scheduled_{false};
  std::atomic<bool> output_scheduled_{false};
  std::atomic<bool> half_closed_{false};
  std::atomic<bool> full_{false};
  bool waiting_for_input_ = false;
  bool paused_ = false;
  bool closed_ = false;
};

}  // namespace

struct UnixDoor::Impl : std::enable_shared_from_this<UnixDoor::Impl> {
  /// One worker's part. Its parser is used by that worker alone.
  struct Part {
    Part(Worker& w, const UnixDoorLimits& limits)
        : worker(w), parser(limits.max_message_bytes, limits.max_json_depth, limits.max_batch) {}
    Worker& worker;
    EnvelopeParser parser;
    std::unordered_set<std::shared_ptr<Connection>> connections;  ///< guarded by mutex
  };

  Impl(Workers& workers_in, SessionDeps deps_in, Log& log_in, UnixDoorLimits limits_in, Gone gone_in)
      : workers(workers_in),
        deps(std::move(deps_in)),
        log(log_in),
        limits(limits_in),
        gone(std::move(gone_in)),
        acceptor(workers.first().context()) {
    for (std::size_t i = 0; i < workers.size(); ++i) {
      parts.push_back(std::make_unique<Part>(workers.at(i), limits));
    }
  }

  /// The part with the fewest connections; the first of several.
  [[nodiscard]] Part& next_part() {
    Lock lock(mutex);
    return **std::min_element(parts.begin(), parts.end(), [](const auto& a, const auto& b) {
      return a->connections.size() < b->connections.size();
    });
  }

  void accept() {
    Part& part = next_part();
    acceptor.async_accept(part.worker.context(), [self = shared_from_this(), &part](
                                                     const boost::system::error_code& failed, Local::socket socket) {
      if (!self->acceptor.is_open()) return;
      if (failed) {
        self->log.write(Level::warn, "rpc", "accept failed: " + failed.message());
        // Out of descriptors, say: try again, but not in a spin.
        self->workers.timers().after(std::chrono::milliseconds(100), [self] {
          if (self->acceptor.is_open()) self->accept();
        });
        return;
      }
      self->admit(std::move(socket), part);
      self->accept();
    });
  }

  void admit(Local::socket socket, Part& part) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != ::geteuid()) {
      log.write(Level::warn, "rpc", "refused a client of user " + std::to_string(peer.uid));
      return;
    }
    if (count >= limits.max_connections) {
      log.write(Level::warn, "rpc", "refused a client: " + std::to_string(count) + " are connected");
      const std::string text = rpc_error("", Error{ErrorKind::overloaded, "the host has no room for another connection",
                                                   R"({"retry_after_ms":1000})"}) +
                               "\n";
      (void)::send(socket.native_handle(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      return;
    }
    socket.non_blocking(true);
    auto connection =
        std::make_shared<Connection>(part.worker, std::move(socket), limits, log,
                                     [weak = weak_from_this(), &part](const std::shared_ptr<Connection>& ended) {
                                       if (const auto self = weak.lock()) self->ended(ended, part);
                                     });
    {
      Lock lock(mutex);
      part.connections.insert(connection);
    }
    ++count;
    part.worker.post([self = shared_from_this(), connection, &part] { connection->start(self->deps, part.parser); });
  }

  void ended(const std::shared_ptr<Connection>& connection, Part& part) {
    {
      Lock lock(mutex);
      part.connections.erase(connection);
      changed.notify_all();
    }
    --count;
    gone(connection->origin());
  }

  /// Not on a worker.
  void close_all() {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    Lock lock(mutex);
    for (const auto& part : parts) {
      for (const auto& connection : part->connections) part->worker.post([connection] { connection->close(); });
    }
    const auto open = [this]() GANTRY_REQUIRES(mutex) {
      return std::any_of(parts.begin(), parts.end(), [](const auto& part) { return !part->connections.empty(); });
    };
    while (open() && changed.wait_until(mutex, until)) {
    }
  }

  Workers& workers;
  SessionDeps deps;
  Log& log;
  const UnixDoorLimits limits;
  const Gone gone;
  Local::acceptor acceptor;
  std::filesystem::path path;
  std::atomic<std::size_t> count{0};
  Mutex mutex;
  CondVar changed;
  std::vector<std::unique_ptr<Part>> parts;
};

UnixDoor::UnixDoor(Workers& workers, SessionDeps deps, Log& log, UnixDoorLimits limits, Gone gone)
    : impl_(std::make_shared<Impl>(workers, std::move(deps), log, limits, std::move(gone))) {}

UnixDoor::~UnixDoor() { stop_accepting(); }

Result<void> UnixDoor::open(const std::filesystem::path& socket) {
  if (socket.native().size() >= sizeof(sockaddr_un{}.sun_path))
    return fail(ErrorKind::invalid_params, "the socket's path is longer than " +
                                               std::to_string(sizeof(sockaddr_un{}.sun_path) - 1) +
                                               " bytes: " + socket.string() + "; choose another with --socket");
  (void)::unlink(socket.c_str());  // the lock is ours: whoever left it is dead
  const mode_t old = ::umask(0177);
  boost::system::error_code failed;
  impl_->acceptor.open(Local(), failed);
  if (!failed) impl_->acceptor.bind(Local::endpoint(socket.string()), failed);
  if (!failed) impl_->acceptor.listen(256, failed);
  ::umask(old);
  if (failed) return fail(ErrorKind::unavailable, "cannot listen on " + socket.string() + ": " + failed.message());
  impl_->path = socket;
  impl_->accept();
  return {};
}

void UnixDoor::stop_accepting() {
  if (!impl_->acceptor.is_open()) return;
  boost::system::error_code ignored;
  impl_->acceptor.close(ignored);
  (void)::unlink(impl_->path.c_str());
}

void UnixDoor::close() { impl_->close_all(); }

std::size_t UnixDoor::connections() const { return impl_->count; }

}  // namespace gantry::host
