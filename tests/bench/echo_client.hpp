// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/echo_client.hpp: the load of the echo rows. One thread keeps `depth` calls of 200
// bytes in flight on each of some connections to a Unix socket, and checks every answer.
//
// With one connection the client waits in recv(), with several in epoll_wait(). One send() answers
// everything that one recv() brought, so that the client uses as little of the core as possible.
// Ids are never used twice.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace bench {

enum class EchoFraming { kLines, kContentLength };

/// `connections` times `depth` is at most kMaxSlots.
struct EchoLoad {
  std::size_t connections = 1;
  std::size_t depth = 1;
  /// True: each call is timed. False: calls are only counted.
  bool timed = false;
};

struct EchoCounts {
  double calls = 0;
  double seconds = 0;
  double client_cpu_seconds = 0;
  double p50_ns = 0;  ///< of one call, if timed
  double p99_ns = 0;
};

class EchoClient {
 public:
  static constexpr std::size_t kMaxSlots = 1024;

  /// Connects. Throws when nobody listens for 10 s.
  EchoClient(const std::string& socket, EchoFraming framing, EchoLoad load);
  ~EchoClient();
  /// Calls for `seconds`, then waits for the last answers. Throws when an answer is wrong, or does
  /// not come within 10 s.
  [[nodiscard]] EchoCounts run(double seconds);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bench
