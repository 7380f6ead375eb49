// SPDX-License-Identifier: Apache-2.0
//
// tests/bench/echo_client.hpp: the load of the echo rows. One thread keeps `depth` calls of 200 bytes in flight on each
// of some connections to a Unix socket, and checks every answer.
//
// One connection: it waits in recv(); several: in epoll_wait(). What one recv() brought is answered by one send(), so
// that the client asks as little of the core as it can. Ids are never used twice.
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
  /// Each call is timed; else only how many there were.
  bool timed = false;
};

struct EchoCounts {
  double calls = 0;
  double seconds = 0;
  double client_cpu_seconds = 0;
  double p50_ns = 0;  ///< of a call, if timed
  double p99_ns = 0;
};

class EchoClient {
 public:
  static constexpr std::size_t kMaxSlots = 1024;

  /// Connects. Throws when nobody listens for 10 s.
  EchoClient(const std::string& socket, EchoFraming framing, EchoLoad load);
  ~EchoClient();
  /// Calls for so long, then waits for the last answers. Throws when one is wrong, or does not come for 10 s.
  [[nodiscard]] EchoCounts run(double seconds);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bench
