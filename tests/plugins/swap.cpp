// SPDX-License-Identifier: Apache-2.0
//
// A plugin that is built several times: BUILD tells them apart, MODE is how they follow each other. One that hands over
// owns a lock that two cannot hold. It is no part of the product.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <gantry/plugin.hpp>
#include <map>
#include <memory>

namespace {

using namespace gantry;

#ifdef UNIQUE
// As g++ makes of an inline variable: the loader binds it once in a process. clang makes none.
asm(".globl swap_only_one\n.type swap_only_one, @gnu_unique_object\n.pushsection .data\nswap_only_one: .quad 0\n"
    ".size swap_only_one, 8\n.popsection");
#endif

class Swap {
 public:
  explicit Swap(Host host) : host_(std::move(host)) {}
  ~Swap() {
    if (fd_ >= 0) ::close(fd_);
  }
  Swap(const Swap&) = delete;

  Result<void> start(const PluginConfig& config) {
    state_dir_ = config.state_dir;
    hangs_after_giving_ = config.settings.value("hangs_after_giving", false);
    if (config.handed_over) {
      const auto state = json::parse(config.handed_over->substr(2));
      count_ = state["count"];
      for (const auto& stream : state["streams"])
        left_.insert_or_assign(stream["id"].get<std::uint64_t>(), Stream{nullptr, stream["seen"], stream["unsent"]});
    }
#ifdef REFUSES
    return fail(ErrorKind::unavailable, "this build refuses to start in " + config.state_dir);
#endif
    if (std::string_view(MODE) != "handover") return {};
    fd_ = ::open((config.state_dir + "/only_one").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0 || ::flock(fd_, LOCK_EX | LOCK_NB) != 0) return fail(ErrorKind::unavailable, "another one runs");
    return {};
  }
  // Bytes that are no text come first.
  void stop(const Stopping& stopping) {
    json streams = json::array();
    for (auto& [id, stream] : streams_) {
      const auto unsent = stopping.give(*stream->call);
      if (unsent) streams.push_back({{"id", id}, {"seen", stream->seen}, {"unsent", *unsent}});
    }
    if (!streams.empty() && hangs_after_giving_) {
      host_.log(Level::info, "has given its streams");
      for (;;) ::pause();
    }
    const auto given = stopping.give(std::string("\0\xff", 2) + json{{"count", count_}, {"streams", streams}}.dump());
    if (!streams.empty() && !state_dir_.empty()) std::ofstream(state_dir_ + "/given") << "given";
    host_.log(Level::info, given ? "has given its count" : "keeps its count: " + given.error().message);
  }
  Result<json> build(Call&) { return json{{"build", BUILD}}; }
  Result<json> reads(Call& call) {
    return json{{"read", std::ifstream(call.params().at("path").get<std::string>()).good()}};
  }
  Result<json> count(Call&) { return json{{"count", ++count_}}; }
  // Sends each item back with its number, and with the build that has seen it.
  void echo(Call call) {
    const auto id = call.id();
    auto stream = std::make_shared<Stream>();
    if (call.resumed()) {
      const auto left = left_.extract(id);
      if (!left) return call.reply_error(Error{ErrorKind::internal, "nobody has told of this stream", {}});
      *stream = left.mapped();
    }
    stream->call = std::make_shared<Call>(std::move(call));
    for (auto& item : stream->unsent) (void)stream->call->item_raw(std::move(item));
    stream->unsent.clear();
    stream->call->on_item([s = stream.get()](std::string_view item) {
      (void)s->call->item(json{{"n", s->seen++}, {"build", BUILD}, {"item", json::parse(item)}});
      s->call->grant(1);
    });
    stream->call->on_end([this, id] { end(id, json{{"seen", streams_.at(id)->seen}, {"build", BUILD}}); });
    stream->call->on_cancel([this, id] { end(id, Error{ErrorKind::cancelled, "cancelled", {}}); });
    if (!stream->call->resumed()) stream->call->grant(kWindow);
    streams_.emplace(id, std::move(stream));
  }
  void end(std::uint64_t id, const Result<json>& answer) {
    if (const auto found = streams_.extract(id)) found.mapped()->call->reply(answer);
  }
  void end(std::uint64_t id, Error error) { end(id, Result<json>(std::unexpected(std::move(error)))); }
  Result<json> streams(Call&) { return json{{"open", streams_.size()}, {"left", left_.size()}}; }
  // Goes on until it is cancelled; `work` is its task.
  void work(Call call) {
    auto held = std::make_shared<Call>(std::move(call));
    held->progress("build " + std::to_string(BUILD), 10 * BUILD);
    held->on_cancel([held] { held->reply_error(Error{ErrorKind::cancelled, "cancelled", {}}); });
  }
  void begin_work(Call call) {
    auto held = std::make_shared<Call>(std::move(call));
    const auto made =
        run_task(host_, {.name = "work", .method = "swap.work", .restart = BackgroundTask::Restart::on_failure},
                 [held](Result<void> done) {
                   held->reply(done ? Result<json>(json::object()) : std::unexpected(done.error()));
                 });
    if (!made) held->reply_error(made.error());
  }
  // Counts at once, and says so a while later.
  void later(Call call) {
    auto held = std::make_shared<Call>(std::move(call));
    (void)host_.after(std::chrono::milliseconds(20),
                      [held, answer = json{{"count", ++count_}}] { held->reply(answer); });
  }
  void hold(Call call) { held_.push_back(std::make_shared<Call>(std::move(call))); }

  static void define(Definition<Swap>& d) {
    d.id("swap").version(std::to_string(BUILD) + ".0.0").service("swap").reload(MODE).grant("read:workspace");
    d.method("swap.build", &Swap::build).method("swap.count", &Swap::count);
    d.method("swap.work", &Swap::work).method("swap.begin_work", &Swap::begin_work);
    d.method("swap.hold", &Swap::hold).method("swap.streams", &Swap::streams);
    d.method("swap.echo", &Swap::echo, {.attach = true}).method("swap.echo_stream", &Swap::echo, {.stream = true});
    d.method("swap.later", &Swap::later).method("swap.reads", &Swap::reads);
    if (BUILD == 2) d.method("swap.more", &Swap::build);
  }

 private:
  static constexpr std::uint32_t kWindow = 8;
  struct Stream {
    std::shared_ptr<Call> call;
    int seen = 0;
    std::vector<std::string> unsent;
  };

  Host host_;
  int fd_ = -1;
  std::string state_dir_;
  bool hangs_after_giving_ = false;
  int count_ = 0;
  std::vector<std::shared_ptr<Call>> held_;
  std::map<std::uint64_t, std::shared_ptr<Stream>> streams_;
  std::map<std::uint64_t, Stream> left_;  ///< by the instance before, not resumed yet
};

}  // namespace

GANTRY_PLUGIN(Swap)
