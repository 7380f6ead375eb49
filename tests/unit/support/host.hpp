// SPDX-License-Identifier: Apache-2.0
//
// A whole host inside the test: real plugins, a real socket, and a clock that stands still until
// the test moves it.
#pragma once

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <thread>

#include "host/cli/client.hpp"
#include "host/daemon/daemon.hpp"
#include "host/runtime/timer_queue.hpp"
#include "tests/eventually.hpp"
#include "tests/folders.hpp"
#include "tests/process_stat.hpp"

template <>
struct Catch::StringMaker<gantry::host::Isolation> {
  static std::string convert(gantry::host::Isolation isolation) {
    return isolation == gantry::host::Isolation::child ? "child" : "inline";
  }
};

namespace gantry::host::test {

using gantry::test::eventually;
using gantry::test::latest;
using gantry::test::wait_until_cancelled;

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gantry-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

[[nodiscard]] inline std::shared_ptr<Log> log_in(const std::filesystem::path& file) {
  LogOptions options;
  options.file = file;
  options.to_stderr = false;
  options.level = Level::debug;
  return Log::open_or_stderr(options);
}

/// Until `text` is in what `of.log_text()` returns.
template <class T>
void wait_for_log(const T& of, const std::string& text) {
  eventually(text + " in the log", [&] { return of.log_text().find(text) != std::string::npos; });
}

/// Keeps the items and the answer of one call.
class Recorder final : public CallSink {
 public:
  void item(std::string_view payload) override {
    Lock lock(mutex_);
    items_.emplace_back(payload);
    late_ = late_ || answer_.has_value();
    changed_.notify_all();
  }
  void item_end() override {
    Lock lock(mutex_);
    ++ends_;
    changed_.notify_all();
  }
  void credit(std::uint32_t items) override {
    Lock lock(mutex_);
    credit_ += items;
    changed_.notify_all();
  }
  void progress(std::string_view) override {}
  void answered(Result<Answer> answer) override {
    Lock lock(mutex_);
    ++answers_;
    if (!answer_) answer_ = std::move(answer);
    changed_.notify_all();
  }

  [[nodiscard]] Result<json> wait() {
    Lock lock(mutex_);
    wait_for("its answer", [&]() GANTRY_REQUIRES(mutex_) { return answer_.has_value(); });
    if (!*answer_) return std::unexpected(answer_->error());
    return json::parse((*answer_)->text);
  }
  /// Waits for that many items in all, or credit, or for the end of the items.
  void wait_for_items(std::size_t count) {
    Lock lock(mutex_);
    wait_for("its items", [&]() GANTRY_REQUIRES(mutex_) { return items_.size() >= count; });
  }
  void wait_for_credit(std::uint64_t count = 1) {
    Lock lock(mutex_);
    wait_for("credit", [&]() GANTRY_REQUIRES(mutex_) { return credit_ >= count; });
  }
  void wait_for_item_end() {
    Lock lock(mutex_);
    wait_for("the end of its items", [&]() GANTRY_REQUIRES(mutex_) { return ends_ != 0; });
  }
  [[nodiscard]] bool done() const {
    Lock lock(mutex_);
    return answer_.has_value();
  }
  [[nodiscard]] int answers() const {
    Lock lock(mutex_);
    return answers_;
  }
  [[nodiscard]] std::vector<std::string> items() const {
    Lock lock(mutex_);
    return items_;
  }
  [[nodiscard]] int item_ends() const {
    Lock lock(mutex_);
    return ends_;
  }
  [[nodiscard]] std::uint64_t credit_given() const {
    Lock lock(mutex_);
    return credit_;
  }
  [[nodiscard]] bool item_after_answer() const {
    Lock lock(mutex_);
    return late_;
  }

 private:
  template <class F>
  void wait_for(const char* what, F&& come) GANTRY_REQUIRES(mutex_) {
    const auto until = latest();
    while (!come()) {
      if (!changed_.wait_until(mutex_, until)) FAIL("of a call there did not come " << what);
    }
  }

  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<std::string> items_ GANTRY_GUARDED_BY(mutex_);
  std::optional<Result<Answer>> answer_ GANTRY_GUARDED_BY(mutex_);
  int answers_ GANTRY_GUARDED_BY(mutex_) = 0;
  int ends_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::uint64_t credit_ GANTRY_GUARDED_BY(mutex_) = 0;
  bool late_ GANTRY_GUARDED_BY(mutex_) = false;
};

class TestDaemon {
 public:
  /// `change` may alter the configuration before the host is built. `state`: a state folder that is
  /// there before and after this host.
  explicit TestDaemon(const std::function<void(Config&)>& change = {}, bool real_time = false, bool watch = false,
                      const std::filesystem::path& state = {}) {
    DaemonOptions options;
    options.watch = watch;
    options.config = default_config();
    options.config.log.to_stderr = false;
    options.config.log.level = Level::debug;
    if (const char* where = std::getenv("GANTRY_TEST_ISOLATION");
        where != nullptr && std::string_view(where) == "child") {
      for (const char* name : {"echo", "faulty", "busy", "hasty", "plain", "lsp_shaped", "slow_stream", "ledger", "v1",
                               "typed", "resumed"})
        options.config.plugins[name].isolation = Isolation::child;
    }
    // The test's clock could jump during a delivery, which would then seem to hang.
    if (!real_time) options.config.supervisor.hung_seconds = 0;
    if (change) change(options.config);
    options.socket = dir_.path() / "run" / "host.sock";
    options.state_dir = state.empty() ? dir_.path() / "state" : state;
    options.plugin_dir = gantry::folders::build() + "/tests/plugins";
    options.program = gantry::folders::build() + "/gantry";
    options.log = log_;
    options.timers = real_time ? nullptr : &timers;
    daemon_ = Daemon::build(std::move(options));
    opened_ = daemon_->open();
    thread_ = std::thread([this] { daemon_->run(); });
  }
  ~TestDaemon() { end(); }
  void end() {
    daemon_->request_stop("the test is over");
    if (thread_.joinable()) thread_.join();
    // A thread that hangs in a plugin may still write into the log. A real host ends its process at
    // this point.
    static auto* const kept = new std::vector<std::shared_ptr<Log>>;
    if (!daemon_->clean()) kept->push_back(log_);
  }
  TestDaemon(const TestDaemon&) = delete;
  TestDaemon& operator=(const TestDaemon&) = delete;

  [[nodiscard]] Daemon& daemon() { return *daemon_; }
  [[nodiscard]] const Result<void>& opened() const { return opened_; }
  [[nodiscard]] const std::filesystem::path& dir() const { return dir_.path(); }
  [[nodiscard]] std::filesystem::path socket() const { return dir_.path() / "run" / "host.sock"; }

  struct Begun {
    std::shared_ptr<Recorder> recorder;
    CallPtr call;
  };
  Begun begin(const std::string& method, const json& params = json::object(), std::optional<std::uint32_t> credit = {},
              std::optional<Duration> timeout = {}) {
    CallRequest request;
    request.method = method;
    request.params = params.dump();
    request.stream_credit = credit;
    request.origin = 1;
    if (timeout) request.deadline = Deadline(now() + *timeout);
    auto recorder = std::make_shared<Recorder>();
    auto call = daemon_->router().call(std::move(request), recorder);
    return Begun{recorder, call};
  }
  [[nodiscard]] Result<json> call(const std::string& method, const json& params = json::object()) {
    return begin(method, params).recorder->wait();
  }
  [[nodiscard]] Client connect() {
    auto client = Client::connect(socket());
    REQUIRE(client);
    return std::move(*client);
  }
  /// Waits until a timer is due within `within`, then moves the clock to it.
  void advance_to_next(Duration within) {
    eventually("a timer", [&] {
      const auto next = timers.next_in();
      return next && *next <= within;
    });
    timers.advance(*timers.next_in());
  }
  [[nodiscard]] TimePoint now() const { return timers.now(); }
  [[nodiscard]] std::string log_text() const {
    std::ifstream in(dir_.path() / "state" / "gantry.log");
    return {std::istreambuf_iterator<char>(in), {}};
  }

  ManualTimers timers;

 private:
  TempDir dir_;
  const std::shared_ptr<Log> log_ = log_in(dir_.path() / "state" / "gantry.log");
  std::unique_ptr<Daemon> daemon_;
  Result<void> opened_;
  std::thread thread_;
};

}  // namespace gantry::host::test
