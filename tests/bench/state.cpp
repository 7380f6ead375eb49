// SPDX-License-Identifier: Apache-2.0
//
// The project state over the Unix socket, on the disk of the temporary folder: durable updates beside raw SQLite, reads
// beside an echo call, events beside a bare Asio broadcast, a resume beside the same bytes from memory, the start after
// kill -9, and the past.
#include <sqlite3.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <random>
#include <thread>

#include "tests/bench/state_client.hpp"

namespace bench {

namespace {

const char* const kStateNote = "JSON-RPC, schema and revision checks, undo and event log, fsync each commit";

/// A host with a state folder, which outlives the host.
class StateHost {
 public:
  StateHost(const Options& options, std::string dir) : dir_(std::move(dir)), socket_(dir_ + "/g.sock") {
    std::filesystem::permissions(dir_, std::filesystem::perms::owner_all);
    std::ofstream(dir_ + "/gantry.toml")
        << "[state]\nmax_events = 10000000\nmax_log_mib = 8192\n[plugins.echo]\npath = \"" << options.build_dir
        << "/bench/plugins/echo_plugin.so\"\n";
    (void)::unlink(socket_.c_str());
    child_ =
        std::make_unique<Child>(std::vector<std::string>{options.build_dir + "/gantry", "serve", "--config",
                                                         dir_ + "/gantry.toml", "--socket", socket_, "--ready-fd", "1"},
                                std::vector<std::string>{"GANTRY_STATE_DIR=" + dir_ + "/state"}, false);
  }
  [[nodiscard]] StateClient connect() const { return StateClient(socket_); }
  [[nodiscard]] double cpu() const { return child_->clock_seconds(); }
  [[nodiscard]] double rss_mib() const { return child_->rss_mib(); }
  [[nodiscard]] std::string store() const { return dir_ + "/state/project_state/state.db"; }
  void kill() {
    ::kill(child_->pid(), SIGKILL);
    child_.reset();
  }
  void stop() { child_.reset(); }

 private:
  std::string dir_, socket_;
  std::unique_ptr<Child> child_;
};

[[nodiscard]] double cpu_of_thread() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

[[nodiscard]] double part(std::vector<double> values, double where) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[static_cast<std::size_t>(static_cast<double>(values.size() - 1) * where)];
}

[[nodiscard]] std::vector<std::string> make_sessions(StateClient& client, std::size_t count) {
  std::vector<std::string> ids(count);
  for (std::size_t begin = 0; begin < count; begin += 100) {
    json ops = json::array();
    for (std::size_t i = begin; i < std::min(count, begin + 100); ++i)
      ops.push_back({{"method", "state.session.create"}, {"params", {{"name", "s" + std::to_string(i)}}}});
    const auto made = client.call("state.batch", {{"ops", ops}});
    for (std::size_t i = begin; i < begin + ops.size(); ++i) ids[i] = made["results"][i - begin]["session"]["id"];
  }
  return ids;
}

struct Load {
  double calls = 0, seconds = 0;
  std::vector<double> us;  ///< of each call
  [[nodiscard]] double rate() const { return calls / seconds; }
};

/// `callers` connections with `depth` calls each; `params(caller, n)` are those of a caller's n-th call.
[[nodiscard]] Load load(const StateHost& host, std::size_t callers, std::size_t depth, double seconds,
                        const std::string& method,
                        const std::function<std::string(std::size_t, std::uint64_t)>& params) {
  struct Caller {
    StateClient client;
    std::uint64_t next = 0;
    std::vector<Clock::time_point> sent;
  };
  std::vector<Caller> all;
  const int epoll = ::epoll_create1(0);
  for (std::size_t i = 0; i < callers; ++i) {
    all.push_back({host.connect(), 0, std::vector<Clock::time_point>(1024)});
    epoll_event wanted{EPOLLIN, {.u64 = i}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, all.back().client.fd(), &wanted);
  }
  const auto begin = [&](std::size_t i) {
    auto& caller = all[i];
    const auto id = caller.next++;
    caller.sent[id % 1024] = Clock::now();
    caller.client.send(StateClient::request(id, method, params(i, id)));
  };
  Load out;
  const auto start = Clock::now();
  std::size_t open = 0;
  for (std::size_t i = 0; i < callers; ++i) {
    for (std::size_t d = 0; d < depth; ++d, ++open) begin(i);
  }
  std::array<epoll_event, 64> ready{};
  while (open != 0) {
    const int count = ::epoll_wait(epoll, ready.data(), ready.size(), 60'000);
    if (count <= 0) throw std::runtime_error(method + ": no answer came");
    for (int e = 0; e < count; ++e) {
      const auto i = static_cast<std::size_t>(ready[static_cast<std::size_t>(e)].data.u64);
      auto& client = all[i].client;
      client.fill();
      for (auto line = client.take(); !line.empty(); line = client.take()) {
        if (line.find(R"("error":)") != std::string_view::npos) throw std::runtime_error(std::string(line));
        const auto id = std::strtoull(line.data() + line.find(R"("id":)") + 5, nullptr, 10);
        out.us.push_back(seconds_since(all[i].sent[id % 1024]) * 1e6);
        ++out.calls;
        if (seconds_since(start) < seconds) {
          begin(i);
        } else {
          --open;
        }
      }
    }
  }
  out.seconds = seconds_since(start);
  ::close(epoll);
  return out;
}

// ---- updates ------------------------------------------------------------------------------------------------------

/// The statements that an update of one session comes to, without all else.
class RawStore {
 public:
  explicit RawStore(const std::string& file) {
    if (sqlite3_open(file.c_str(), &db_) != SQLITE_OK) throw std::runtime_error("sqlite3_open");
    run("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE objects (n INTEGER PRIMARY KEY, type TEXT NOT NULL, id TEXT NOT NULL, rev INTEGER NOT NULL,"
        " body TEXT, changed_seq INTEGER, crc INTEGER, UNIQUE (type, id)) STRICT;"
        "CREATE TABLE events (seq INTEGER PRIMARY KEY, topic TEXT, payload TEXT, object INTEGER, undo TEXT) STRICT;"
        "CREATE INDEX by_object ON events (object, seq);"
        "CREATE TABLE store (id INTEGER PRIMARY KEY, seq INTEGER) STRICT; INSERT INTO store VALUES (1, 0);");
    for (int i = 0; i < 64; ++i) {
      run("INSERT INTO objects VALUES (NULL, 'session', 'id" + std::to_string(i) + "', 1, '" + std::string(220, 'b') +
          "', 0, 0)");
    }
    prepare("BEGIN IMMEDIATE");
    prepare("SELECT n, body FROM objects WHERE type = 'session' AND id = ?");
    prepare("INSERT INTO events VALUES (?, 'state.session.updated', ?, ?, ?)");
    prepare("UPDATE objects SET rev = rev + 1, body = ?, changed_seq = ?, crc = 1 WHERE n = ?");
    prepare("UPDATE store SET seq = ? WHERE id = 1");
    prepare("COMMIT");
  }
  RawStore(const RawStore&) = delete;
  RawStore& operator=(const RawStore&) = delete;
  ~RawStore() {
    for (auto* statement : statements_) sqlite3_finalize(statement);
    sqlite3_close(db_);
  }
  void commit(int updates) {
    step(0);
    for (int i = 0; i < updates; ++i) {
      ++seq_;
      text(1, 1, "id" + std::to_string(seq_ % 64));
      if (sqlite3_step(statements_[1]) != SQLITE_ROW) throw std::runtime_error("no row");
      const auto n = sqlite3_column_int64(statements_[1], 0);
      sqlite3_reset(statements_[1]);
      sqlite3_bind_int64(statements_[2], 1, seq_);
      text(2, 2, std::string(180, 'p'));
      sqlite3_bind_int64(statements_[2], 3, n);
      text(2, 4, std::string(30, 'u'));
      step(2);
      text(3, 1, std::string(220, 'c'));
      sqlite3_bind_int64(statements_[3], 2, seq_);
      sqlite3_bind_int64(statements_[3], 3, n);
      step(3);
    }
    sqlite3_bind_int64(statements_[4], 1, seq_);
    step(4);
    step(5);
  }

 private:
  void run(const std::string& sql) {
    if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
      throw std::runtime_error(sqlite3_errmsg(db_));
  }
  void prepare(const char* sql) {
    statements_.push_back(nullptr);
    if (sqlite3_prepare_v2(db_, sql, -1, &statements_.back(), nullptr) != SQLITE_OK) throw std::runtime_error(sql);
  }
  void text(std::size_t statement, int at, const std::string& value) {
    sqlite3_bind_text(statements_[statement], at, value.c_str(), -1, SQLITE_TRANSIENT);
  }
  void step(std::size_t statement) {
    if (sqlite3_step(statements_[statement]) != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(db_));
    sqlite3_reset(statements_[statement]);
  }
  sqlite3* db_ = nullptr;
  std::vector<sqlite3_stmt*> statements_;
  std::int64_t seq_ = 0;
};

void updates(const Options& options, std::vector<Row>& rows) {
  const double seconds = options.quick ? 1 : 3;
  Row ours{"state.update.64x2", "gantry", "updates", "1/s", "higher", {}, 0, kStateNote};
  Row grouped{"state.update.64x2", "sqlite, 64 a commit", "updates", "1/s", "higher", {}, 0, "the statements alone"};
  Row single{"state.update.64x2", "sqlite, one a commit", "updates", "1/s", "higher", {}, 0, "the statements alone"};
  Row one{"state.update.1x1", "gantry", "p50", "us", "lower", {}, 0, kStateNote};
  Row raw{"state.update.1x1", "sqlite and a thread's round trip", "p50", "us", "lower", {}, 0, "the statements alone"};
  for (int round = 0; round < 3; ++round) {
    const std::string dir = temp_dir();
    {
      StateHost host(options, dir);
      auto client = host.connect();
      const auto ids = make_sessions(client, 64);
      const auto params = [&](std::size_t caller, std::uint64_t n) {
        return R"({"id":")" + ids[caller] + R"(","rev":null,"patch":{"branch":"b)" + std::to_string(n) + "\"}}";
      };
      auto cpu = host.cpu();
      const auto many = load(host, 64, 2, seconds, "state.session.update", params);
      ours.samples.push_back(many.rate());
      ours.cpu_seconds += host.cpu() - cpu;
      cpu = host.cpu();
      one.samples.push_back(part(load(host, 1, 1, seconds, "state.session.update", params).us, 0.5));
      one.cpu_seconds += host.cpu() - cpu;
      ours.note = std::string(kStateNote) + "; " + std::to_string(static_cast<int>(host.rss_mib())) + " MiB";
    }
    RawStore store(dir + "/raw.db");
    const auto measure = [&](int each, Row& row) {
      const auto cpu = cpu_of_thread();
      const auto start = Clock::now();
      double count = 0;
      for (; seconds_since(start) < seconds; count += each) store.commit(each);
      row.samples.push_back(count / seconds_since(start));
      row.cpu_seconds += cpu_of_thread() - cpu;
    };
    measure(64, grouped);
    measure(1, single);
    std::vector<double> us;
    for (const auto start = Clock::now(); seconds_since(start) < seconds;) {
      const auto before = Clock::now();
      std::async(std::launch::async, [&] { store.commit(1); }).get();
      us.push_back(seconds_since(before) * 1e6);
    }
    raw.samples.push_back(part(us, 0.5));
  }
  rows.insert(rows.end(), {ours, grouped, single, one, raw});
  const auto ratio = [&](const char* workload, const char* peer, double value, const char* better, const char* goal) {
    rows.push_back({workload, "gantry", std::string("ratio to ") + peer, "x", better, {value}, 0, goal});
  };
  ratio("state.update.64x2", "sqlite, 64 a commit", ours.median() / grouped.median(), "higher", "goal: at least 0.8");
  ratio("state.update.64x2", "sqlite, one a commit", ours.median() / single.median(), "higher", "goal: at least 10");
  ratio("state.update.1x1", "sqlite and a thread", one.median() / raw.median(), "lower", "goal: at most 1.5");
}

// ---- reads --------------------------------------------------------------------------------------------------------

void reads(const Options& options, std::vector<Row>& rows) {
  const double seconds = options.quick ? 0.5 : 2;
  StateHost host(options, temp_dir());
  auto client = host.connect();
  const auto ids = make_sessions(client, 64);
  for (const auto& id : ids) (void)client.call("state.session.get", {{"id", id}});
  (void)client.call("state.flush");
  const auto params = [&](std::size_t caller, std::uint64_t) { return R"({"id":")" + ids[caller] + "\"}"; };
  for (const auto& [name, callers, depth] : {std::tuple("state.get.1x1", 1, 1), {"state.get.64x8", 64, 8}}) {
    Row get{name, "gantry", "us a call", "us", "lower", {}, 0, "state.session.get, from the snapshot"};
    Row echo{name, "echo", "us a call", "us", "lower", {}, 0, "the inline nonblocking echo, the same params"};
    for (int round = 0; round < (options.quick ? 3 : 7); ++round) {
      for (auto [row, method] : {std::pair(&get, "state.session.get"), {&echo, "echo.echo"}}) {
        const auto cpu = host.cpu();
        const auto run =
            load(host, static_cast<std::size_t>(callers), static_cast<std::size_t>(depth), seconds, method, params);
        row->samples.push_back(callers == 1 ? part(run.us, 0.5) : 1e6 / run.rate());
        row->cpu_seconds += host.cpu() - cpu;
      }
    }
    rows.insert(rows.end(), {get, echo});
    rows.push_back(
        {name, "gantry", "ratio to echo", "x", "lower", {get.median() / echo.median()}, 0, "goal: at most 1.2"});
  }
}

// ---- events -------------------------------------------------------------------------------------------------------

/// What an Asio server has to do at least: each line goes to all connections.
class Broadcast {
 public:
  explicit Broadcast(const std::string& socket) : acceptor_(io_, Local::endpoint(socket)) {
    accept();
    thread_ = std::thread([this] { io_.run(); });
  }
  Broadcast(const Broadcast&) = delete;
  Broadcast& operator=(const Broadcast&) = delete;
  ~Broadcast() {
    io_.stop();
    thread_.join();
  }
  void wait_for(std::size_t peers) const {
    while (accepted_ < peers) std::this_thread::yield();
  }
  void send(const std::string& text) {
    boost::asio::post(io_, [this, shared = std::make_shared<std::string>(text)] {
      for (const auto& peer : peers_)
        boost::asio::async_write(*peer, boost::asio::buffer(*shared), [shared](auto, std::size_t) {});
    });
  }

 private:
  using Local = boost::asio::local::stream_protocol;
  void accept() {
    acceptor_.async_accept([this](auto failed, Local::socket socket) {
      if (failed) return;
      peers_.push_back(std::make_unique<Local::socket>(std::move(socket)));
      ++accepted_;
      accept();
    });
  }
  boost::asio::io_context io_{1};
  Local::acceptor acceptor_;
  std::vector<std::unique_ptr<Local::socket>> peers_;
  std::atomic<std::size_t> accepted_{0};
  std::thread thread_;
};

/// The time until a line with `mark` has come to each of them.
void arrivals(std::vector<StateClient>& subscribers, int epoll, const std::string& mark, Clock::time_point from,
              std::vector<double>& us) {
  std::array<epoll_event, 256> ready{};
  for (std::size_t missing = subscribers.size(); missing != 0;) {
    const int count = ::epoll_wait(epoll, ready.data(), ready.size(), 60'000);
    if (count <= 0) throw std::runtime_error("an event did not come");
    for (int e = 0; e < count; ++e) {
      auto& client = subscribers[static_cast<std::size_t>(ready[static_cast<std::size_t>(e)].data.u64)];
      client.fill();
      for (auto line = client.take(); !line.empty(); line = client.take()) {
        if (line.find(mark) == std::string_view::npos) continue;
        us.push_back(seconds_since(from) * 1e6);
        --missing;
      }
    }
  }
}

void fan_out(const Options& options, std::vector<Row>& rows) {
  constexpr std::size_t kSubscribers = 1000;
  const int events = options.quick ? 30 : 200;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;  // both ends of the bare broadcast are here
  ::setrlimit(RLIMIT_NOFILE, &files);
  const std::string dir = temp_dir();
  Row ours{"state.events.1000", "gantry", "answer to event, p99", "us", "lower", {}, 0, kStateNote};
  Row bare{"state.events.1000", "asio broadcast", "send to line, p99", "us", "lower", {}, 0, "the same bytes"};
  const auto watch = [](std::vector<StateClient>& all) {
    const int epoll = ::epoll_create1(0);
    for (std::size_t i = 0; i < all.size(); ++i) {
      epoll_event wanted{EPOLLIN, {.u64 = i}};
      ::epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd(), &wanted);
    }
    return epoll;
  };
  {
    StateHost host(options, dir);
    auto client = host.connect();
    const auto id = make_sessions(client, 1).front();
    std::vector<StateClient> subscribers;
    for (std::size_t i = 0; i < kSubscribers; ++i) {
      subscribers.push_back(host.connect());
      (void)subscribers.back().call("state.subscribe", {{"scopes", {"sessions"}}});
    }
    const int epoll = watch(subscribers);
    const auto cpu = host.cpu();
    for (int i = 0; i < events; ++i) {
      std::vector<double> us;
      const std::string mark = "mark" + std::to_string(i) + "\"";
      (void)client.call("state.session.update",
                        {{"id", id}, {"rev", nullptr}, {"patch", {{"branch", "mark" + std::to_string(i)}}}});
      arrivals(subscribers, epoll, mark, Clock::now(), us);
      ours.samples.push_back(part(us, 0.99));
    }
    ours.cpu_seconds = host.cpu() - cpu;
    ours.note = std::string(kStateNote) + "; " + std::to_string(static_cast<int>(host.rss_mib())) + " MiB";
    ::close(epoll);
  }
  Broadcast server(dir + "/b.sock");
  std::vector<StateClient> subscribers;
  for (std::size_t i = 0; i < kSubscribers; ++i) subscribers.emplace_back(dir + "/b.sock");
  server.wait_for(kSubscribers);
  const int epoll = watch(subscribers);
  for (int i = 0; i < events; ++i) {
    std::vector<double> us;
    const std::string mark = "mark" + std::to_string(i) + "\"";
    const auto from = Clock::now();
    server.send(std::string(420, 'x') + mark + "\n");
    arrivals(subscribers, epoll, mark, from, us);
    bare.samples.push_back(part(us, 0.99));
  }
  ::close(epoll);
  rows.insert(rows.end(), {ours, bare});
  rows.push_back({"state.events.1000",
                  "gantry",
                  "ratio to asio broadcast",
                  "x",
                  "lower",
                  {ours.median() / bare.median()},
                  0,
                  "goal: at most 3"});
}

// ---- the log ------------------------------------------------------------------------------------------------------

/// Reads lines until one holds `mark`; what was read.
[[nodiscard]] std::string read_to(StateClient& client, const std::string& mark) {
  std::string all;
  while (true) {
    const auto line = client.line();
    all.append(line).append("\n");
    if (line.find(mark) != std::string_view::npos) return all;
  }
}

void resume(const Options& options, std::vector<Row>& rows) {
  constexpr int kMissed = 10'000;
  Row ours{"state.resume.10000", "gantry", "subscribe to last event", "ms", "lower", {}, 0, kStateNote};
  Row memory{"state.resume.10000", "the same bytes", "write to last line", "ms", "lower", {}, 0, "from memory"};
  StateHost host(options, temp_dir());
  auto client = host.connect();
  (void)make_sessions(client, 100);
  const auto info = client.call("state.info");
  (void)make_sessions(client, kMissed);
  const auto head = client.call("state.info")["seq"].get<std::uint64_t>();
  const std::string last = R"("seq":)" + std::to_string(head - 1) + ",";  // behind which comes the batch's own event
  for (int round = 0; round < (options.quick ? 5 : 15); ++round) {
    auto subscriber = host.connect();
    const auto cpu = host.cpu();
    const auto from = Clock::now();
    subscriber.send(StateClient::request(
        1, "state.subscribe",
        json{{"scopes", {"sessions"}}, {"since", {{"epoch", info["epoch"]}, {"seq", info["seq"]}}}}.dump()));
    const auto bytes = read_to(subscriber, last);
    ours.samples.push_back(seconds_since(from) * 1e3);
    ours.cpu_seconds += host.cpu() - cpu;
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) throw std::runtime_error("socketpair");
    StateClient reader(ends[0]);
    const auto begin = Clock::now();
    std::thread writer([&] { write_all(ends[1], bytes); });
    (void)read_to(reader, last);
    memory.samples.push_back(seconds_since(begin) * 1e3);
    writer.join();
    ::close(ends[1]);
  }
  rows.insert(rows.end(), {ours, memory});
  rows.push_back({"state.resume.10000",
                  "gantry",
                  "ratio to the same bytes",
                  "x",
                  "lower",
                  {ours.median() / memory.median()},
                  0,
                  "goal: at most 2"});
}

/// The past of 10,000 sessions with 100,000 events, then the start with a million after kill -9.
void past_and_start(const Options& options, std::vector<Row>& rows) {
  const std::string dir = temp_dir();
  auto host = std::make_unique<StateHost>(options, dir);
  const auto ids = [&] {
    auto client = host->connect();
    return make_sessions(client, 10'000);
  }();
  const auto change = [&](std::size_t count) {
    std::size_t made = 0;
    const auto params = [&](std::size_t caller, std::uint64_t n) {
      return R"({"id":")" + ids[(caller * 157 + n * 64) % ids.size()] + R"(","rev":null,"patch":{"branch":"b)" +
             std::to_string(n) + "\"}}";
    };
    while (made < count) {
      const auto run = load(*host, 64, 8, 2, "state.session.update", params);
      made += static_cast<std::size_t>(run.calls);
    }
  };
  change(100'000);
  Row at{"state.at", "gantry", "a page of 100 of 10,000, p99", "ms", "lower", {}, 0, "goal: at most 20; any point"};
  {
    auto client = host->connect();
    const auto head = client.call("state.info")["seq"].get<std::uint64_t>();
    std::mt19937_64 random(1);  // NOLINT: the same each time
    std::vector<double> ms;
    const auto cpu = host->cpu();
    for (int i = 0; i < (options.quick ? 200 : 1000); ++i) {
      const auto from = Clock::now();
      (void)client.call("state.at", {{"seq", head - random() % 100'000}, {"scope", "sessions"}, {"limit", 100}});
      ms.push_back(seconds_since(from) * 1e3);
    }
    at.samples.push_back(part(ms, 0.99));
    at.cpu_seconds = host->cpu() - cpu;
  }
  rows.push_back(at);
  const std::size_t events = options.quick ? 300'000 : 1'000'000;
  change(events - 110'000);
  Row start{"state.start", "gantry", "exec to first read after kill -9", "ms", "lower", {}, 0, ""};
  Row memory{"state.start", "gantry", "RSS after it", "MiB", "lower", {}, 0, "cache 32 MiB"};
  for (int round = 0; round < 3; ++round) {
    host->kill();
    host.reset();
    const auto from = Clock::now();
    host = std::make_unique<StateHost>(options, dir);
    auto client = host->connect();
    const auto info = client.call("state.info");
    start.samples.push_back(seconds_since(from) * 1e3);
    start.cpu_seconds += host->cpu();
    memory.samples.push_back(host->rss_mib());
    start.note = std::to_string(info["seq"].get<std::uint64_t>()) + " events, " +
                 std::to_string(std::filesystem::file_size(host->store()) >> 20) +
                 " MiB; goal: at most 1,500 with 1,000,000";
  }
  rows.insert(rows.end(), {start, memory});
}

}  // namespace

void state(const Options& options, std::vector<Row>& rows) {
  updates(options, rows);
  reads(options, rows);
  fan_out(options, rows);
  resume(options, rows);
  past_and_start(options, rows);
}

}  // namespace bench
