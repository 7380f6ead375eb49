// SPDX-License-Identifier: Apache-2.0
//
// The id of a call is SERIAL * kMaxSlots + SLOT in twelve digits, and stands in the params too, so that an answer with
// another call's params is noticed. A server's first answer is read as JSON; from then on an answer that is, but for
// its two ids, the same text is right, and any other is read as JSON again.
#include "tests/bench/echo_client.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "tests/bench/support.hpp"

namespace bench {

namespace {

constexpr std::size_t kRequestBytes = 200;
constexpr std::size_t kIdDigits = 12;
constexpr std::uint64_t kFirstSerial = 100'000'000'000 / EchoClient::kMaxSlots + 1;
constexpr std::size_t kReadBytes = 256 * 1024;
constexpr int kTimeoutSeconds = 10;

void put_id(char* at, std::uint64_t id) {
  for (std::size_t i = kIdDigits; i-- > 0; id /= 10) at[i] = static_cast<char>('0' + id % 10);
}
/// 0: it is no id.
[[nodiscard]] std::uint64_t get_id(const char* at) {
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < kIdDigits; ++i) {
    const auto digit = static_cast<unsigned char>(at[i] - '0');
    if (digit > 9) return 0;
    id = id * 10 + digit;
  }
  return id;
}

/// A text with an id in two places.
struct Pattern {
  std::string text;
  std::size_t first = 0;
  std::size_t second = 0;

  void find_places(const std::string& id) {
    first = text.find(id);
    second = first == std::string::npos ? first : text.find(id, first + kIdDigits);
    if (second == std::string::npos) throw std::runtime_error("an answer without its id or params: " + text);
  }
  /// The id, if `answer` is this text with one id in both places; else 0.
  [[nodiscard]] std::uint64_t id_in(std::string_view answer) const {
    if (text.empty() || answer.size() != text.size()) return 0;
    const auto same = [&](std::size_t from, std::size_t to) {
      return std::memcmp(answer.data() + from, text.data() + from, to - from) == 0;
    };
    if (!same(0, first) || !same(first + kIdDigits, second) || !same(second + kIdDigits, text.size())) return 0;
    if (std::memcmp(answer.data() + first, answer.data() + second, kIdDigits) != 0) return 0;
    return get_id(answer.data() + first);
  }
};

[[nodiscard]] Pattern request_pattern(EchoFraming framing) {
  const std::string id(kIdDigits, '1');
  std::string body = R"({"jsonrpc":"2.0","id":)" + id + R"(,"method":"echo.echo","params":{"n":)" + id + R"(,"text":")";
  const std::string tail = R"("}})";
  while (body.size() + tail.size() < kRequestBytes) body += "the quick brown fox "[body.size() % 20];
  body += tail;
  Pattern pattern;
  pattern.text = framing == EchoFraming::kLines ? body + "\n"
                                                : "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  pattern.find_places(id);
  return pattern;
}

[[nodiscard]] double percentile(std::vector<float>& values, double part) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(static_cast<double>(values.size() - 1) * part);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// Of this thread, which is the client.
[[nodiscard]] double thread_cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

struct Connection {
  int fd = -1;
  std::size_t first_slot = 0;
  std::string in = std::string(kReadBytes, '\0');
  std::size_t begin = 0;
  std::size_t end = 0;
};

}  // namespace

struct EchoClient::Impl {
  const EchoFraming framing;
  const EchoLoad load;
  const Pattern request;
  Pattern answer;
  std::vector<Connection> connections;
  std::array<std::uint64_t, kMaxSlots> pending{};  ///< the id that a slot waits for; 0: none
  std::array<Clock::time_point, kMaxSlots> sent{};
  std::uint64_t serial = kFirstSerial;
  std::size_t in_flight = 0;
  int epoll = -1;
  std::string out;
  EchoCounts counts;
  std::vector<float> ns;  ///< of each call, if timed
  bool ending = false;
  Clock::time_point now, until;

  Impl(EchoFraming framing_in, EchoLoad load_in)
      : framing(framing_in), load(load_in), request(request_pattern(framing_in)) {}
  ~Impl() {
    for (const auto& connection : connections) ::close(connection.fd);
    if (epoll >= 0) ::close(epoll);
  }

  void connect(const std::string& socket) {
    if (load.connections > 1) epoll = ::epoll_create1(EPOLL_CLOEXEC);
    connections.resize(load.connections);
    for (std::size_t i = 0; i < connections.size(); ++i) {
      auto& connection = connections[i];
      connection.fd = connect_soon(socket);
      if (connection.fd < 0) throw std::runtime_error("nobody listens on " + socket);
      connection.first_slot = i * load.depth;
      const timeval timeout{kTimeoutSeconds, 0};
      ::setsockopt(connection.fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
      ::setsockopt(connection.fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
      epoll_event event{EPOLLIN, {.u64 = i}};
      if (epoll >= 0) ::epoll_ctl(epoll, EPOLL_CTL_ADD, connection.fd, &event);
    }
  }

  void ask(std::size_t slot) {
    const std::uint64_t id = serial++ * kMaxSlots + slot;
    const std::size_t at = out.size();
    out += request.text;
    put_id(out.data() + at + request.first, id);
    std::memcpy(out.data() + at + request.second, out.data() + at + request.first, kIdDigits);
    pending[slot] = id;
    ++in_flight;
    if (load.timed) sent[slot] = now;
  }

  void send_out(const Connection& connection) {
    for (std::size_t at = 0; at < out.size();) {
      const ssize_t wrote = ::send(connection.fd, out.data() + at, out.size() - at, MSG_NOSIGNAL);
      if (wrote <= 0) throw std::runtime_error("the server takes no more requests");
      at += static_cast<std::size_t>(wrote);
    }
    out.clear();
  }

  /// Reads it as JSON and remembers how such an answer looks. Returns its id.
  [[nodiscard]] std::uint64_t read_anew(std::string_view text) {
    const auto parsed = json::parse(text, nullptr, false);
    if (!parsed.is_object() || !parsed.contains("id") || !parsed["id"].is_number_integer())
      throw std::runtime_error("not an answer: " + std::string(text.substr(0, 300)));
    const auto id = parsed["id"].get<std::uint64_t>();
    std::string digits(kIdDigits, '0');
    put_id(digits.data(), id);
    const auto start = request.text.find('{');
    auto expected = json::parse(request.text.substr(start, kRequestBytes))["params"];
    expected["n"] = id;
    // The raw echo sends the request back.
    const char* where = parsed.contains("result") ? "result" : "params";
    if (!parsed.contains(where) || parsed[where] != expected)
      throw std::runtime_error("an answer with other params: " + std::string(text.substr(0, 300)));
    answer.text = text;
    answer.find_places(digits);
    return id;
  }

  void take(Connection& connection, std::string_view text) {
    std::uint64_t id = answer.id_in(text);
    if (id == 0) id = read_anew(text);
    const std::size_t slot = id % kMaxSlots;
    const bool ours = slot >= connection.first_slot && slot < connection.first_slot + load.depth;
    if (!ours || pending[slot] != id) throw std::runtime_error("an answer to no call: " + std::string(text));
    pending[slot] = 0;
    --in_flight;
    ++counts.calls;
    if (load.timed) {
      now = Clock::now();
      ns.push_back(std::chrono::duration<float, std::nano>(now - sent[slot]).count());
      ending = now >= until;
    }
    if (!ending) ask(slot);
  }

  /// The next message of what was read; empty: there is no whole one.
  [[nodiscard]] std::string_view next(Connection& connection) const {
    std::string_view held(connection.in.data() + connection.begin, connection.end - connection.begin);
    if (framing == EchoFraming::kLines) {
      // Most answers are as long as the one before.
      const std::size_t guess = answer.text.size();
      const std::size_t line = guess != 0 && held.size() > guess && held[guess] == '\n' ? guess : held.find('\n');
      if (line == std::string_view::npos) return {};
      connection.begin += line + 1;
      return held.substr(0, line);
    }
    constexpr std::string_view kHead = "Content-Length: ";
    const std::size_t blank = held.find("\r\n\r\n");
    if (blank == std::string_view::npos) return {};
    if (!held.starts_with(kHead)) throw std::runtime_error("an answer without Content-Length");
    std::size_t length = 0;
    for (std::size_t i = kHead.size(); i < blank && held[i] >= '0' && held[i] <= '9'; ++i)
      length = length * 10 + static_cast<std::size_t>(held[i] - '0');
    if (held.size() < blank + 4 + length) return {};
    connection.begin += blank + 4 + length;
    return held.substr(blank + 4, length);
  }

  void serve(Connection& connection, int flags) {
    if (connection.begin != 0) {
      std::memmove(connection.in.data(), connection.in.data() + connection.begin, connection.end - connection.begin);
      connection.end -= std::exchange(connection.begin, 0);
    }
    const ssize_t got =
        ::recv(connection.fd, connection.in.data() + connection.end, kReadBytes - connection.end, flags);
    if (got <= 0) throw std::runtime_error("the server does not answer");
    connection.end += static_cast<std::size_t>(got);
    if (!load.timed) ending = (now = Clock::now()) >= until;
    while (true) {
      const auto text = next(connection);
      if (text.empty()) break;
      take(connection, text);
    }
    if (!out.empty()) send_out(connection);
  }

  void serve_ready() {
    std::array<epoll_event, 64> events{};
    const int ready = ::epoll_wait(epoll, events.data(), events.size(), kTimeoutSeconds * 1000);
    if (ready <= 0) throw std::runtime_error("the server does not answer");
    for (int i = 0; i < ready; ++i) serve(connections[events[static_cast<std::size_t>(i)].data.u64], MSG_DONTWAIT);
  }

  [[nodiscard]] EchoCounts run(double seconds) {
    counts = {};
    ns.clear();
    if (load.timed) ns.reserve(static_cast<std::size_t>(seconds * 600'000));
    ending = false;
    const double cpu_before = thread_cpu_seconds();
    const auto start = now = Clock::now();
    until = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    for (const auto& connection : connections) {
      for (std::size_t i = 0; i < load.depth; ++i) ask(connection.first_slot + i);
      send_out(connection);
    }
    while (in_flight != 0) {
      if (epoll >= 0) {
        serve_ready();
      } else {
        serve(connections.front(), 0);
      }
    }
    counts.seconds = seconds_since(start);
    counts.client_cpu_seconds = thread_cpu_seconds() - cpu_before;
    counts.p50_ns = percentile(ns, 0.5);
    counts.p99_ns = percentile(ns, 0.99);
    return counts;
  }
};

EchoClient::EchoClient(const std::string& socket, EchoFraming framing, EchoLoad load)
    : impl_(std::make_unique<Impl>(framing, load)) {
  impl_->connect(socket);
}
EchoClient::~EchoClient() = default;
EchoCounts EchoClient::run(double seconds) { return impl_->run(seconds); }

}  // namespace bench
