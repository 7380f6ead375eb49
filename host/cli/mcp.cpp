// SPDX-License-Identifier: Apache-2.0
//
// The agent's side of MCP: messages on stdio, one a line; calls to the host on its socket. One thread, three
// descriptors. While the agent does not read, nothing is read from the host, which keeps what it may keep for a client.
// While the host does not read, its messages are kept here: it may be waiting for that. When the input ends, requests
// that are open have kExitGrace to be answered, then they fail.
//
// When the host ends, the requests that it was working on fail, and the session goes on: the agent's next call takes
// the host that is there by then, or starts one, as `gantry mcp` does when it begins. For an agent that waits for
// changes a host that comes is looked for, and none is started, every kRetry to kMaxRetry.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <functional>
#include <utility>
#include <vector>

#include "host/cli/client.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/host_line.hpp"
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
constexpr auto kExitGrace = std::chrono::seconds(60);
constexpr auto kHelloTimeout = std::chrono::seconds(10);
constexpr Clock::duration kRetry = std::chrono::seconds(1);
constexpr Clock::duration kMaxRetry = std::chrono::seconds(30);

void say(std::string_view what) { std::fprintf(stderr, "gantry mcp: %s\n", shown(what).c_str()); }

/// A host that has been told the workspace.
struct Greeted {
  Client client;
  std::size_t most_bytes = 0;  ///< of a message that the host takes
  mcp::Limits limits;
  std::string state_dir;
};

/// Connects and says hello. `may_start`: a host, if none is there.
using Connect = std::function<Result<Greeted>(bool may_start)>;

class StdioServer final : private mcp::HostLink, private mcp::ClientLink {
 public:
  StdioServer(Greeted greeted, Connect connect, std::string key)
      : connect_(std::move(connect)),
        from_agent_(greeted.limits.message, Framing::lines),
        server_(*this, *this, greeted.limits,
                mcp::Seal(std::move(key), [] { return std::chrono::system_clock::now(); })) {
    take(std::move(greeted));
  }

  int run() {
    while (!exit_code_) {
      const int host = line_ ? line_->fd() : -1;
      std::array<pollfd, 2> fds{pollfd{host, POLLIN, 0}, pollfd{agent_gone_ ? -1 : STDIN_FILENO, POLLIN, 0}};
      const int ready = ::poll(fds.data(), fds.size(), wait_ms());
      if (ready < 0 && errno != EINTR) return 1;
      if (ready >= 0) {
        if (has_unread()) take_host_messages();
        if (line_ && fds[0].revents != 0) read_host();
        if (!exit_code_ && fds[1].revents != 0) read_agent();
      }
      look_for_host();
      settle();
      if (agent_gone_ && !exit_code_ && (!server_.busy() || Clock::now() >= until_)) {
        exit_code_ = server_.busy() ? 1 : 0;
        if (server_.busy())
          server_.host_lost({ErrorKind::timeout,
                             "not answered within " + std::to_string(kExitGrace.count()) + " s of the end of the input",
                             {}});
        settle();
        server_.end();
      }
      flush();
    }
    return *exit_code_;
  }

 private:
  void call(std::uint64_t key, std::string_view method, std::string_view params) override {
    if (!line_ && !(serves_agent_ && !lost_ && connect(true))) {
      refused_.emplace_back(key, missing_);
      return;
    }
    std::string text = R"({"jsonrpc":"2.0","id":)" + std::to_string(key) + R"(,"method":)";
    text.append(quote_json(method)).append(R"(,"params":)").append(params) += '}';
    if (text.size() > most_bytes_) {
      refused_.emplace_back(
          key, Error{ErrorKind::too_large,
                     "the host takes messages of " + std::to_string(most_bytes_) + " bytes ([host] max_message_bytes)",
                     {}});
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

  [[nodiscard]] bool has_unread() const { return line_ && line_->has_unread(); }

  [[nodiscard]] int wait_ms() const {
    if (has_unread() || lost_ || is_new_ || !refused_.empty()) return 0;
    auto until = Clock::time_point::max();
    if (agent_gone_) until = until_;
    if (looks_for_host()) until = std::min(until, look_at_);
    if (until == Clock::time_point::max()) return -1;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    return static_cast<int>(std::max<std::int64_t>(left, 0)) + 1;
  }

  // ---- the host comes and goes

  void take(Greeted greeted) {
    client_.emplace(std::move(greeted.client));
    line_.emplace(client_->fd(), std::size_t{1} << 30);
    most_bytes_ = greeted.most_bytes;
    retry_ = kRetry;
  }

  [[nodiscard]] bool connect(bool may_start) {
    auto& next = may_start ? start_at_ : look_at_;
    if (Clock::now() < next) return false;
    auto greeted = connect_(may_start);
    if (!greeted) {
      missing_ = greeted.error();
      next = Clock::now() + (may_start ? kRetry : retry_);
      if (!may_start) retry_ = std::min(2 * retry_, kMaxRetry);
      return false;
    }
    take(std::move(*greeted));
    is_new_ = true;
    say("another host is there");
    return true;
  }

  [[nodiscard]] bool looks_for_host() const { return !line_ && !agent_gone_ && server_.awaits_changes(); }
  void look_for_host() {
    if (looks_for_host() && !lost_) (void)connect(false);
  }

  void host_is_gone() {
    line_.reset();
    client_.reset();
    lost_ = true;
    missing_ = Error{ErrorKind::unavailable, "the host is gone", {}};
    say(missing_.message);
  }

  // What the server has to know and could not be told while it made a call.
  void settle() {
    while (lost_ || is_new_ || !refused_.empty()) {
      if (std::exchange(lost_, false)) server_.host_lost(missing_);
      for (const auto& [key, error] : std::exchange(refused_, {})) server_.answered(key, std::unexpected(error));
      if (!lost_ && std::exchange(is_new_, false)) server_.host_is_new();
    }
  }

  // ---- messages

  void flush() {
    if (!to_agent_.empty() && !write_all(STDOUT_FILENO, to_agent_)) exit_code_ = 1;
    to_agent_.clear();
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
    serves_agent_ = true;
    std::string_view message;
    while (!exit_code_) {
      const auto status = from_agent_.next(message);
      settle();
      if (status == FrameDecoder::Status::message) {
        server_.receive(message);
      } else if (status == FrameDecoder::Status::too_large) {
        server_.refuse_too_long();
      } else {
        break;
      }
    }
    serves_agent_ = false;
  }

  void to_host(std::string_view message) {
    if (line_ && !line_->send(message)) host_is_gone();
  }

  void read_host() {
    if (!line_->receive()) return host_is_gone();
    take_host_messages();
  }

  // A message is copied out: while it is handled, more may be read.
  void take_host_messages() {
    std::string_view message;
    while (line_ && line_->next(message)) {
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

  const Connect connect_;
  std::optional<Client> client_;  ///< empty: there is no host
  std::optional<HostLine> line_;
  std::size_t most_bytes_ = 0;
  FrameDecoder from_agent_;
  EnvelopeParser parser_{std::size_t{1} << 30, 1000, 1};
  RpcParsed parsed_;
  std::string to_agent_;
  mcp::McpServer server_;
  bool serves_agent_ = false;  ///< a message of the agent is being read
  bool agent_gone_ = false;
  Clock::time_point until_{};                             ///< since the agent is gone
  std::vector<std::pair<std::uint64_t, Error>> refused_;  ///< calls that fail without the host
  bool lost_ = false;                                     ///< the server does not know yet that the host is gone
  bool is_new_ = false;                                   ///< ... that another is there
  Error missing_{ErrorKind::unavailable, "the host is gone", {}};  ///< why there is no host
  Clock::time_point start_at_{};                                   ///< not before then is a host started again
  Clock::time_point look_at_{};                                    ///< ... or looked for
  Clock::duration retry_ = kRetry;
  std::optional<int> exit_code_;
};

/// Names the workspace to the host, and learns what the host takes and where its folder is.
[[nodiscard]] Greeted greet(Client client) {
  json params{{"client", "gantry mcp"}};
  if (auto here = working_folder(); !here.empty()) params["workspace"] = std::move(here);
  auto hello = client.call("host.hello", params, kHelloTimeout);
  if (!hello) {
    say(hello.error().message);
    params.erase("workspace");
    hello = client.call("host.hello", params, kHelloTimeout);
  }
  const json limits = hello ? hello->value("capabilities", json::object()) : json::object();
  Greeted out{std::move(client), 0, {}, {}};
  out.most_bytes = std::min(kMaxMessage, limits.value("max_message_bytes", kMaxMessage));
  out.limits.message = out.most_bytes - kOverhead;
  const std::size_t depth = limits.value("max_json_depth", out.limits.depth);
  out.limits.depth = std::max(depth, 2 * kDepthOverhead) - kDepthOverhead;
  if (hello) out.state_dir = hello->value("state_dir", "");
  return out;
}

}  // namespace

int serve_mcp(const Common& common) {
  const Connect connect = [options = connect_options(common, "gantry mcp")](bool may_start) -> Result<Greeted> {
    auto how = options;
    how.may_start = how.may_start && may_start;
    auto connected = connect_or_start(how);
    if (!connected) return std::unexpected(connected.error());
    print_notes(connected->notes);
    return greet(std::move(connected->client));
  };
  auto greeted = connect(true);
  if (!greeted) return complain(greeted.error());
  auto key = mcp::shared_key(greeted->state_dir);
  if (!key) say(key.error().message + "; what an agent is asked counts for this process alone");
  StdioServer server(std::move(*greeted), connect, key ? std::move(*key) : mcp::random_key());
  return server.run();
}

}  // namespace gantry::host
