// SPDX-License-Identifier: Apache-2.0
//
// The socket door, spoken to byte by byte.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <set>

#include "unit/host_support.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

namespace {

/// A client that says what it is told to.
class Raw {
 public:
  explicit Raw(const std::filesystem::path& socket) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    timeval patience{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;
  ~Raw() { ::close(fd_); }

  /// False: the host has closed.
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t wrote = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (wrote <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return true;
  }
  bool line(const json& message) { return send(message.dump() + "\n"); }
  /// The next message; null: the host has closed.
  json receive() {
    while (true) {
      std::string_view message;
      if (decoder_.next(message) == FrameDecoder::Status::message) return json::parse(message);
      const ssize_t got = ::recv(fd_, decoder_.prepare(65536), 65536, 0);
      if (got < 0) FAIL("nothing came");
      if (got == 0) return nullptr;
      decoder_.commit(static_cast<std::size_t>(got));
    }
  }
  /// The next message that is no notification.
  json answer() {
    while (true) {
      auto message = receive();
      if (message.is_null() || !message.contains("method")) return message;
    }
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  void use(Framing framing) { decoder_ = std::move(*std::make_unique<FrameDecoder>(1 << 28, framing)); }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
  struct Decoder {
    std::unique_ptr<FrameDecoder> d = std::make_unique<FrameDecoder>(std::size_t{1} << 28, Framing::lines);
    Decoder& operator=(FrameDecoder&& other) {
      d = std::make_unique<FrameDecoder>(std::size_t{1} << 28, other.framing());
      return *this;
    }
    FrameDecoder::Status next(std::string_view& m) { return d->next(m); }
    char* prepare(std::size_t n) { return d->prepare(n); }
    void commit(std::size_t n) { d->commit(n); }
  } decoder_;
};

json request(const json& id, const std::string& method, const json& params = json::object()) {
  return {{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}};
}

std::string kind_of(const json& message) {
  return message.is_null() ? "closed" : message["error"]["data"]["kind"].get<std::string>();
}

}  // namespace

TEST_CASE("door: both framings are served, and ids come back as they went") {
  TestHouse t;
  Raw lines(t.socket());
  REQUIRE(lines.line(request("x", "echo.say", {{"a", 1}})));
  REQUIRE(lines.answer() == json{{"jsonrpc", "2.0"}, {"id", "x"}, {"result", {{"a", 1}}}});
  Raw headers(t.socket());
  headers.use(Framing::headers);
  std::string frame;
  append_frame(frame, Framing::headers, request(7, "echo.say").dump());
  REQUIRE(headers.send(frame));
  REQUIRE(headers.answer()["id"] == 7);
}

TEST_CASE("door: an answer with line ends in it is one line for a client that speaks lines") {
  TestHouse t;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "faulty.pretty")));
  REQUIRE(c.answer()["result"] == json{{"a", 1}});
  REQUIRE(c.line(request(2, "echo.say")));
  REQUIRE(c.answer()["id"] == 2);
}

TEST_CASE("door: a batch is answered as one, notifications in it are not answered") {
  TestHouse t;
  Raw c(t.socket());
  REQUIRE(c.line(
      json::array({request(1, "echo.say"), {{"jsonrpc", "2.0"}, {"method", "echo.say"}}, request(2, "nope.x"), 5})));
  const auto answer = c.answer();
  REQUIRE(answer.is_array());
  REQUIRE(answer.size() == 3);
  std::map<std::string, json> by_id;
  for (const auto& a : answer) by_id[a["id"].dump()] = a;
  REQUIRE(by_id["1"]["result"] == json::object());
  REQUIRE(kind_of(by_id["2"]) == "method_not_found");
  REQUIRE(kind_of(by_id["null"]) == "invalid_request");
}

TEST_CASE("door: bad input gets the contract's error and the connection lives on") {
  TestHouse t;
  Raw c(t.socket());
  const auto kind = [&](const std::string& text) {
    REQUIRE(c.send(text + "\n"));
    return kind_of(c.answer());
  };
  REQUIRE(kind("{nonsense") == "parse_error");
  REQUIRE(kind(R"({"jsonrpc":"2.0","id":1,"method":"echo.say","params":{"skipped":[1,}})") == "parse_error");
  REQUIRE(kind(R"({"jsonrpc":"1.0","id":1,"method":"echo.say"})") == "invalid_request");
  REQUIRE(kind(R"({"jsonrpc":"2.0","id":1,"method":"echo.nothing"})") == "method_not_found");
  REQUIRE(kind(R"({"jsonrpc":"2.0","id":1,"method":"host.status","params":{"x":1}})") == "invalid_params");
  REQUIRE(kind(R"({"jsonrpc":"2.0","id":1,"method":"host.status","params":[]})") == "invalid_params");
  REQUIRE(kind(R"({"jsonrpc":"2.0","id":1,"method":"a","params":{"x":)" + std::string(10'000, '[') +
               std::string(10'000, ']') + "}}") == "invalid_request");
  REQUIRE(c.line(request(2, "echo.say")));
  REQUIRE(c.answer()["id"] == 2);
}

TEST_CASE("door: an id that is in flight is refused, and free again after its answer") {
  TestHouse t;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "faulty.never")));
  REQUIRE(c.line(request(1, "echo.say")));
  REQUIRE(kind_of(c.answer()) == "invalid_request");
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/cancelRequest"}, {"params", {{"id", 1}}}}));
  REQUIRE(kind_of(c.answer()) == "cancelled");
  REQUIRE(c.line(request(1, "echo.say")));
  REQUIRE(c.answer()["result"] == json::object());
}

TEST_CASE("door: a 100 MiB frame is `too_large`, is not stored, and the next message is served") {
  TestHouse t([](Config& c) { c.host.max_message_bytes = 1 << 20; });
  for (const auto framing : {Framing::headers, Framing::lines}) {
    Raw c(t.socket());
    c.use(framing);
    const std::string chunk(1 << 20, 'x');
    if (framing == Framing::headers) REQUIRE(c.send("Content-Length: 104857600\r\n\r\n"));
    if (framing == Framing::lines) REQUIRE(c.send("{"));
    const auto before = (*t.call("host.status"))["rss_bytes"].get<std::int64_t>();
    for (int i = 0; i < 100; ++i) REQUIRE(c.send(chunk));
    if (framing == Framing::lines) REQUIRE(c.send("\n"));
    REQUIRE(kind_of(c.answer()) == "too_large");
    const auto after = (*t.call("host.status"))["rss_bytes"].get<std::int64_t>();
    REQUIRE(after - before < (std::int64_t{64} << 20));
    std::string next;
    append_frame(next, framing, request(1, "echo.say").dump());
    REQUIRE(c.send(next));
    REQUIRE(c.answer()["id"] == 1);
  }
}

TEST_CASE("door: a header that never ends closes the connection, and nobody else's") {
  TestHouse t;
  Raw other(t.socket());
  Raw c(t.socket());
  c.use(Framing::headers);
  std::string filler = "Content-Length: 1\r\n";
  while (filler.size() < 20'000) filler += "X-Filler: yes\r\n";
  (void)c.send(filler);
  REQUIRE(kind_of(c.answer()) == "parse_error");
  REQUIRE(c.receive().is_null());
  REQUIRE(other.line(request(1, "echo.say")));
  REQUIRE(other.answer()["id"] == 1);
}

TEST_CASE("door: a client that leaves in the middle of a frame has its calls cancelled, and its plugins are told") {
  TestHouse t;
  {
    Raw c(t.socket());
    REQUIRE(c.line(request(1, "faulty.never")));
    REQUIRE(c.line(request(2, "faulty.attempts", {{"key", "x"}})));
    REQUIRE(c.answer()["id"] == 2);
    REQUIRE(c.send(R"({"jsonrpc":"2.0","id":3,"meth)"));
  }
  eventually("the cancel", [&] { return (*t.call("faulty.cancelled"))["count"] == 1; });
  eventually("gone", [&] { return (*t.call("faulty.who"))["gone"] == 1; });
  eventually("no connection", [&] { return (*t.call("host.status"))["connections"] == 0; });
}

TEST_CASE("door: a client that half-closes is served to its last answer") {
  TestHouse t({}, true);
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "faulty.late", {{"delay_ms", 20}})));
  c.half_close();
  REQUIRE(c.answer()["result"]["late"] == true);
  REQUIRE(c.receive().is_null());
}

TEST_CASE("door: no other client waits for one that never reads") {
  TestHouse t([](Config& c) { c.host.max_outbound_bytes = 1 << 20; });
  Raw stuck(t.socket());
  Raw other(t.socket());
  const std::string payload(100'000, 'x');
  // Writes until the host stops reading from it, or closes it.
  ::timeval no_patience{0, 200'000};
  ::setsockopt(stuck.fd(), SOL_SOCKET, SO_SNDTIMEO, &no_patience, sizeof no_patience);
  int sent = 0;
  while (sent < 2000 && stuck.line(request(sent, "echo.say", {{"p", payload}}))) ++sent;
  REQUIRE(sent < 2000);
  REQUIRE(other.line(request(1, "echo.say")));
  REQUIRE(other.answer()["id"] == 1);
}

TEST_CASE("door: a client that sends and does not read is not read from, and gets every answer when it reads") {
  TestHouse t;
  Raw c(t.socket());
  const ::timeval no_patience{0, 200'000};
  ::setsockopt(c.fd(), SOL_SOCKET, SO_SNDTIMEO, &no_patience, sizeof no_patience);
  const std::string payload(10'000, 'x');
  constexpr int kMany = 6400;  // as much as the outbox may hold
  int sent = 0;
  while (sent < kMany && c.line(request(sent, "echo.say", {{"p", payload}}))) ++sent;
  // At worst max_calls_in_flight wait for the plugin, and behind them 256 KiB of `overloaded`.
  REQUIRE(sent < kMany / 2);
  std::set<int> answered;
  for (int i = 0; i < sent; ++i) answered.insert(c.answer()["id"].get<int>());
  REQUIRE(answered.size() == static_cast<std::size_t>(sent));
  REQUIRE(t.log_text().find("does not read") == std::string::npos);
}

TEST_CASE("door: a client that takes more than its outbox holds, and does not read, is closed") {
  TestHouse t([](Config& c) { c.host.max_outbound_bytes = 1 << 20; });
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "faulty.flood",
                         {{"items", 100'000}, {"size", 1000}, {"_meta", {{"stream", {{"credit", 100'000}}}}}})));
  eventually("its end", [&] { return t.log_text().find("a client does not read") != std::string::npos; });
  eventually("the end of its call", [&] {
    const auto services = t.call("host.services");
    return std::all_of(services->begin(), services->end(), [](const json& s) { return s["permits"]["in_use"] == 0; });
  });
}

TEST_CASE("door: credit from the client lets more items come") {
  TestHouse t;
  Raw c(t.socket());
  REQUIRE(c.line(request("s", "faulty.flood", {{"items", 3}, {"_meta", {{"stream", {{"credit", 1}}}}}})));
  REQUIRE(c.receive()["params"]["item"]["i"] == 0);
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/credit"}, {"params", {{"id", "s"}, {"n", 2}}}}));
  REQUIRE(c.receive()["params"]["item"]["i"] == 1);
  REQUIRE(c.receive()["params"]["item"]["i"] == 2);
  REQUIRE(c.answer()["result"]["sent"] == 3);
}

TEST_CASE("door: progress comes before the answer, under the call's id") {
  TestHouse t;
  Raw c(t.socket());
  REQUIRE(c.line(request("p", "faulty.progresses")));
  const auto progress = c.receive();
  REQUIRE(progress["method"] == "$/progress");
  REQUIRE(progress["params"] == json{{"id", "p"}, {"message", "half way"}, {"percentage", 50.0}});
  REQUIRE(c.receive()["id"] == "p");
}

TEST_CASE("door: rpc.discover names every method that can be called, with its params, and no other") {
  TestHouse t([](Config& c) { c.plugins["busy"].enabled = false; });
  const auto document = t.call("rpc.discover");
  REQUIRE((*document)["openrpc"] == "1.3.2");
  std::map<std::string, json> methods;
  for (const auto& method : (*document)["methods"]) methods[method["name"]] = method;
  for (const char* name : {"host.hello", "host.status", "events.subscribe", "config.reload", "echo.say", "plain.echo"})
    REQUIRE(methods.contains(name));
  REQUIRE(methods["faulty.flood"]["x-gantry-stream"] == true);
  REQUIRE(methods["faulty.echo_stream"]["x-gantry-attach"] == true);
  REQUIRE(methods["events.unsubscribe"]["params"][0]["name"] == "subscription");
  REQUIRE(methods["events.unsubscribe"]["params"][0]["required"] == true);
  REQUIRE(!methods.contains("busy.attempts"));
  Raw c(t.socket());
  for (const auto& [name, method] : methods) {
    if (t.house().services().find(name) || name == "host.shutdown") continue;
    REQUIRE(c.line(request(name, name)));
    const auto answer = c.answer();
    INFO(answer.dump());
    REQUIRE((answer.contains("result") || kind_of(answer) != "method_not_found"));
  }
}

TEST_CASE("door: traceparent and idempotency_key of _meta reach the plugin") {
  TestHouse t;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "faulty.meta", {{"_meta", {{"traceparent", "00-ab-cd-01"}, {"idempotency_key", "k1"}}}})));
  REQUIRE(c.answer()["result"] == json{{"traceparent", "00-ab-cd-01"}, {"idempotency_key", "k1"}});
}

TEST_CASE("door: a connection has at most 64 subscriptions, and they end with it") {
  TestHouse t;
  const auto subscriptions = [&] { return (*t.call("host.metrics"))["events"]["subscriptions"].get<int>(); };
  const int before = subscriptions();
  {
    Raw c(t.socket());
    for (int i = 0; i < 64; ++i) {
      REQUIRE(c.line(request(i, "events.subscribe", {{"topics", {"a.b"}}})));
      REQUIRE(c.answer().contains("result"));
    }
    REQUIRE(c.line(request(64, "events.subscribe", {{"topics", {"a.b"}}})));
    REQUIRE(kind_of(c.answer()) == "overloaded");
    REQUIRE(subscriptions() == before + 64);
    REQUIRE(c.line(request(65, "events.unsubscribe", {{"subscription", "7"}})));
    REQUIRE(c.answer().contains("result"));
    REQUIRE(subscriptions() == before + 63);
  }
  eventually("their end", [&] { return subscriptions() == before; });
}

TEST_CASE("door: streams work over the wire in both directions, with credits") {
  TestHouse t;
  Raw c(t.socket());
  REQUIRE(c.line(request("s", "faulty.echo_stream", {{"grant", 1}, {"_meta", {{"stream", {{"credit", 10}}}}}})));
  const auto credit = c.receive();
  REQUIRE(credit["method"] == "$/credit");
  REQUIRE(credit["params"] == json{{"id", "s"}, {"n", 1}});
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/stream"}, {"params", {{"id", "s"}, {"item", {{"x", 1}}}}}}));
  auto item = c.receive();
  if (item["method"] == "$/credit") item = c.receive();
  REQUIRE(item["method"] == "$/stream");
  REQUIRE(item["params"]["item"] == json{{"x", 1}});
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/stream"}, {"params", {{"id", "s"}, {"end", true}}}}));
  REQUIRE(c.answer()["result"]["seen"] == 1);
}

TEST_CASE("door: a client that sends beyond its credit loses that call and nothing else") {
  TestHouse t;
  Raw c(t.socket());
  REQUIRE(c.line(request("s", "faulty.echo_stream", {{"grant", 0}, {"_meta", {{"stream", {{"credit", 10}}}}}})));
  REQUIRE(c.line(request(1, "echo.say")));
  REQUIRE(c.answer()["id"] == 1);
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/stream"}, {"params", {{"id", "s"}, {"item", 1}}}}));
  REQUIRE(kind_of(c.answer()) == "cancelled");
  REQUIRE(c.line(request(2, "echo.say")));
  REQUIRE(c.answer()["id"] == 2);
}

TEST_CASE("door: events reach a subscriber in order with their log, and stop when it unsubscribes") {
  TestHouse t;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "events.subscribe", {{"topics", {"mine.*"}}})));
  const auto subscribed = c.answer()["result"];
  for (int i = 0; i < 3; ++i)
    REQUIRE(c.line(request(10 + i, "events.publish", {{"topic", "mine.x"}, {"payload", {{"i", i}}}})));
  std::vector<json> events;
  int answers = 0;
  while (events.size() < 3 || answers < 3) {
    const auto message = c.receive();
    if (message.contains("method")) {
      events.push_back(message["params"]);
    } else {
      REQUIRE(message.contains("result"));
      ++answers;
    }
  }
  for (std::size_t i = 0; i < 3; ++i) {
    REQUIRE(events[i]["payload"]["i"] == i);
    REQUIRE(events[i]["epoch"] == subscribed["epoch"]);
    REQUIRE(events[i]["subscription"] == subscribed["subscription"]);
    if (i > 0) REQUIRE(events[i]["prev"] == events[i - 1]["seq"]);
  }
  REQUIRE(c.line(request(2, "events.unsubscribe", {{"subscription", subscribed["subscription"]}})));
  REQUIRE(c.answer()["result"] == json::object());
  REQUIRE(c.line(request(3, "events.publish", {{"topic", "mine.x"}, {"payload", 1}})));
  REQUIRE(c.answer()["id"] == 3);
  REQUIRE(c.line(request(4, "events.publish", {{"topic", "host.fake"}, {"payload", 1}})));
  REQUIRE(kind_of(c.answer()) == "permission_denied");
  REQUIRE(c.line(request(5, "events.publish", {{"topic", "faulty.flood"}, {"payload", 1}})));
  REQUIRE(kind_of(c.answer()) == "permission_denied");
}

TEST_CASE("door: host.hello names the client and its workspace to the plugins that it calls") {
  TestHouse t;
  TempDir workspace;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "host.hello", {{"client", "editor"}, {"workspace", workspace.path().string()}})));
  const auto hello = c.answer()["result"];
  REQUIRE(hello["version"] == std::string(kVersion));
  REQUIRE(hello["epoch"].get<std::string>().size() == 32);
  REQUIRE(c.line(request(2, "faulty.who")));
  const auto who = c.answer()["result"];
  REQUIRE(who["client"] == "editor");
  REQUIRE(who["workspace"] == std::filesystem::canonical(workspace.path()).string());
  REQUIRE(c.line(request(3, "host.hello", {{"client", "editor"}, {"workspace", "/does/not/exist"}})));
  REQUIRE(kind_of(c.answer()) == "not_found");
}

TEST_CASE("door: timeout_ms of a call holds") {
  TestHouse t;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "faulty.never", {{"_meta", {{"timeout_ms", 1500}}}})));
  t.advance_to_next(1500ms);
  REQUIRE(kind_of(c.answer()) == "timeout");
}

TEST_CASE("door: more calls in flight than the limit are `overloaded`") {
  TestHouse t([](Config& c) { c.host.max_calls_in_flight = 2; });
  Raw c(t.socket());
  for (int i = 0; i < 3; ++i) REQUIRE(c.line(request(i, "faulty.never")));
  const auto refused = c.answer();
  REQUIRE(refused["id"] == 2);
  REQUIRE(kind_of(refused) == "overloaded");
}

TEST_CASE(
    "door: params in flight beyond the limit of bytes are `overloaded`, and there is room again after an answer") {
  TestHouse t([](Config& c) { c.host.max_bytes_in_flight = 4096; });
  Raw c(t.socket());
  const std::string text(3000, 'x');
  REQUIRE(c.line(request(1, "faulty.never", {{"text", text}})));
  REQUIRE(c.line(request(2, "echo.say", {{"text", text}})));
  const auto refused = c.answer();
  REQUIRE(refused["id"] == 2);
  REQUIRE(kind_of(refused) == "overloaded");
  REQUIRE(refused["error"]["data"]["retry_after_ms"] == 100);
  Raw other(t.socket());
  REQUIRE(other.line(request(1, "echo.say", {{"text", text}})));
  REQUIRE(other.answer()["result"]["text"] == text);
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/cancelRequest"}, {"params", {{"id", 1}}}}));
  REQUIRE(kind_of(c.answer()) == "cancelled");
  REQUIRE(c.line(request(4, "faulty.never", {{"text", "short"}})));
  REQUIRE(c.line(request(2, "echo.say", {{"text", text}})));
  REQUIRE(c.answer()["result"]["text"] == text);
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/cancelRequest"}, {"params", {{"id", 4}}}}));
  REQUIRE(kind_of(c.answer()) == "cancelled");
  REQUIRE(c.line(request(3, "echo.say", {{"text", std::string(10000, 'y')}})));  // alone it may be as large as it likes
  REQUIRE(c.answer()["result"]["text"].get<std::string>().size() == 10000);
}

TEST_CASE("door: more connections than the limit are told so and closed") {
  TestHouse t([](Config& c) { c.host.max_connections = 1; });
  Raw first(t.socket());
  REQUIRE(first.line(request(1, "echo.say")));
  REQUIRE(first.answer()["id"] == 1);
  Raw second(t.socket());
  REQUIRE(kind_of(second.answer()) == "overloaded");
  REQUIRE(second.receive().is_null());
}

TEST_CASE("door: exactly one host serves a socket, and the leftovers of a dead one are replaced") {
  TestHouse t;
  REQUIRE(t.opened());
  const auto second = SocketLock::take(t.socket());
  REQUIRE(!second);
  REQUIRE(second.error().kind == ErrorKind::conflict);
  TempDir dir;
  const auto socket = dir.path() / "run" / "host.sock";
  std::filesystem::create_directory(dir.path() / "run");
  ::chmod((dir.path() / "run").c_str(), 0700);
  std::ofstream(socket) << "left behind";
  std::ofstream(socket.string() + ".lock") << "";
  REQUIRE(SocketLock::take(socket));
}

TEST_CASE("door: a socket folder that others may enter, or that is a link, is refused") {
  TempDir dir;
  const auto open_folder = dir.path() / "open";
  std::filesystem::create_directory(open_folder);
  ::chmod(open_folder.c_str(), 0755);
  REQUIRE(check_socket_folder(open_folder).error().kind == ErrorKind::permission_denied);
  const auto link = dir.path() / "link";
  std::filesystem::create_directory(dir.path() / "real");
  ::chmod((dir.path() / "real").c_str(), 0700);
  std::filesystem::create_symlink(dir.path() / "real", link);
  REQUIRE(check_socket_folder(link).error().message.find("symbolic link") != std::string::npos);
  REQUIRE(check_socket_folder(dir.path() / "real"));
}
