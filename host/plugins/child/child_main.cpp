// SPDX-License-Identifier: Apache-2.0
//
// The main thread reads what it is to start, confines the process while it is the only thread, loads, starts and stops
// the plugin; a worker reads the link, and delivers to a nonblocking plugin.
#include "host/plugins/child/child_main.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <gantry/channel/mpsc.hpp>
#include <gantry/plugin/call.hpp>
#include <gantry/plugin/host.hpp>
#include <unordered_map>
#include <utility>

#include "host/plugins/child/link_port.hpp"
#include "host/plugins/handover.hpp"
#include "host/plugins/inline/inline_plugin.hpp"
#include "host/sandbox/confine.hpp"

namespace gantry::host {

using detail::make_msg;
using detail::to_bytes;
using detail::to_view;

namespace {

constexpr int kSocket = 3;
constexpr std::size_t kMaxStart = std::size_t{64} << 20;

class Child {
 public:
  /// `start`: what the host says first.
  int run(const json& start, std::shared_ptr<Handover> handed_over) {
    handed_over_ = std::move(handed_over);
    const auto confined = be_confined(start);
    auto commands = mpsc::channel<Command>(16);
    commands_ = &commands.tx;
    link_ = std::make_shared<Link>(
        workers_.first(), kSocket, kMaxStart,
        [this](const gantry_msg& msg, Descriptors descriptors) { receive(msg, std::move(descriptors)); },
        [this](const std::string&) { host_is_gone(); });
    port_->connect(link_);
    std::thread serving([this] {
      (void)workers_.run([this](std::string_view what) {
        port_->log(Level::error, "an exception reached a worker: " + std::string(what));
      });
    });
    link_->start();
    send_started(start, confined);
    const auto command = commands.rx.recv();
    if (plugin_ && command->successor) plugin_->expect_successor();
    const bool clean = !plugin_ || plugin_->stop(command->gone ? kLastBudget : command->budget);
    send_stopped(*command, clean);
    (void)link_->write_out(std::chrono::steady_clock::now() + kLastWrite);  // what it leaves may be large
    link_->close_soon();
    if (!clean) std::_Exit(1);  // a thread is still in the plugin
    workers_.stop();
    serving.join();
    return 0;
  }

 private:
  /// For a plugin whose host is gone.
  static constexpr Duration kLastBudget = std::chrono::seconds(1);
  /// The host ends the process before, when its timeout is shorter.
  static constexpr std::chrono::seconds kLastWrite{5};
  struct Command {
    bool gone;  ///< the host is; else it says stop
    Duration budget;
    bool successor = false;  ///< another instance comes next
  };
  /// A call of the host's, under its number there: what comes back of it goes over the link.
  class HostsCall final : public PluginCall {
   public:
    HostsCall(Child& child, std::uint64_t number, CallRequest&& request)
        : PluginCall(std::move(request)), child_(child), number_(number) {}
    void item(std::string_view payload) override { send(GANTRY_ITEM, 0, payload); }
    [[nodiscard]] bool has_room() const override { return has_room_.load(std::memory_order_seq_cst); }
    void set_room(bool room) {
      has_room_.store(room, std::memory_order_seq_cst);
      if (room) give_credit(0);
    }
    void item_end() override { send(GANTRY_ITEM, GANTRY_END, {}); }
    void credit(std::uint32_t items) override {
      auto msg = make_msg(GANTRY_CREDIT, number_);
      msg.credit = items;
      (void)child_.link_->send(msg);
    }
    void progress(std::string_view payload) override { send(GANTRY_PROGRESS, 0, payload); }
    void answered_text(std::string_view text) override {
      child_.forget(number_);
      send(GANTRY_RESPONSE, 0, text);
    }
    void answered(Result<Answer> answer) override {
      child_.forget(number_);
      auto msg = make_msg(GANTRY_RESPONSE, number_);
      msg.status = answer ? 0 : static_cast<std::int32_t>(answer.error().kind);
      if (!answer) answer = Answer(detail::error_payload(answer.error()));
      msg.payload = to_bytes(answer->text);
      (void)child_.link_->send(msg, std::move(answer->descriptors));
    }

   private:
    void send(gantry_kind kind, std::uint16_t flags, std::string_view payload) const {
      auto msg = make_msg(kind, number_);
      msg.flags = flags;
      msg.payload = to_bytes(payload);
      (void)child_.link_->send(msg);
    }
    Child& child_;
    const std::uint64_t number_;
    std::atomic<bool> has_room_{true};
  };

  void send_stopped(const Command& command, bool clean) {
    if (command.gone) return;
    const auto given = plugin_ ? plugin_->given() : nullptr;
    if (given) give_back_streams(*given);
    auto msg = wire::make(wire::kStopped);
    msg.status = clean ? 1 : 0;
    if (given && given->state() != nullptr) {
      msg.credit = 1;
      msg.payload = to_bytes(*given->state());
    }
    (void)link_->send(msg);
  }
  // What this plugin was not given any more is the next one's.
  void give_back_streams(Handover& given) {
    port_->wait_until_given();  // what came after this would be lost
    for (const auto& stream : given.take_streams()) {
      const auto rest = stream->undelivered();
      auto msg = wire::make(wire::kUndelivered);
      msg.id = stream->id();
      for (const auto& item : rest.items) {
        msg.payload = to_bytes(item);
        (void)link_->send(msg);
      }
      msg.payload = {};
      msg.flags = GANTRY_END;
      if (rest.end) (void)link_->send(msg);
    }
  }
  void host_is_gone() {
    (void)commands_->try_send(Command{true, {}});
    // A plugin that hangs, even in its start, does not outlive its host.
    (void)workers_.timers().after(2 * kLastBudget, [] { std::_Exit(1); });
  }
  [[nodiscard]] static Result<Confined> be_confined(const json& start) {
    const auto wanted = confinement_of(start.at("confinement"));
    if (!wanted) return std::unexpected(wanted.error());
    // Where it is not there, the plugin says what does not work without it.
    if (!wanted->folder.empty()) (void)!::chdir(wanted->folder.c_str());
    return confine(*wanted);
  }
  // The worker has the plugin before the host hears that there is one.
  void send_started(const json& start, const Result<Confined>& confined) {
    if (confined) {
      for (const auto& note : confined->notes) port_->log(Level::warn, note);
    }
    auto result = confined ? load_and_start(start) : Result<void>(std::unexpected(confined.error()));
    json level = json::array({"parent_death"});
    if (confined) {
      for (const auto& what : confined->enforced) level.push_back(what);
    }
    workers_.first().post([this, result = std::move(result), level = dump_json(level)] {
      serving_ = plugin_.get();
      auto msg = wire::make(wire::kStarted);
      msg.status = result ? 0 : static_cast<std::int32_t>(result.error().kind);
      msg.payload = to_bytes(result ? level : result.error().message);
      (void)link_->send(msg);
    });
  }
  [[nodiscard]] Result<void> load_and_start(const json& start) {
    auto manifest = parse_manifest(dump_json(start.at("manifest")));
    if (!manifest) return std::unexpected(manifest.error());
    manifest->publishes = start.at("publishes").get<std::vector<std::string>>();  // those that are granted
    manifest->subscribes = start.at("subscribes").get<std::vector<std::string>>();
    PluginBasics basics{start.at("name"),
                        std::move(*manifest),
                        workers_.timers(),
                        port_,
                        start.at("max_payload_bytes"),
                        handed_over_,
                        start.at("origin").get<std::string>()};
    // The host ends this process and answers what is open.
    HungWatch watch{Duration(start.at("hung_after_ns").get<std::int64_t>()),
                    [link = link_](InlinePlugin&, const Death& death) {
                      auto msg = wire::make(wire::kHung);
                      msg.payload = to_bytes(death.reason);
                      (void)link->send(msg);
                    }};
    auto plugin =
        InlinePlugin::load(start.at("library").get<std::string>(), std::move(basics), workers_, std::move(watch));
    if (!plugin) return std::unexpected(plugin.error());
    if (auto started = (*plugin)->start(start.at("config")); !started) return std::unexpected(started.error());
    plugin_ = std::move(*plugin);
    return {};
  }

  // On the worker. The host sends nothing but `start` before it was told that the plugin has started.
  void receive(const gantry_msg& msg, Descriptors descriptors) {
    if ((msg.id & GANTRY_OWN_CALL) != 0 && msg.kind != GANTRY_EVENT) {
      port_->answer(msg, std::move(descriptors));
      return;
    }
    switch (msg.kind) {
      case wire::kStop:
        (void)commands_->try_send(Command{false, Duration(msg.budget_ns), msg.status == 1});
        return;
      case wire::kPing:
        (void)link_->send(wire::make(wire::kPong));
        return;
      case wire::kGaveStream:
        port_->stream_is_given(msg.id);
        return;
      case wire::kOrigin:
        port_->learn(msg.origin, to_view(msg.payload));
        return;
      case wire::kEventsGo:
      case wire::kEventsRetry:
        port_->answer_events(msg.kind == wire::kEventsGo);
        return;
      case GANTRY_CALL:
        call(msg, std::move(descriptors));
        return;
      case GANTRY_EVENT:
        if (to_view(msg.topic) == "host.plugin.config") {
          serving_->reconfigure([text = std::string(to_view(msg.payload))] {
            auto config = parse_json(text);
            return config ? std::move(*config) : json::object();
          });
        } else {
          port_->arrived(Event{std::string(to_view(msg.topic)), std::string(to_view(msg.epoch)), msg.id,
                               std::string(to_view(msg.payload))});
        }
        return;
      case GANTRY_GONE:
        port_->forget(msg.origin);
        serving_->gone(msg.origin);
        return;
      default:
        of_call(msg);
    }
  }
  void call(const gantry_msg& msg, Descriptors descriptors) {
    CallRequest request;
    request.method = to_view(msg.topic);
    request.params = to_view(msg.payload);
    request.origin = msg.origin;
    if (msg.budget_ns >= 0) request.deadline = Deadline::in(Duration(msg.budget_ns), workers_.timers().now());
    if ((msg.flags & GANTRY_STREAM) != 0) request.stream_credit = msg.credit;
    request.traceparent = to_view(msg.traceparent);
    request.idempotency_key = to_view(msg.idempotency_key);
    request.descriptors = std::move(descriptors);
    const PluginCallPtr call(new HostsCall(*this, msg.id, std::move(request)));
    if ((msg.flags & GANTRY_RESUMED) != 0) call->resumed_by_host();
    {
      const Lock lock(mutex_);
      calls_.emplace(msg.id, call);
    }
    if (auto opened = serving_->open(call, msg.id); !opened) call->finish(std::unexpected(std::move(opened.error())));
  }
  void of_call(const gantry_msg& msg) {
    PluginCallPtr call;
    {
      const Lock lock(mutex_);
      if (const auto it = calls_.find(msg.id); it != calls_.end()) call = it->second;
    }
    if (!call) return;  // it was answered meanwhile
    switch (msg.kind) {
      case GANTRY_ITEM:
        if ((msg.flags & GANTRY_END) != 0) {
          call->send_end();
        } else if (const auto sent = call->send_item(std::string(to_view(msg.payload))); !sent) {
          call->cancel();  // a stream does not go on with a hole in it
          call->finish(std::unexpected(sent.error()));
        }
        return;
      case GANTRY_CREDIT:
        call->give_credit(msg.credit);
        return;
      case wire::kNoRoom:
      case wire::kRoom:
        static_cast<HostsCall&>(*call).set_room(msg.kind == wire::kRoom);
        return;
      case GANTRY_CANCEL:
        call->cancel();
        return;
      default:
        return;
    }
  }
  void forget(std::uint64_t id) {
    PluginCallPtr last;
    const Lock lock(mutex_);
    if (const auto it = calls_.find(id); it != calls_.end()) {
      last = std::move(it->second);
      calls_.erase(it);
    }
  }

  Workers workers_{1};
  std::shared_ptr<Handover> handed_over_;  ///< constant once it runs
  std::shared_ptr<LinkPort> port_ = std::make_shared<LinkPort>();
  mpsc::Sender<Command>* commands_ = nullptr;
  std::shared_ptr<Link> link_;
  std::shared_ptr<InlinePlugin> plugin_;  ///< the main thread's
  InlinePlugin* serving_ = nullptr;       ///< the worker's, from its start on
  Mutex mutex_;
  std::unordered_map<std::uint64_t, PluginCallPtr> calls_ GANTRY_GUARDED_BY(mutex_);
};

struct Start {
  json document;
  std::shared_ptr<Handover> handed_over;  ///< nullptr: nothing
};
/// The host's first message. It sends no other before it was told that the plugin has started. Empty: the host is gone.
[[nodiscard]] std::optional<Start> read_start() {
  wire::Decoder decoder(kMaxStart);
  constexpr std::size_t kReadBytes = 64 * 1024;
  while (!decoder.broken()) {
    if (const auto frame = decoder.next()) {
      if (frame->msg.kind != wire::kStart) return std::nullopt;
      auto start = parse_json(to_view(frame->msg.payload));
      if (!start) return std::nullopt;
      const bool given = frame->msg.status == 1;
      return Start{std::move(*start), given ? std::make_shared<Handover>("", std::string(to_view(frame->msg.epoch)),
                                                                         Handover::Streams(), 1)
                                            : nullptr};
    }
    const ssize_t got = ::recv(kSocket, decoder.prepare(kReadBytes), kReadBytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;
    decoder.commit(static_cast<std::size_t>(got));
  }
  return std::nullopt;
}

/// The kernel ends this process when the host is gone, whatever the plugin does then.
[[nodiscard]] bool die_with_host() {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return false;
  // Has it gone before? Then nobody has the other end of the socket.
  pollfd socket{kSocket, POLLRDHUP, 0};
  return ::poll(&socket, 1, 0) == 0;
}

}  // namespace

int plugin_child() {
  (void)std::signal(SIGPIPE, SIG_IGN);  // NOLINT: before any thread
  if (!die_with_host()) return 1;
  auto start = read_start();
  if (!start) return 1;
  const int code = Child().run(start->document, std::move(start->handed_over));
  // The plugin has stopped. What its library's statics would do now could only go wrong, and the leak checker of a
  // sanitizer cannot trace a process that may not be traced.
  (void)std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace gantry::host
