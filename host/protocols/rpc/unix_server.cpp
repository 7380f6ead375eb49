// SPDX-License-Identifier: Apache-2.0
#include "host/protocols/rpc/unix_server.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <gantry/detail/closed_in_forks.hpp>
#include <optional>
#include <unordered_set>
#include <utility>

#include "host/protocols/rpc/connection.hpp"
#include "host/protocols/rpc/listener.hpp"

namespace gantry::host {

using Local = boost::asio::local::stream_protocol;

namespace {
/// Of the largest size that may be on their way at the same time, on all connections.
constexpr std::size_t kUnfinishedMessages = 8;
/// Clients that are refused: how many may read why at the same time, and for how long at most.
constexpr std::size_t kMaxRefused = 64;
constexpr Duration kRefusedTimeout = std::chrono::seconds(1);
/// Out of descriptors: the pause between two tries, and after how many who waits is told.
constexpr Duration kPause = std::chrono::milliseconds(100);
constexpr int kTriesUntilTold = 10;
constexpr int kTriesUntilLogged = 600;  // the first and then one a minute
constexpr int kMostRefused = 256;       // at once
}  // namespace

struct UnixServer::Impl : std::enable_shared_from_this<UnixServer::Impl> {
  /// One worker's part.
  struct Part {
    Part(Worker& w, const Router& router, const UnixServerLimits& limits)
        : worker(w),
          rpc{{limits.max_message_bytes, limits.max_json_depth, limits.max_batch}, Router::MethodReader(router)} {}
    Worker& worker;
    RpcWorker rpc;
    std::unordered_set<std::shared_ptr<Connection>> connections;  ///< guarded by mutex
  };

  Impl(Workers& workers_in, SessionDeps deps_in, Log& log_in, UnixServerLimits limits_in, Gone gone_in)
      : workers(workers_in),
        deps(std::move(deps_in)),
        log(log_in),
        limits(limits_in),
        gone(std::move(gone_in)),
        unfinished(std::make_shared<UnfinishedBytes>(kUnfinishedMessages * limits.max_message_bytes)) {
    for (std::size_t i = 0; i < workers.size(); ++i) {
      parts.push_back(std::make_unique<Part>(workers.at(i), deps.router, limits));
    }
  }

  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { (void)::close(spare); }

  /// The part with the fewest connections; the first of several.
  [[nodiscard]] Part& next_part() {
    Lock lock(mutex);
    return **std::min_element(parts.begin(), parts.end(), [](const auto& a, const auto& b) {
      return a->connections.size() < b->connections.size();
    });
  }

  // Of one listener; another one may have taken its place when a client comes.
  void accept(const std::shared_ptr<Local::acceptor>& from) {
    Part& part = next_part();
    from->async_accept(part.worker.context(), [self = shared_from_this(), from, &part](
                                                  const boost::system::error_code& failed, Local::socket socket) {
      if (!from->is_open()) return;
      if (failed) {
        // Out of descriptors, say: try again, but not in a spin.
        if (self->failures % kTriesUntilLogged == 0)
          self->log.write(Level::warn, "rpc", "accept failed: " + failed.message());
        if (++self->failures % kTriesUntilTold == 0) self->refuse_with_spare(*from, part);
        self->workers.timers().after(kPause, [self, from] {
          if (from->is_open()) self->accept(from);
        });
        return;
      }
      self->failures = 0;
      self->admit(std::move(socket), part);
      self->accept(from);
    });
  }

  // Gives up the descriptor that was kept for this: those who would else wait without end are told, one by one.
  // Whoever comes when there are descriptors again is a client.
  void refuse_with_spare(Local::acceptor& from, Part& part) {
    (void)::close(std::exchange(spare, -1));
    for (int i = 0; i < kMostRefused; ++i) {
      const int fd = ::accept4(from.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd < 0) break;
      spare = open_spare();
      if (spare >= 0) {
        Local::socket socket(part.worker.context());
        boost::system::error_code failed;
        socket.assign(Local(), fd, failed);
        if (!failed) return admit(std::move(socket), part);
        (void)::close(fd);
        return;
      }
      say_no_room(fd, "no descriptor is left (ulimit -n)");
      (void)::close(fd);
    }
    spare = open_spare();
  }
  [[nodiscard]] static int open_spare() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

  static void say_no_room(int fd, const std::string& why) {
    const std::string text =
        rpc_error("", Error{ErrorKind::overloaded, "the host has no room for another connection: " + why,
                            R"({"retry_after_ms":1000})"}) +
        "\n";
    (void)::send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)::shutdown(fd, SHUT_WR);
  }

  // A socket that is closed before what came on it was read resets the connection, and the answer with it. So what
  // comes is read and thrown away until the client closes, or its time is over.
  void refuse(Local::socket socket) {
    say_no_room(socket.native_handle(), std::to_string(count) + " clients are connected");
    if (refused >= kMaxRefused) return;
    ++refused;
    const auto kept = std::make_shared<Local::socket>(std::move(socket));
    workers.timers().after(kRefusedTimeout, [weak = std::weak_ptr(kept)] {
      const auto socket_then = weak.lock();
      if (!socket_then) return;
      boost::asio::post(socket_then->get_executor(), [socket_then] {
        boost::system::error_code ignored;
        socket_then->close(ignored);
      });
    });
    throw_away(kept, std::make_shared<std::array<char, 4096>>());
  }
  void throw_away(const std::shared_ptr<Local::socket>& from, const std::shared_ptr<std::array<char, 4096>>& buffer) {
    from->async_read_some(boost::asio::buffer(*buffer), [self = shared_from_this(), from, buffer](
                                                            const boost::system::error_code& ended, std::size_t) {
      if (!ended) return self->throw_away(from, buffer);
      --self->refused;
      boost::system::error_code ignored;
      from->close(ignored);
    });
  }

  /// On the first worker, or when none runs. A socket that the listener kept is listened on already.
  void listen() {
    const int fd = listener->take_fd();
    if (fd < 0) return;
    const auto old = std::exchange(acceptor, std::make_shared<Local::acceptor>(workers.first().context()));
    acceptor->assign(Local(), fd);
    gantry::detail::ClosedInForks::add(acceptor->native_handle());
    {
      Lock lock(mutex);
      path = listener->socket();
    }
    accept(acceptor);
    if (!old) return;
    // Who had connected before its name went.
    boost::system::error_code failed;
    old->non_blocking(true, failed);
    while (!failed) {
      Part& part = next_part();
      Local::socket socket(part.worker.context());
      old->accept(socket, failed);
      if (!failed) admit(std::move(socket), part);
    }
    gantry::detail::ClosedInForks::remove(old->native_handle());
    old->close(failed);
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
      return refuse(std::move(socket));
    }
    socket.non_blocking(true);
    auto connection =
        std::make_shared<Connection>(part.worker, std::move(socket),
                                     ConnectionLimits{limits.max_message_bytes, limits.max_outbound_bytes, unfinished},
                                     log, [weak = weak_from_this(), &part](const std::shared_ptr<Connection>& ended) {
                                       if (const auto self = weak.lock()) self->ended(ended, part);
                                     });
    {
      Lock lock(mutex);
      part.connections.insert(connection);
    }
    ++count;
    part.worker.post([self = shared_from_this(), connection, &part] { connection->start(self->deps, part.rpc); });
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
  const UnixServerLimits limits;
  const Gone gone;
  const std::shared_ptr<UnfinishedBytes> unfinished;
  std::optional<Listener> listener;           ///< the first worker's
  std::shared_ptr<Local::acceptor> acceptor;  ///< the first worker's
  std::atomic<std::size_t> count{0};
  std::atomic<std::size_t> refused{0};
  int failures = 0;  ///< to accept, in a row; one accept runs at a time
  int spare = open_spare();
  Mutex mutex;
  CondVar changed;
  std::vector<std::unique_ptr<Part>> parts;
  std::filesystem::path path GANTRY_GUARDED_BY(mutex);
};

UnixServer::UnixServer(Workers& workers, SessionDeps deps, Log& log, UnixServerLimits limits, Gone gone)
    : impl_(std::make_shared<Impl>(workers, std::move(deps), log, limits, std::move(gone))) {}

UnixServer::~UnixServer() { stop_accepting(); }

Result<void> UnixServer::open(const std::filesystem::path& socket) {
  auto listener = Listener::open(socket);
  if (!listener) return std::unexpected(listener.error());
  impl_->listener.emplace(std::move(*listener));
  for (const auto& part : impl_->parts) {
    part->worker.on_rest([weak = std::weak_ptr(impl_), p = part.get()] {
      InstanceReaders::release();
      if (const auto alive = weak.lock()) p->rpc.methods.release();
    });
  }
  impl_->listen();
  return {};
}

bool UnixServer::in_place() const { return impl_->listener && impl_->listener->in_place(); }

Result<void> UnixServer::renew(const std::filesystem::path& socket) {
  if (!is_open()) return fail(ErrorKind::unavailable, "the host accepts no more clients");
  if (auto ok = impl_->listener->renew(socket); !ok) return ok;
  impl_->listen();
  return {};
}

bool UnixServer::is_open() const { return impl_->acceptor && impl_->acceptor->is_open(); }

std::filesystem::path UnixServer::socket() const {
  Lock lock(impl_->mutex);
  return impl_->path;
}

void UnixServer::stop_accepting() {
  if (!is_open()) return;
  gantry::detail::ClosedInForks::remove(impl_->acceptor->native_handle());
  boost::system::error_code ignored;
  impl_->acceptor->close(ignored);
  impl_->listener->remove();
}

void UnixServer::close() { impl_->close_all(); }

std::size_t UnixServer::connections() const { return impl_->count; }

}  // namespace gantry::host
