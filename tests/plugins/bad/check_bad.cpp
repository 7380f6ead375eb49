// SPDX-License-Identifier: Apache-2.0
//
// A plugin on gantry/abi.h alone that is right but for one fault, which the name of its file says: tests copy it to
// FAULT.so. Under any other name it has none. It is no part of the product.
#include <dlfcn.h>
#include <fcntl.h>
#include <gantry/abi.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace {

constexpr std::string_view kManifest = R"({
  "id": "check_bad", "version": "1.0.0", "abi": {"major": 1, "minor": 0}, "services": ["bad"],
  "publishes": ["bad.*"], "methods": [
    {"name": "bad.now", "params": {"type": "object", "required": ["n"],
     "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}}},
    {"name": "bad.later", "params": {"type": "object", "properties": {}}},
    {"name": "bad.stream", "stream": true, "params": {"type": "object", "properties": {}}}]})";

/// This library's file, without its ending.
const std::string& own_path() {
  static const std::string* const path = [] {
    Dl_info info{};
    (void)dladdr(kManifest.data(), &info);
    const std::string file = info.dli_fname == nullptr ? "" : info.dli_fname;
    return new std::string(file.substr(0, file.rfind('.')));
  }();
  return *path;
}
std::string_view fault() {
  const std::string_view path = own_path();
  return path.substr(path.rfind('/') + 1);
}
bool is(const char* what) { return fault() == what; }

gantry_bytes bytes(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(gantry_bytes text) { return text.size == 0 ? "" : std::string_view(text.data, text.size); }
gantry_msg message(std::uint16_t kind, std::uint64_t id, std::string_view payload) {
  gantry_msg msg{};
  msg.size = sizeof msg;
  msg.kind = kind;
  msg.id = id;
  msg.budget_ns = -1;
  msg.payload = bytes(payload);
  return msg;
}

int objects = 0;  // alive at once

class Bad {
 public:
  explicit Bad(const gantry_host* host) : host_(host) {
    ++objects;
    abi.size = sizeof abi;
    abi.ctx = this;
    abi.start = [](void* ctx, gantry_bytes) { return static_cast<Bad*>(ctx)->start(); };
    abi.deliver = [](void* ctx, const gantry_msg* msg) { return static_cast<Bad*>(ctx)->deliver(*msg); };
    abi.destroy = [](void* ctx) { delete static_cast<Bad*>(ctx); };
  }
  ~Bad() {
    {
      const std::lock_guard lock(mutex_);
      quit_ = true;
    }
    changed_.notify_all();
    if (worker_.joinable()) worker_.join();
    --objects;
  }
  Bad(const Bad&) = delete;
  Bad& operator=(const Bad&) = delete;

  gantry_plugin abi{};

 private:
  std::int32_t start() {
    if (is("refuses")) return -32004;
    if (is("bare"))
      (void)static_cast<const gantry_timers*>(host_->extension(host_->ctx, GANTRY_TIMERS_EXT))->now(host_->ctx);
    if (is("memory")) {
      static void* volatile kept = nullptr;  // a compiler leaves out what nobody sees
      kept = std::malloc(4096);              // NOLINT: never freed
      std::memset(kept, 1, 4096);
    }
    worker_ = std::thread([this] { work(); });
    return 0;
  }

  std::int32_t deliver(const gantry_msg& msg) {
    const auto before = std::exchange(last_, {msg.kind, msg.id, msg.budget_ns, std::chrono::steady_clock::now()});
    switch (msg.kind) {
      case GANTRY_CALL:
        return call(msg);
      case GANTRY_CREDIT:
        if (is_open(msg.id)) answer_stream(msg.id);
        return 0;
      case GANTRY_CANCEL:
        // Not one that is cancelled because this machine let it wait.
        if (is("loses_cancelled") && before.kind == GANTRY_CALL && before.id == msg.id && before.budget_ns < 0 &&
            std::chrono::steady_clock::now() - before.came < std::chrono::milliseconds(50)) {
          (void)close(msg.id);
          return 0;
        }
        if (close(msg.id)) send_answer(msg.id, R"({"message":"cancelled"})", -32800);
        return 0;
      case GANTRY_ITEM:
        if (is("dies_of_late_end") && (msg.flags & GANTRY_END) != 0 && !is_open(msg.id)) std::abort();
        return 0;
      case GANTRY_GONE:
        if (is("dies_of_gone") && msg.origin == 3) std::abort();
        return 0;
      case GANTRY_STOP:
        if (is("dies_of_closed") && host_->post(host_->ctx, [](void*) {}, nullptr) == GANTRY_CLOSED) std::abort();
        for (const auto id : take_all()) send_answer(id, R"({"message":"it stops"})", -32004);
        send_answer(msg.id, "null");
        if (is("stops_twice")) send_answer(msg.id, "null");
        return 0;
      default:
        return 0;
    }
  }

  std::int32_t call(const gantry_msg& msg) {
    const auto params = view(msg.payload);
    look_at(params);
    {
      const std::lock_guard lock(mutex_);
      open_.insert(msg.id);
    }
    if (is("ignores_expired") && msg.budget_ns == 0) {
      (void)close(msg.id);
      return 0;
    }
    const auto method = view(msg.topic);
    if (method == "bad.later") return later(msg.id);
    if (method == "bad.stream") {
      if ((msg.flags & GANTRY_STREAM) == 0 || msg.credit > 0) answer_stream(msg.id);
      return 0;
    }
    if (!close(msg.id)) return 0;
    if (method == "bad.now" && is("dies_of_calls")) std::abort();
    if (method == "bad.now") return now(msg.id);
    if (is("answers_anything")) return send_answer(msg.id, "{}");
    return send_answer(msg.id, R"({"message":"no such method"})", -32601);
  }

  // What other code would die of: a parser without limits, a buffer of fixed size.
  static void look_at(std::string_view params) {
    if (is("dies_of_truncated") && params.starts_with("{") && !params.ends_with("}")) std::abort();
    if (is("dies_of_oversized") && params.size() > (std::size_t{2} << 20)) std::abort();
    if (is("dies_of_deep") && params.find(std::string(600, '[')) != std::string_view::npos) std::abort();
    if (is("dies_of_non_utf8") && params.find('\xff') != std::string_view::npos) std::abort();
    if (is("throws") && params.find("no such member") != std::string_view::npos) throw std::runtime_error("on purpose");
  }

  static bool in_child() {
    std::string words;
    std::getline(std::ifstream("/proc/self/cmdline"), words);
    return words.find("plugin-child") != std::string::npos;
  }

  std::int32_t now(std::uint64_t id) {
    if (is("leaves_thread")) {
      std::thread([] { std::this_thread::sleep_for(std::chrono::hours(1)); }).detach();
    }
    if (is("leaves_process")) {
      const pid_t child = ::fork();
      while (child == 0) (void)::pause();  // NOLINT(bugprone-infinite-loop): it stays until it is killed
      std::ofstream(own_path() + ".pid") << child << std::flush;
    }
    if (is("leaves_descriptor")) (void)::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (is("garbage")) return send_answer(id, "{");
    if (is("twice")) send_answer(id, "{}");
    if (is("slower_in_child") && in_child()) return send_answer(id, R"({"message":"too slow"})", -32001);
    return send_answer(id, is("tells_its_pid") ? std::to_string(::getpid()) : "{}");
  }

  std::int32_t later(std::uint64_t id) {
    if (is("never")) {
      (void)close(id);
      return 0;
    }
    {
      const std::lock_guard lock(mutex_);
      if (is("drops_when_many") && ++later_calls_ > 1000) {
        open_.erase(id);
        return 0;
      }
      queue_.push_back(id);
    }
    changed_.notify_all();
    return 0;
  }

  void answer_stream(std::uint64_t id) {
    const gantry_msg item = message(GANTRY_ITEM, id, "1");
    (void)host_->send(host_->ctx, &item);
    if (close(id)) send_answer(id, "{}");
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return quit_ || !queue_.empty(); });
      if (quit_) return;
      if (is("loses_cancelled") && changed_.wait_for(lock, std::chrono::milliseconds(50), [this] { return quit_; }))
        return;
      // Time for another call to come, if some are made together.
      const bool mixes = is("mixes_calls") && changed_.wait_for(lock, std::chrono::milliseconds(50),
                                                                [this] { return quit_ || queue_.size() > 1; });
      if (quit_) return;
      const auto id = queue_.front();
      queue_.pop_front();
      lock.unlock();
      if (close(id)) {
        send_answer(id, "{}");
        if (mixes) send_answer(id, "{}");
      }
      lock.lock();
    }
  }

  bool is_open(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    return open_.contains(id);
  }
  /// True: the caller answers it.
  bool close(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    return open_.erase(id) == 1;
  }
  std::set<std::uint64_t> take_all() {
    const std::lock_guard lock(mutex_);
    return std::exchange(open_, {});
  }
  std::int32_t send_answer(std::uint64_t id, std::string_view payload, std::int32_t status = 0) {
    gantry_msg msg = message(GANTRY_RESPONSE, id, payload);
    msg.status = status;
    (void)host_->send(host_->ctx, &msg);
    return 0;
  }

  struct Last {
    std::uint16_t kind = 0;
    std::uint64_t id = 0;
    std::int64_t budget_ns = 0;
    std::chrono::steady_clock::time_point came;
  };
  const gantry_host* const host_;
  Last last_;  ///< serial
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::uint64_t> open_;
  std::deque<std::uint64_t> queue_;
  int later_calls_ = 0;
  bool quit_ = false;
  std::thread worker_;
};

gantry_plugin* create(const gantry_host* host) {
  if (is("only_one") && objects > 0) return nullptr;
  if (is("hasty")) (void)host->post(host->ctx, [](void*) {}, nullptr);
  return &(new Bad(host))->abi;
}

void describe(void* sink_ctx, void (*sink)(void* sink_ctx, gantry_bytes text)) {
  while (is("hangs")) (void)::pause();
  sink(sink_ctx, bytes(kManifest));
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const gantry_entry_t gantry_entry = {
    GANTRY_MAGIC, GANTRY_ABI_MAJOR, GANTRY_ABI_MINOR, sizeof(gantry_entry_t), 0, &create, &describe};

#ifdef EXPORTS_MORE
extern "C" __attribute__((visibility("default"))) int one_more_symbol() { return 1; }
#endif
#ifdef HAS_UNIQUE
// As g++ makes of an inline variable: the loader binds it once in a process. clang makes none.
asm(".globl swap_only_one\n.type swap_only_one, @gnu_unique_object\n.pushsection .data\nswap_only_one: .quad 0\n"
    ".size swap_only_one, 8\n.popsection");
#endif
