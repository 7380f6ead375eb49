// SPDX-License-Identifier: Apache-2.0
//
// The agent's side of MCP: messages on stdio, one a line; calls to the host on its socket. One thread, three
// descriptors. While the agent does not read, nothing is read from the host, which keeps what it may keep for a client.
// While the host does not read, its messages are kept here: it may be waiting for that. When the input ends, requests
// that are open have kExitGrace to be answered.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <utility>
#include <vector>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/stdio.hpp"
#include "host/protocols/mcp/server.hpp"
#include "host/protocols/rpc/envelope.hpp"
#include "host/runtime/json_text.hpp"

namespace gantry::host {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxMessage = std::size_t{64} << 20;
constexpr std::size_t kOverhead = 4096;  // of a call to the host around what the agent has sent
constexpr std::size_t kDepthOverhead = 2;
constexpr std::size_t kReadBytes = std::size_t{64} << 10;
constexpr auto kExitGrace = std::chrono::seconds(5);
constexpr auto kHelloTimeout = std::chrono::seconds(10);

void say(std::string_view what) { std::fprintf(stderr, "gantry mcp: %s\n", shown(what).c_str()); }

class StdioServer final : private mcp::HostLink, private mcp::ClientLink {
 public:
  StdioServer(Client& client, mcp::Limits limits, std::string key)
      : host_(client.fd()),
        most_bytes_(limits.message + kOverhead),
        from_agent_(limits.message, Framing::lines),
        server_(*this, *this, limits, mcp::Seal(std::move(key), [] { return std::chrono::system_clock::now(); })) {}

  int run() {
    while (!exit_code_) {
      std::array<pollfd, 2> fds{pollfd{host_, POLLIN, 0}, pollfd{agent_gone_ ? -1 : STDIN_FILENO, POLLIN, 0}};
      const int ready = ::poll(fds.data(), fds.size(), unread_ ? 0 : wait_ms());
      if (ready < 0 && errno != EINTR) return 1;
      if (ready >= 0) {
        if (unread_) take_host_messages();
        if (!exit_code_ && fds[0].revents != 0) read_host();
        if (!exit_code_ && fds[1].revents != 0) read_agent();
      }
      refuse_large_calls();
      if (agent_gone_ && !exit_code_ && (!server_.busy() || Clock::now() >= until_)) {
        server_.end();
        exit_code_ = 0;
      }
      flush();
    }
    return *exit_code_;
  }

 private:
  void call(std::uint64_t key, std::string_view method, std::string_view params) override {
    std::string text = R"({"jsonrpc":"2.0","id":)" + std::to_string(key) + R"(,"method":)";
    text.append(quote_json(method)).append(R"(,"params":)").append(params) += '}';
    if (text.size() > most_bytes_) {
      large_.push_back(key);
    } else {
      to_host(text);
    }
  }
  void cancel(std::uint64_t key) override {
    to_host(R"({"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":)" + std::to_string(key) + "}}");
  }
  void credit(std::uint64_t key, std::uint32_t items) override {
    to_host(R"({"jsonrpc":"2.0","method":"$/credit","params":{"id":)" + std::to_string(key) + R"(,"n":)" +
            std::to_string(items) + "}}");
  }
  void send(std::string_view message, std::string_view /*request*/) override {
    append_frame(to_agent_, Framing::lines, message);
    if (to_agent_.size() >= kReadBytes) flush();
  }

  [[nodiscard]] int wait_ms() const {
    if (!agent_gone_) return -1;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until_ - Clock::now()).count();
    return static_cast<int>(std::max<std::int64_t>(left, 0)) + 1;
  }

  void flush() {
    if (!to_agent_.empty() && !write_all(STDOUT_FILENO, to_agent_)) exit_code_ = 1;
    to_agent_.clear();
  }

  void refuse_large_calls() {
    for (const auto key : std::exchange(large_, {}))
      server_.answered(key, fail(ErrorKind::too_large, "the host takes messages of " + std::to_string(most_bytes_) +
                                                           " bytes ([host] max_message_bytes)"));
  }

  void read_agent() {
    const ssize_t got = ::read(STDIN_FILENO, from_agent_.prepare(kReadBytes), kReadBytes);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) {
      agent_gone_ = true;
      until_ = Clock::now() + kExitGrace;
      return;
    }
    from_agent_.commit(static_cast<std::size_t>(got));
    std::string_view message;
    while (!exit_code_) {
      const auto status = from_agent_.next(message);
      if (status == FrameDecoder::Status::message) {
        server_.receive(message);
      } else if (status == FrameDecoder::Status::too_large) {
        server_.refuse_too_long();
      } else {
        return;
      }
    }
  }

  // While the host takes nothing it may be waiting for us to read: what it says meanwhile is kept for later.
  void to_host(std::string_view message) {
    to_host_.clear();
    append_frame(to_host_, Framing::lines, message);
    for (std::size_t at = 0; at < to_host_.size() && !exit_code_;) {
      const ssize_t wrote = ::send(host_, to_host_.data() + at, to_host_.size() - at, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (wrote > 0) {
        at += static_cast<std::size_t>(wrote);
        continue;
      }
      if (wrote < 0 && errno != EAGAIN && errno != EINTR) return host_is_gone();
      pollfd state{host_, POLLIN | POLLOUT, 0};
      (void)::poll(&state, 1, -1);
      if ((state.revents & POLLIN) != 0 && !receive_some()) return host_is_gone();
    }
  }

  // False: the host is gone.
  [[nodiscard]] bool receive_some() {
    const ssize_t got = ::recv(host_, from_host_.prepare(kReadBytes), kReadBytes, MSG_DONTWAIT);
    if (got < 0) return errno == EINTR || errno == EAGAIN;
    if (got == 0) return false;
    from_host_.commit(static_cast<std::size_t>(got));
    unread_ = true;
    return true;
  }

  void read_host() {
    if (!receive_some()) return host_is_gone();
    take_host_messages();
  }

  void host_is_gone() {
    if (exit_code_) return;
    say("the host is gone");
    exit_code_ = 1;
    server_.end();
  }

  // A message is copied out: while it is handled, more may be read.
  void take_host_messages() {
    unread_ = false;
    std::string_view message;
    while (!exit_code_ && from_host_.next(message) == FrameDecoder::Status::message) {
      std::string text;
      text.reserve(message.size() + FrameDecoder::kPadding);
      text.append(message);
      if (!parser_.parse(text, parsed_) || parsed_.messages.size() != 1) continue;
      take_host_message(parsed_.messages.front());
    }
  }

  void take_host_message(const RpcMessage& m) {
    if (m.kind == RpcMessage::Kind::response) {
      if (const auto key = number(m.id)) server_.answered(*key, answer_of(m));
    } else if (m.method == "$/stream") {
      const auto key = number(parser_.raw_member(m.params, "id"));
      const std::string_view item = parser_.raw_member(m.params, "item");
      if (key && !item.empty()) server_.item(*key, item);
    } else if (m.method == "$/progress") {
      const auto params = parse_json(m.params);
      const auto key = number(parser_.raw_member(m.params, "id"));
      if (!params || !key) return;
      const json percentage = params->value("percentage", json());
      server_.progress(*key, mcp::text_member(*params, "message"),
                       percentage.is_number() ? std::optional<double>(percentage.get<double>()) : std::nullopt);
    } else if (m.method == "$/event") {
      if (const auto params = parse_json(m.params))
        server_.event(mcp::text_member(*params, "topic"), params->value("payload", json()));
    }
  }

  [[nodiscard]] static std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
  }

  [[nodiscard]] static Result<std::string_view> answer_of(const RpcMessage& m) {
    if (m.failure.empty()) return m.result;
    const auto error = parse_json(m.failure);
    if (!error || !error->is_object()) return fail(ErrorKind::internal, std::string(m.failure));
    const json code = error->value("code", json());
    const bool known = is_integer(code) && is_error_kind(code.get<std::int32_t>());
    return fail(known ? static_cast<ErrorKind>(code.get<std::int32_t>()) : ErrorKind::internal,
                mcp::text_member(*error, "message"), dump_json(error->value("data", json::object())));
  }

  const int host_;
  const std::size_t most_bytes_;
  FrameDecoder from_agent_;
  FrameDecoder from_host_{std::size_t{1} << 30, Framing::lines};
  EnvelopeParser parser_{std::size_t{1} << 30, 1000, 1};
  RpcParsed parsed_;
  std::string to_host_;
  std::string to_agent_;
  mcp::McpServer server_;
  bool unread_ = false;  ///< bytes of the host came while something was written to it
  bool agent_gone_ = false;
  Clock::time_point until_{};         ///< since the agent is gone
  std::vector<std::uint64_t> large_;  ///< calls that the host does not take
  std::optional<int> exit_code_;
};

struct Greeted {
  mcp::Limits limits;
  std::string key;  ///< for states that go through the agent
};

/// Names the workspace to the host, and learns what the host takes and where its folder is.
[[nodiscard]] Greeted greet(Client& client) {
  json params{{"client", "gantry mcp"}};
  if (auto here = working_folder(); !here.empty()) params["workspace"] = std::move(here);
  auto hello = client.call("host.hello", params, kHelloTimeout);
  if (!hello) {
    say(hello.error().message);
    params.erase("workspace");
    hello = client.call("host.hello", params, kHelloTimeout);
  }
  const json limits = hello ? hello->value("capabilities", json::object()) : json::object();
  Greeted out;
  out.limits.message = std::min(kMaxMessage, limits.value("max_message_bytes", kMaxMessage)) - kOverhead;
  const std::size_t depth = limits.value("max_json_depth", out.limits.depth);
  out.limits.depth = std::max(depth, 2 * kDepthOverhead) - kDepthOverhead;
  auto key = mcp::shared_key(hello ? hello->value("state_dir", "") : "");
  if (!key) say(key.error().message + "; what an agent is asked counts for this process alone");
  out.key = key ? std::move(*key) : mcp::random_key();
  return out;
}

}  // namespace

int serve_mcp(const Common& common) {
  auto connected = connect_or_start(connect_options(common, "gantry mcp"));
  if (!connected) return complain(connected.error());
  print_notes(connected->notes);
  auto greeted = greet(connected->client);
  StdioServer server(connected->client, greeted.limits, std::move(greeted.key));
  return server.run();
}

}  // namespace gantry::host
