// SPDX-License-Identifier: Apache-2.0
//
// The same calls, one after the other, to the plugin inside this process, in a process of its own, and inside this
// process again: what comes back must be the same. What differs between the two inline runs already (a time, a random
// id) is compared by its shape: which members, of which types. The run in a process of its own is the middle one: a
// second that passed before or within it has passed between the inline runs, too. What differs even by its shape is
// named, and not compared. So is what takes too long: all runs begin anew without it, so that each says the same.
//
// Here the plugin runs behind the host's own code, InlinePlugin and ChildPlugin, with a port that has nobody behind it.
#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "host/check/drive.hpp"
#include "host/check/stub_port.hpp"
#include "host/plugins/child/child_plugin.hpp"
#include "host/plugins/inline/inline_plugin.hpp"
#include "host/plugins/plugin.hpp"

namespace gantry::host::check {

namespace {

namespace fs = std::filesystem;

constexpr int kRounds = 3;
constexpr int kAttempts = 5;
constexpr std::size_t kMaxPayload = std::size_t{16} << 20;
constexpr std::uint32_t kCredit = 16;
constexpr Duration kAnswerWithin = std::chrono::milliseconds(500);
constexpr std::size_t kMaxItems = 64;

/// What came back from one call.
struct Line {
  std::string kind;  ///< "result", or the error's
  json value;        ///< the result
  std::vector<json> items;

  [[nodiscard]] friend bool operator==(const Line&, const Line&) = default;
};

/// Of a value: its members and their types.
[[nodiscard]] json shape(const json& value) {
  if (value.is_object()) {
    json out = json::object();
    for (const auto& [name, member] : value.items()) out[name] = shape(member);
    return out;
  }
  if (value.is_array()) return json::array({value.empty() ? json() : shape(value.front())});
  return value.is_number() ? "number" : value.type_name();
}
[[nodiscard]] Line shape(const Line& line) { return {line.kind, shape(line.value), {}}; }

class Recording final : public CallSink {
 public:
  void item(std::string_view payload) override {
    const Lock lock(mutex_);
    if (line_.items.size() < kMaxItems) line_.items.push_back(parse_json(payload).value_or(nullptr));
  }
  void item_end() override {}
  void credit(std::uint32_t) override {}
  void progress(std::string_view) override {}
  void answered(Result<Answer> answer) override {
    const Lock lock(mutex_);
    line_.kind = answer ? "result" : std::string(kind_name(answer.error().kind));
    if (answer) line_.value = parse_json(answer->text).value_or(nullptr);
    done_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] bool wait(Duration timeout) {
    const auto until = std::chrono::steady_clock::now() + timeout;
    const Lock lock(mutex_);
    while (!done_) {
      if (!changed_.wait_until(mutex_, until)) return done_;
    }
    return true;
  }
  [[nodiscard]] Line line() const {
    const Lock lock(mutex_);
    return line_;
  }

 private:
  mutable Mutex mutex_{"recording"};
  CondVar changed_;
  Line line_ GANTRY_GUARDED_BY(mutex_);
  bool done_ GANTRY_GUARDED_BY(mutex_) = false;
};

/// What each method has answered, and what was published.
struct Transcript {
  std::map<std::string, std::vector<Line>> methods;
  std::vector<std::string> topics;
};

/// Empty: it was not answered in time, and cancelled, or a wait inside the plugin has ended with `timeout`: how far it
/// had come is chance.
[[nodiscard]] std::optional<Line> ask(Plugin& plugin, const ManifestMethod& method, const json& params) {
  auto recording = std::make_shared<Recording>();
  CallRequest request;
  request.method = method.name;
  request.params = dump_json(params);
  request.origin = 1;
  if (method.stream) request.stream_credit = kCredit;
  const PluginCallPtr call(new WithSink<PluginCall>(std::move(request), recording));
  if (auto opened = plugin.open(call); !opened) call->finish(std::unexpected(std::move(opened.error())));
  if (!recording->wait(kAnswerWithin)) {
    call->cancel();
    (void)recording->wait(kGrace);
    return std::nullopt;
  }
  Line line = recording->line();
  if (line.kind == kind_name(ErrorKind::timeout)) return std::nullopt;
  return line;
}

/// What is around the plugin.
class Room {
 public:
  Room(Subject& s, std::set<std::string>& slow)
      : s_(s), slow_(slow), watch_([this] { (void)workers_.run([](std::string_view) {}); }) {}
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
  ~Room() {
    workers_.stop();
    watch_.join();
  }

  /// A method that takes too long is added to the slow ones, and left out.
  [[nodiscard]] Result<Transcript> run(bool child) {
    std::error_code failed;
    fs::remove_all(s_.folder / "state", failed);  // each begins with nothing
    const json config = s_.config();
    auto port = std::make_shared<StubPort>(s_.report);
    auto plugin = child ? start_child(port, config) : start_inline(port, config);
    if (!plugin) return std::unexpected(plugin.error());
    Transcript out;
    Values values(s_.seed);
    for (int round = 0; round < kRounds; ++round) {
      for (const auto& [name, method] : s_.manifest.methods) {
        const json params = values.params(method.params, round == 0 ? Wish::least : Wish::some);
        if (slow_.contains(name)) continue;
        if (auto line = ask(**plugin, method, params)) {
          out.methods[name].push_back(std::move(*line));
        } else {
          slow_.insert(name);
        }
      }
    }
    const bool stopped = (*plugin)->stop(kStopBudget);
    if (!stopped) return fail(ErrorKind::timeout, "it did not stop");
    out.topics = port->published();
    return out;
  }

 private:
  [[nodiscard]] PluginBasics basics(std::shared_ptr<StubPort> port) {
    return {s_.manifest.id, s_.manifest, workers_.timers(), std::move(port), kMaxPayload};
  }
  [[nodiscard]] Result<std::shared_ptr<Plugin>> start_inline(std::shared_ptr<StubPort> port, const json& config) {
    auto plugin = InlinePlugin::load(s_.library, basics(std::move(port)), workers_);
    if (!plugin) return std::unexpected(plugin.error());
    if (auto started = (*plugin)->start(config); !started) return std::unexpected(started.error());
    return *plugin;
  }
  [[nodiscard]] Result<std::shared_ptr<Plugin>> start_child(std::shared_ptr<StubPort> port, const json& config) {
    // As the host confines it, with all that it asks for.
    Confinement confinement;
    confinement.folder = config.value("state_dir", "");
    const GrantPlaces places{s_.folder.string(), s_.folder.string(), {}};
    const auto paths = [&](GrantKind kind) {
      std::vector<std::string> out;
      for (auto& granted : granted_paths(s_.manifest.grants, kind, places)) out.push_back(std::move(granted.path));
      return out;
    };
    confinement.read = paths(GrantKind::read);
    confinement.read.push_back(s_.library.parent_path().string());
    confinement.write = paths(GrantKind::write);
    confinement.network = has_grant(s_.manifest.grants, GrantKind::network);
    auto plugin = ChildPlugin::start(s_.library, basics(std::move(port)),
                                     ChildDeps{workers_, spawner_, "/proc/self/exe", std::move(confinement),
                                               Duration::zero(), [](const std::shared_ptr<Plugin>&, const Death&) {}},
                                     config, kLongTimeout);
    if (!plugin) return std::unexpected(plugin.error());
    return *plugin;
  }

  Subject& s_;
  std::set<std::string>& slow_;
  Workers workers_{1};
  Spawner spawner_;
  std::thread watch_;
};

[[nodiscard]] std::vector<Line> shapes(const std::vector<Line>& lines) {
  std::vector<Line> out;
  std::transform(lines.begin(), lines.end(), std::back_inserter(out), [](const Line& line) { return shape(line); });
  return out;
}
[[nodiscard]] std::string text_of(const Line& line) {
  return line.kind + " " + dump_json(line.value).substr(0, 200) + " after " + std::to_string(line.items.size()) +
         " items";
}

[[nodiscard]] Outcome differs(const std::string& method, const std::vector<Line>& inside,
                              const std::vector<Line>& child) {
  std::size_t at = 0;
  while (at + 1 < std::min(inside.size(), child.size()) && inside[at] == child[at]) ++at;
  return Outcome::failed(
      "inside the host and in a process of its own the plugin answers alike",
      method + " does not: " + text_of(inside[at]) + " inline, " + text_of(child[at]) + " in a child",
      "do not depend on the process: its threads, environment, working folder; and ask in the "
      "manifest for the grants that are needed: a child is held to them");
}

[[nodiscard]] Outcome compare(const std::vector<Transcript>& runs, const std::set<std::string>& slow) {
  const Transcript& once = runs.at(0);
  const Transcript& child = runs.at(1);
  const Transcript& again = runs.at(2);
  std::size_t exact = 0;
  std::size_t by_shape = 0;
  std::string left_out;
  for (const auto& name : slow) left_out += (left_out.empty() ? "" : ", ") + name;
  for (const auto& [name, lines] : once.methods) {
    const auto& second = again.methods.at(name);
    const auto& other = child.methods.at(name);
    if (lines != second && shapes(lines) != shapes(second)) {
      left_out += (left_out.empty() ? "" : ", ") + name;
    } else if (lines == second) {
      if (lines != other) return differs(name, lines, other);
      ++exact;
    } else {
      if (shapes(lines) != shapes(other)) return differs(name, shapes(lines), shapes(other));
      ++by_shape;
    }
  }
  if (once.topics == again.topics && once.topics != child.topics)
    return Outcome::failed(
        "inside the host and in a process of its own the plugin publishes the same events",
        std::to_string(once.topics.size()) + " events inline, " + std::to_string(child.topics.size()) + " in a child",
        "publish before the call is answered, or before the plugin stops");
  const std::string note = std::to_string(exact) + " methods the same, " + std::to_string(by_shape) +
                           " of the same shape" + (left_out.empty() ? "" : "; not comparable: " + left_out);
  return exact + by_shape == 0 ? Outcome::skipped(note) : Outcome::passed(note);
}

}  // namespace

Outcome check_transcript(Subject& s) {
  const json isolation = s.manifest.document.value("isolation", json::array({"inline", "child"}));
  if (std::find(isolation.begin(), isolation.end(), "child") == isolation.end())
    return Outcome::skipped("its manifest does not allow a process of its own");
  std::set<std::string> slow;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::size_t known = slow.size();
    std::vector<Transcript> runs;
    for (const bool child : {false, true, false}) {
      auto run = Room(s, slow).run(child);
      if (!run)
        return Outcome::failed(std::string("it runs ") + (child ? "in a process of its own" : "inside the host"),
                               run.error().message, "run it so in a host: [plugins.NAME] isolation");
      runs.push_back(std::move(*run));
      if (slow.size() > known) break;
    }
    if (slow.size() == known) return compare(runs, slow);
  }
  return Outcome::skipped("its answers take too long to be compared");
}

}  // namespace gantry::host::check
