// SPDX-License-Identifier: Apache-2.0
#include "host/doors/rpc/unix_door.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/local/stream_protocol.hpp>
#include <unordered_set>
#include <utility>

#include "host/doors/rpc/connection.hpp"

namespace gantry::host {

using Local = boost::asio::local::stream_protocol;

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
    auto connection = std::make_shared<Connection>(
        part.worker, std::move(socket), ConnectionLimits{limits.max_message_bytes, limits.max_outbound_bytes}, log,
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
