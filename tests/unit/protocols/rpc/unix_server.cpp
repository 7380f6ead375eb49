// SPDX-License-Identifier: Apache-2.0
//
// The Unix server, spoken to byte by byte.
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <set>

#include "tests/other_user.hpp"
#include "tests/unit/support/rpc_client.hpp"

using namespace gantry;
using namespace gantry::host;
using namespace gantry::host::test;
using namespace std::chrono_literals;

TEST_CASE("rpc: its socket is for its user alone, and making it leaves the file mode mask as it was") {
  const auto mask = [] {
    const mode_t now = ::umask(0077);
    ::umask(now);
    return now;
  };
  const mode_t before = mask();
  TestDaemon t;
  REQUIRE(t.opened());
  REQUIRE(mask() == before);
  struct ::stat about{};
  REQUIRE(::stat(t.socket().c_str(), &about) == 0);
  REQUIRE((about.st_mode & 0777) == 0600);
}

TEST_CASE("rpc: a socket's path may be as long as its address can hold, and is refused with what to do when longer") {
  for (const std::size_t size : {sizeof(sockaddr_un{}.sun_path) - 1, sizeof(sockaddr_un{}.sun_path)}) {
    TempDir dir;
    const auto folder = dir.path() / "run";
    DaemonOptions options;
    options.config = default_config();
    options.socket = folder / std::string(size - folder.native().size() - 1, 's');
    options.state_dir = dir.path() / "state";
    options.plugin_dir = dir.path();
    options.log = log_in(dir.path() / "state" / "gantry.log");
    const auto daemon = Daemon::build(std::move(options));
    const auto opened = daemon->open();
    INFO((opened ? "open" : opened.error().message));
    REQUIRE(opened.has_value() == (size < sizeof(sockaddr_un{}.sun_path)));
    if (!opened) REQUIRE(opened.error().message.find("choose another with --socket") != std::string::npos);
    daemon->request_stop("the test is over");
    daemon->run();
  }
}

TEST_CASE("rpc: both framings are served, and ids come back as they went") {
  TestDaemon t;
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

TEST_CASE("rpc: an answer with line ends in it is one line for a client that speaks lines") {
  TestDaemon t;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "faulty.pretty")));
  REQUIRE(c.answer()["result"] == json{{"a", 1}});
  REQUIRE(c.line(request(2, "echo.say")));
  REQUIRE(c.answer()["id"] == 2);
}

TEST_CASE("rpc: a batch is answered as one, notifications in it are not answered") {
  TestDaemon t;
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

TEST_CASE("rpc: a request whose text cannot be taken is answered under its id, and the connection lives on") {
  TestDaemon t;
  Raw c(t.socket());
  const auto refused = [&](const std::string& params, const json& id) {
    REQUIRE(
        c.send(R"({"jsonrpc":"2.0","id":)" + id.dump() + R"(,"method":"echo.say","params":{"a":)" + params + "}}\n"));
    const auto answer = c.answer();
    REQUIRE(answer["id"] == id);
    REQUIRE(kind_of(answer) == "parse_error");
    return answer["error"]["message"].get<std::string>();
  };
  REQUIRE(refused(R"("\ud83d")", "half").find("surrogate") != std::string::npos);
  REQUIRE(refused("18446744073709551616", 7).find("64 bits") != std::string::npos);
  REQUIRE(refused("1e400", 8).find("number") != std::string::npos);
  REQUIRE(refused("\"\xff\"", 9).find("UTF-8") != std::string::npos);
  REQUIRE(c.line(request(10, "echo.say")));
  REQUIRE(c.answer()["id"] == 10);
}

TEST_CASE("rpc: a workspace must be an absolute path in UTF-8") {
  TestDaemon t;
  Raw c(t.socket());
  std::filesystem::create_directory(t.dir() / "no\xff");
  std::filesystem::create_directory_symlink(t.dir() / "no\xff", t.dir() / "link");
  const auto hello = [&](const std::string& workspace) {
    REQUIRE(c.line(request(1, "host.hello", {{"client", "test"}, {"workspace", workspace}})));
    return c.answer();
  };
  for (const std::string& bad :
       {std::string("."), std::string("work"), std::string(), std::string("/tmp\0x", 6), (t.dir() / "link").string()}) {
    const auto answer = hello(bad);
    INFO(bad);
    REQUIRE(kind_of(answer) == "invalid_params");
  }
  REQUIRE(hello((t.dir() / "link").string())["error"]["message"].get<std::string>().find("no UTF-8") !=
          std::string::npos);
  REQUIRE(t.daemon().open_workspace((t.dir() / "no\xff").string()).error().kind == ErrorKind::invalid_params);
  REQUIRE(hello(t.dir().string()).contains("result"));
}

TEST_CASE("rpc: bad input gets the contract's error and the connection lives on") {
  TestDaemon t;
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

TEST_CASE("rpc: an id that is in flight is refused, and free again after its answer") {
  TestDaemon t;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "faulty.never")));
  REQUIRE(c.line(request(1, "echo.say")));
  REQUIRE(kind_of(c.answer()) == "invalid_request");
  REQUIRE(c.line({{"jsonrpc", "2.0"}, {"method", "$/cancelRequest"}, {"params", {{"id", 1}}}}));
  REQUIRE(kind_of(c.answer()) == "cancelled");
  REQUIRE(c.line(request(1, "echo.say")));
  REQUIRE(c.answer()["result"] == json::object());
}

TEST_CASE("rpc: a 100 MiB frame is `too_large`, is not stored, and the next message is served") {
  TestDaemon t([](Config& c) { c.host.max_message_bytes = 1 << 20; });
  for (const auto framing : {Framing::headers, Framing::lines}) {
    CAPTURE(framing);
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

TEST_CASE("rpc: a header that never ends closes the connection, and nobody else's") {
  TestDaemon t;
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

TEST_CASE("rpc: a client that leaves in the middle of a frame has its calls cancelled, and its plugins are told") {
  TestDaemon t;
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

TEST_CASE("rpc: a client that half-closes is served to its last answer") {
  TestDaemon t({}, true);
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "faulty.late", {{"delay_ms", 20}})));
  c.half_close();
  REQUIRE(c.answer()["result"]["late"] == true);
  REQUIRE(c.receive().is_null());
}

TEST_CASE("rpc: a client that half-closes when nothing is open is closed") {
  TestDaemon t;
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "echo.say")));
  REQUIRE(c.answer()["id"] == 1);
  c.half_close();
  REQUIRE(c.receive().is_null());
}

TEST_CASE("rpc: a client that half-closes and then leaves has its calls cancelled") {
  TestDaemon t([](Config& c) { c.host.workers = 1; });
  Raw other(t.socket());
  const auto ask = [&] {
    REQUIRE(other.line(request(1, "faulty.cancelled")));
    return other.answer()["result"]["count"];
  };
  {
    Raw c(t.socket());
    REQUIRE(c.line(request(1, "faulty.never")));
    c.half_close();
    for (int i = 0; i < 3; ++i) REQUIRE(ask() == 0);  // by then the one worker has seen it half-closed
  }
  eventually("the cancel", [&] { return ask() == 1; });
}

TEST_CASE("rpc: a client that half-closes gets all of an answer that its socket does not hold") {
  TestDaemon t;
  Raw c(t.socket());
  const std::string payload(std::size_t{1} << 20, 'x');
  REQUIRE(c.line(request(1, "echo.say", {{"p", payload}})));
  c.half_close();
  REQUIRE(c.answer()["result"]["p"] == payload);
  REQUIRE(c.receive().is_null());
}

TEST_CASE("rpc: a large message costs memory while it is on its way, and none after") {
  TestDaemon t;
  const auto message = request(1, "faulty.cancelled", {{"p", std::string(std::size_t{4} << 20, 'x')}}).dump() + "\n";
  const auto rss = [&] { return (*t.call("host.status"))["rss_bytes"].get<std::int64_t>(); };
  std::vector<std::unique_ptr<Raw>> clients;
  std::int64_t before = 0;
  for (int i = 0; i < 40; ++i) {
    clients.push_back(std::make_unique<Raw>(t.socket()));
    REQUIRE(clients.back()->send(message));
    REQUIRE(clients.back()->answer()["id"] == 1);
    if (i == 9) before = rss();
  }
  REQUIRE(rss() - before < (std::int64_t{64} << 20));
}

TEST_CASE("rpc: no other client waits for one that never reads") {
  TestDaemon t([](Config& c) { c.host.max_outbound_bytes = 1 << 20; });
  Raw stuck(t.socket());
  Raw other(t.socket());
  const std::string payload(100'000, 'x');
  // Writes until the host stops reading from it, or closes it.
  ::timeval short_timeout{0, 200'000};
  ::setsockopt(stuck.fd(), SOL_SOCKET, SO_SNDTIMEO, &short_timeout, sizeof short_timeout);
  int sent = 0;
  while (sent < 2000 && stuck.line(request(sent, "echo.say", {{"p", payload}}))) ++sent;
  REQUIRE(sent < 2000);
  REQUIRE(other.line(request(1, "echo.say")));
  REQUIRE(other.answer()["id"] == 1);
}

TEST_CASE("rpc: a client that sends and does not read is not read from, and gets every answer when it reads") {
  TestDaemon t;
  Raw c(t.socket());
  const ::timeval short_timeout{0, 200'000};
  ::setsockopt(c.fd(), SOL_SOCKET, SO_SNDTIMEO, &short_timeout, sizeof short_timeout);
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

TEST_CASE("stream: one whose client does not read is held back by bytes, and loses nothing") {
  TestDaemon t([](Config& c) { c.host.max_outbound_bytes = 1 << 20; });
  Raw c(t.socket());
  constexpr int kItems = 5000;  // of which the outbox would hold a fifth
  REQUIRE(c.line(
      request(1, "faulty.flood", {{"items", kItems}, {"size", 1000}, {"_meta", {{"stream", {{"credit", 100'000}}}}}})));
  REQUIRE(t.call("faulty.attempts", {{"key", "x"}}));
  for (int i = 0; i < kItems; ++i) {
    CAPTURE(i);
    REQUIRE(c.receive()["params"]["item"]["i"] == i);
  }
  REQUIRE(c.receive()["result"]["sent"] == kItems);
  REQUIRE(t.log_text().find("a client does not read") == std::string::npos);
}

TEST_CASE("stream: one of a plugin in a process of its own waits there while the client does not read") {
  TestDaemon t([](Config& c) { c.plugins["typed"].isolation = Isolation::child; });
  Raw c(t.socket());
  constexpr int kItems = 200'000;
  REQUIRE(c.line(request(1, "typed.pooled_count", {{"to", kItems}, {"_meta", {{"stream", {{"credit", 1'000'000}}}}}})));
  std::string last;
  int same = 0;
  eventually("the sender to stand still", [&] {
    const std::string counted = t.call("typed.counted").value()["said"];
    same = counted == last && counted != "0" ? same + 1 : 0;
    last = counted;
    return same == 20;
  });
  REQUIRE(std::stoi(last) < kItems / 2);
  for (int i = 0; i < kItems; ++i) {
    const auto item = c.receive()["params"]["item"];
    if (item["n"] != i) FAIL(item.dump() << " is not number " << i);
  }
  REQUIRE(c.receive()["result"]["said"] == "done");
}

TEST_CASE("rpc: a client that takes more than its outbox holds, and does not read, is closed") {
  TestDaemon t([](Config& c) { c.host.max_outbound_bytes = 1 << 20; });
  Raw c(t.socket());
  REQUIRE(c.line(request(1, "echo.say", {{"p", std::string(3 << 20, 'x')}})));
  wait_for_log(t, "a client does not read");
  while (!c.receive().is_null()) {
  }
  eventually("the end of its call", [&] {
    const auto services = t.call("host.services");
    return std::all_of(services->begin(), services->end(), [](const json& s) { return s["permits"]["in_use"] == 0; });
  });
  const std::string log = t.log_text();
  REQUIRE(log.find("a client does not read") == log.rfind("a client does not read"));
}

TEST_CASE("rpc: answers that a worker gives later all leave, though nothing is read meanwhile") {
  TestDaemon t([](Config& c) { c.host.workers = 1; });
  Raw c(t.socket());
  for (int i = 0; i < 3; ++i) {
    CAPTURE(i);
    REQUIRE(c.line(request(i, "hasty.late", {{"delay_ms", 1000}})));
    t.advance_to_next(1s);
    REQUIRE(c.answer()["id"] == i);
  }
}

TEST_CASE("rpc: a client for which there is no room reads why, whatever it has sent, and is closed after a second") {
  TestDaemon t([](Config& c) { c.host.max_connections = 1; });
  Raw first(t.socket());
  REQUIRE(first.line(request(1, "echo.say")));
  REQUIRE(first.answer()["id"] == 1);
  // More than a socket holds: who does not read it lets the client wait, and who closes meanwhile takes the answer
  // away.
  std::string said;
  for (int i = 0; i < 8; ++i) said += request(i, "echo.say", {{"text", std::string(65536, 'x')}}).dump() + "\n";
  Raw second(t.socket());
  REQUIRE(second.send(said));
  const auto refusal = second.answer();
  REQUIRE(refusal["error"]["data"]["kind"] == "overloaded");
  REQUIRE(refusal["error"]["message"].get<std::string>().find("1 clients are connected") != std::string::npos);
  REQUIRE(second.receive().is_null());
  eventually("the end", [&] { return !second.send("x"); });
}

namespace {

/// While it lives the process opens no descriptor.
struct NoDescriptors {
  ::rlimit before{};
  NoDescriptors() {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const ::rlimit none{1, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  ~NoDescriptors() { (void)::setrlimit(RLIMIT_NOFILE, &before); }
};

}  // namespace

TEST_CASE("rpc: a client that comes when no descriptor is left is served when there is one again") {
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
  gantry::test::skip("this build's sanitizer opens descriptors of its own; the one with tsan runs this");
#endif
#endif
  TestDaemon t;
  std::ifstream log(t.dir() / "state" / "gantry.log");
  const auto says = [&](const char* what) {
    log.clear();
    log.seekg(0);
    return std::string(std::istreambuf_iterator<char>(log), {}).find(what) != std::string::npos;
  };
  REQUIRE(t.call("plain.echo"));  // nothing else is being opened: it is the one that starts with the host
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  std::optional<NoDescriptors> limit(std::in_place);
  Raw c(fd, t.socket());
  eventually("the failure", [&] { return says("accept failed"); });
  limit.reset();
  REQUIRE(c.line(request(1, "echo.say")));
  REQUIRE(c.answer()["id"] == 1);
}

TEST_CASE("rpc: clients that come when no descriptor is left for a second are told so, and later ones are served") {
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
  gantry::test::skip("this build's sanitizer opens descriptors of its own; the one with tsan runs this");
#endif
#endif
  TestDaemon t({}, true);
  REQUIRE(t.call("plain.echo"));
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  const int beside = ::socket(AF_UNIX, SOCK_STREAM, 0);
  const int later = ::socket(AF_UNIX, SOCK_STREAM, 0);
  std::vector<int> all;
  ::rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const ::rlimit few{256, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  for (int copy = 0; (copy = ::dup(fd)) >= 0;) all.push_back(copy);
  Raw c(fd, t.socket());
  Raw d(beside, t.socket());
  const auto refusal = c.answer();
  REQUIRE(d.answer() == refusal);
  for (const int copy : all) ::close(copy);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(refusal["error"]["data"]["kind"] == "overloaded");
  REQUIRE(refusal["error"]["message"].get<std::string>().find("ulimit -n") != std::string::npos);
  Raw next(later, t.socket());
  REQUIRE(next.line(request(1, "echo.say")));
  REQUIRE(next.answer()["id"] == 1);
}
