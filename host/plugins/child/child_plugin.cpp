// SPDX-License-Identifier: Apache-2.0
#include "host/plugins/child/child_plugin.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <gantry/plugin/host.hpp>
#include <utility>

#include "host/plugins/handover.hpp"

namespace gantry::host {

using detail::to_bytes;
using detail::to_view;

namespace {

constexpr std::size_t kTasks = std::size_t{1} << 16;

/// Two connected ends; the second one goes to the child.
struct Ends {
  std::array<int, 2> fds{-1, -1};
  Ends() = default;
  ~Ends() {
    for (const int fd : fds) {
      if (fd >= 0) ::close(fd);
    }
  }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
  [[nodiscard]] int take_first() { return std::exchange(fds[0], -1); }
};

}  // namespace

ChildPlugin::ChildPlugin(PluginBasics basics, ChildDeps deps)
    : Plugin(std::move(basics)), deps_(std::move(deps)), tasks_(mpsc::channel<Task>(kTasks)) {
  (void)tasks_.rx.ready_or_wake(waker_);
}

ChildPlugin::~ChildPlugin() {
  kill();
  (void)reap(std::chrono::steady_clock::time_point::max());
  if (pidfd_ >= 0) ::close(pidfd_);
  if (link_) link_->close_soon();
  if (output_) output_->finish();
}

Result<void> ChildPlugin::spawn() {
  const auto no_ends = [] {
    return fail(ErrorKind::overloaded, std::string("the system gives no descriptors for it: ") + std::strerror(errno));
  };
  Ends socket;
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socket.fds.data()) != 0) return no_ends();
  Ends output;
  if (::pipe2(output.fds.data(), O_CLOEXEC) != 0) return no_ends();
  SpawnRequest request;
  request.program = deps_.program;
  request.argv = {"gantry", "plugin-child", name()};
  request.environment = scrubbed_environment(deps_.confinement);
  // It finds its socket at 3.
  request.descriptors = {-1, output.fds[1], output.fds[1], socket.fds[1]};
  auto spawned = deps_.spawner.spawn(request);
  if (!spawned) return std::unexpected(spawned.error());
  pid_ = spawned->pid;
  pidfd_ = spawned->pidfd;
  output_ =
      std::make_shared<ChildOutput>(deps_.workers.first(), deps_.workers.timers(), output.take_first(),
                                    [port = shared_port()](std::string_view line) { port->log(Level::info, line); });
  output_->start();
  link_ = std::make_shared<Link>(
      deps_.workers.first(), socket.take_first(), max_payload_bytes(),
      [weak = weak_self()](const gantry_msg& msg, Descriptors descriptors) {
        if (const auto plugin = weak.lock()) plugin->receive(msg, std::move(descriptors));
      },
      [weak = weak_self()](const std::string& why) {
        if (const auto plugin = weak.lock()) plugin->ended(why);
      });
  if (auto ok = watch_process(); !ok) {
    kill();
    return ok;
  }
  link_->start();
  return {};
}

Result<std::shared_ptr<ChildPlugin>> ChildPlugin::start(const std::filesystem::path& library, PluginBasics basics,
                                                        ChildDeps deps, const json& config, Duration timeout) {
  std::shared_ptr<ChildPlugin> plugin(new ChildPlugin(std::move(basics), std::move(deps)));
  auto [reply, answer] = oneshot::channel<Result<void>>();
  plugin->started_.emplace(std::move(reply));
  if (auto spawned = plugin->spawn(); !spawned) return std::unexpected(spawned.error());
  const std::string text = dump_json({{"name", plugin->name()},
                                      {"library", library.string()},
                                      {"origin", plugin->origin_of(library).string()},
                                      {"manifest", plugin->manifest().document},
                                      {"publishes", plugin->manifest().publishes},
                                      {"subscribes", plugin->manifest().subscribes},
                                      {"max_payload_bytes", plugin->max_payload_bytes()},
                                      {"hung_after_ns", plugin->deps_.hung_after.count()},
                                      {"confinement", to_json(plugin->deps_.confinement)},
                                      {"config", config}});
  auto msg = wire::make(wire::kStart);
  msg.payload = to_bytes(text);
  if (const auto* const state = plugin->handed_over()) {
    msg.status = 1;
    msg.epoch = to_bytes(*state);
  }
  (void)plugin->link_->send(msg);
  auto started = answer.recv_for(timeout);
  if (!started) {
    plugin->refuse_calls();
    plugin->kill();
    auto became = plugin->reap(std::chrono::steady_clock::time_point::max()).value_or(Death{"unknown"});
    became.folder = plugin->deps_.confinement.folder;
    if (started.error().kind == ErrorKind::timeout)
      return fail(ErrorKind::unavailable,
                  "it did not start within " +
                      std::to_string(std::chrono::duration_cast<std::chrono::seconds>(timeout).count()) +
                      " s; its process was ended");
    plugin->output_->wait_for_end(std::chrono::steady_clock::now() + kExitGrace);
    auto said = plugin->last_output();
    std::erase_if(said, [](const std::string& line) { return line.find_first_not_of(" \t\r") == std::string::npos; });
    return fail(ErrorKind::unavailable,
                "its process ended while it started: " + became.reason +
                    (said.empty() ? "" : "; the last that it said: " + said.back()),
                dump_json(became.details()));
  }
  if (!*started) return std::unexpected(started->error());
  plugin->resume_streams();
  if (!plugin->manifest().subscribes.empty()) {
    plugin->port().subscribe(plugin->manifest().subscribes, [weak = plugin->weak_self()] {
      if (const auto p = weak.lock()) p->schedule_events();
    });
    plugin->schedule_events();
  }
  return plugin;
}

bool ChildPlugin::push(Task task) { return tasks_.tx.try_send(std::move(task)).has_value(); }

void ChildPlugin::run_tasks() noexcept {
  const auto self = weak_from_this().lock();  // a task may hold the last owner
  if (!self) return;
  do {
    while (auto task = tasks_.rx.try_recv()) {
      try {
        (*task)(self.get());
      } catch (const std::exception& e) {
        port().log(Level::error, std::string("an exception of the host's own in a delivery: ") + e.what());
      }
    }
  } while (tasks_.rx.ready_or_wake(waker_));
}

// Serial.
std::int32_t ChildPlugin::hand(const gantry_msg& msg, Descriptors descriptors) {
  if (msg.kind == GANTRY_CALL && msg.origin != 0 && known_origins_.insert(msg.origin).second) {
    if (const auto described = port().describe(msg.origin)) {
      auto origin = wire::make(wire::kOrigin);
      origin.origin = msg.origin;
      origin.payload = to_bytes(*described);
      (void)link_->send(origin);
    }
  }
  if (msg.kind == GANTRY_GONE) known_origins_.erase(msg.origin);
  if (msg.kind == GANTRY_CALL) watch_silence();
  (void)link_->send(msg,
                    std::move(descriptors));  // what a link that has ended does not take is answered by who ends it
  return GANTRY_OK;
}

void ChildPlugin::hold_items(std::uint64_t id, bool hold) {
  auto msg = wire::make(hold ? wire::kNoRoom : wire::kRoom);
  msg.id = id;
  (void)link_->send(msg);
}

// On the link's worker.
void ChildPlugin::receive(const gantry_msg& msg, Descriptors descriptors) {
  heard_ = true;
  switch (msg.kind) {
    case wire::kStarted:
      started(msg);
      return;
    case wire::kStopped:
      stopped(msg);
      return;
    case wire::kGiveStream:
      give_stream(msg.id);
      return;
    case wire::kUndelivered:
      take_undelivered(msg);
      return;
    case wire::kLog:
      take_log(msg.status, to_view(msg.payload));
      return;
    case wire::kPong:
      return;
    case wire::kHung:
      hung_ = to_view(msg.payload);
      kill();
      return;
    case wire::kEventOver:
      event_over(msg);
      return;
    case wire::kEventsAsk:
      ask_for_events();
      return;
    case wire::kEventsOver:
      port().end_events();
      return;
    default:
      (void)take(msg, std::move(descriptors));
  }
}

void ChildPlugin::started(const gantry_msg& msg) {
  if (!started_) return;
  Result<void> result;
  if (msg.status != 0) {
    result = fail(is_error_kind(msg.status) ? static_cast<ErrorKind>(msg.status) : ErrorKind::unavailable,
                  std::string(to_view(msg.payload)));
  } else if (const auto level = parse_json(to_view(msg.payload)); level && level->is_array()) {
    // What the host has seen to itself, and what the child says of itself.
    const Lock lock(mutex_);
    enforced_ = {"environment", "descriptors"};
    for (const auto& what : *level) enforced_.push_back(what.get<std::string>());
  } else {
    result = fail(ErrorKind::internal, "its process does not say how it is confined");
  }
  (void)std::exchange(started_, std::nullopt)->send(std::move(result));
}

void ChildPlugin::stopped(const gantry_msg& msg) {
  if (msg.credit == 1) (void)take_handover_state(to_view(msg.payload));
  for (const auto& stream : given_streams()) {
    if (auto rest = undelivered_.extract(stream->id())) stream->put_back(std::move(rest.mapped()));
  }
  {
    const Lock lock(mutex_);
    stopped_said_ = true;
  }
  (void)stopped_.reply.send(msg.status == 1);
}

// What is being written to it just now comes before the word that there is no more.
void ChildPlugin::give_stream(std::uint64_t id) {
  (void)take_stream(id);
  auto msg = wire::make(wire::kGaveStream);
  msg.id = id;
  const bool taken = push([link = link_, msg](Plugin*) { (void)link->send(msg); });
  if (!taken) (void)link_->send(msg);
}

void ChildPlugin::take_undelivered(const gantry_msg& msg) {
  const auto given = given_streams();
  const auto is_it = [&](const auto& stream) { return stream->id() == msg.id; };
  if (std::ranges::none_of(given, is_it)) return;
  undelivered_bytes_ += msg.payload.size;
  if (undelivered_bytes_ > kMaxUndelivered) return link_->finish("it leaves more items than a host keeps");
  if ((msg.flags & GANTRY_END) != 0) {
    undelivered_[msg.id].end = true;
  } else {
    undelivered_[msg.id].items.emplace_back(to_view(msg.payload));
  }
}

std::vector<std::string> ChildPlugin::enforced() const {
  const Lock lock(mutex_);
  return enforced_;
}

}  // namespace gantry::host
