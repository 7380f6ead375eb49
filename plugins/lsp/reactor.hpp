// SPDX-License-Identifier: Apache-2.0
//
// reactor.hpp: one thread that waits for events on descriptors.
//
// Thread rule: post() from any thread; add, set and remove on the reactor's thread only (inside a
//   handler or a posted task). Handlers and tasks run on that thread, must not block and must not
//   throw.
// Never: a handler runs after its remove() has returned; anything runs after stop() has returned.
//   Tasks that were posted and did not run are destroyed.
// Bounds: one handler per descriptor; kMaxPosts tasks wait. A process posts at most four
//   (process.cpp), so the queue never fills; if it did, post() would wait.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <gantry/channel/mpsc.hpp>
#include <gantry/mutex.hpp>
#include <gantry/result.hpp>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

namespace gantry::lsp {

class Reactor {
 public:
  using Task = std::move_only_function<void()>;
  using Handler = std::function<void(std::uint32_t events)>;
  static constexpr std::size_t kMaxPosts = 4096;

  [[nodiscard]] static Result<std::unique_ptr<Reactor>> make();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  ~Reactor();

  void post(Task task);
  void stop();

  /// `events` as in epoll. False: the kernel refused.
  [[nodiscard]] bool add(int fd, std::uint32_t events, Handler handler);
  void set(int fd, std::uint32_t events);
  /// As set() with no events, and after `pause` with these.
  void set_after(std::chrono::milliseconds pause, int fd, std::uint32_t events);
  void remove(int fd);

 private:
  Reactor(int epoll, int wake);
  void wake_up() noexcept;
  void run();
  [[nodiscard]] bool wait();
  [[nodiscard]] int longest_wait();

  const int epoll_;
  const int wake_;
  // The number of the registration: an event that was fetched before its descriptor was closed must
  // not reach the handler of a new file with the same descriptor.
  struct Entry {
    std::uint64_t token;
    std::shared_ptr<Handler> handler;
  };
  std::unordered_map<int, Entry> entries_;  // reactor's thread
  std::unordered_map<std::uint64_t, int> fds_;
  std::uint64_t last_token_ = 0;
  struct Paused {
    std::chrono::steady_clock::time_point until;
    std::uint64_t token;
    std::uint32_t events;
  };
  std::vector<Paused> paused_;

  mpsc::Channel<Task> posted_ = mpsc::channel<Task>(kMaxPosts);
  /// Woken when something is posted and nothing was.
  Waker<Reactor, &Reactor::wake_up> waker_{*this};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace gantry::lsp
