// SPDX-License-Identifier: Apache-2.0
//
// The project_state plugin: sessions, panes, layouts, settings and turns that survive, and metrics. See store.hpp for
// the promise and how it is kept.
//
// A handler checks the params and hands what is to be done to the writer (writer.hpp) or the reader (reader.hpp), which
// answer; an object that is in memory (object_cache.hpp) it answers with itself. No handler waits for the disk, but for
// the names in backups/.
//
// A state folder that cannot be used now (read-only, full) does not keep the plugin from starting: each call then
// answers `storage_failed` and tries again. One that must not be used (a newer schema, another program's file, damage,
// a loss, another process) fails the start.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <gantry/mutex.hpp>
#include <gantry/params.hpp>
#include <gantry/plugin.hpp>
#include <gantry/version.hpp>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>

#include "plugins/project_state/backup_thread.hpp"
#include "plugins/project_state/changes.hpp"
#include "plugins/project_state/config.hpp"
#include "plugins/project_state/housekeeping.hpp"
#include "plugins/project_state/metrics_thread.hpp"
#include "plugins/project_state/mutation.hpp"
#include "plugins/project_state/pages.hpp"
#include "plugins/project_state/plan.hpp"
#include "plugins/project_state/reader.hpp"
#include "plugins/project_state/reads.hpp"
#include "plugins/project_state/schemas.hpp"
#include "plugins/project_state/store.hpp"
#include "plugins/project_state/turns.hpp"
#include "plugins/project_state/wall_clock.hpp"
#include "plugins/project_state/writer.hpp"

namespace gantry::state {

namespace {

constexpr int kMaxProfile = 60;  // seconds
constexpr std::int64_t kMaxSeq = std::int64_t{1} << 53;

[[nodiscard]] std::unexpected<Error> refuse(std::string why) { return fail(ErrorKind::invalid_params, std::move(why)); }

[[nodiscard]] json with_head(const Ledger& head, json members) {
  members["epoch"] = head.epoch;
  members["seq"] = head.seq;
  members["durability"] = "D2";
  return members;
}

}  // namespace

/// The settings whose change was answered and is not committed. Any thread.
class EarlyAnswers {
 public:
  void add(const std::string& id) {
    const Lock lock(mutex_);
    ++open_[id];
  }
  void remove(const std::string& id) {
    const Lock lock(mutex_);
    if (--open_[id] == 0) open_.erase(id);
  }
  [[nodiscard]] bool has(const std::string& id) const {
    const Lock lock(mutex_);
    return open_.contains(id);
  }
  /// The disk has refused what was answered.
  void lost(Error error) {
    const Lock lock(mutex_);
    if (!lost_) lost_ = std::move(error);
  }
  /// The first that was lost since the last question.
  [[nodiscard]] std::optional<Error> take_lost() {
    const Lock lock(mutex_);
    return std::exchange(lost_, std::nullopt);
  }

 private:
  mutable Mutex mutex_{"state early answers"};
  std::unordered_map<std::string, int> open_ GANTRY_GUARDED_BY(mutex_);
  std::optional<Error> lost_ GANTRY_GUARDED_BY(mutex_);
};

class ProjectState {
 public:
  explicit ProjectState(Host host) : host_(std::move(host)) {}

  Result<void> start(const PluginConfig& config) {
    config_ = config;
    auto read = read_config(config.settings);
    if (!read) return std::unexpected(read.error());
    listen(read->turns);
    store_ = std::make_unique<Store>(Store::Options{
        config.state_dir, read->limits, read->cache_bytes, std::move(read->turns), !config.handed_over, &wall_ms,
        [host = host_] {
          const auto now = host.now().time_since_epoch();
          return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
        },
        [host = host_](Level level, const std::string& line) { host.log(level, line); }, profile_});
    if (auto opened = store_->ensure_open(); !opened) {
      if (opened.error().kind != ErrorKind::storage_failed) return opened;
      host_.log(Level::warn, "calls are answered with storage_failed until this is mended: " + opened.error().message);
    }
    snapshot_.emplace(store_->snapshots());
    writer_ = std::make_unique<Writer>(host_, *store_);
    reader_ = std::make_unique<Reader>(host_, *store_, *writer_, std::pair("state-reader", Profile::Thread::reader));
    checks_ = std::make_unique<Reader>(host_, *store_, *writer_, std::pair("state-checks", Profile::Thread::checks));
    backups_ = std::make_unique<BackupThread>(host_, *store_, read->backups);
    metrics_ = std::make_unique<MetricsThread>(host_, config.state_dir);
    housekeeping_ = std::make_unique<Housekeeping>(host_, *writer_, *metrics_);
    housekeeping_->set(read->host_metrics, read->stale_days);
    if (auto ok = writer_->start(); !ok) return ok;
    if (auto ok = metrics_->start(); !ok) return ok;
    if (auto ok = reader_->start(); !ok) return ok;
    if (auto ok = checks_->start(); !ok) return ok;
    housekeeping_->start();
    return backups_->start();
  }

  void reconfigure(const PluginConfig& config) {
    auto read = read_config(config.settings);
    if (!read) return host_.log(Level::error, read.error().message + "; the old settings stay");
    config_ = config;
    listen(read->turns);
    backups_->set_options(read->backups);
    housekeeping_->set(read->host_metrics, read->stale_days);
    const auto taken = writer_->run([host = host_, read = std::move(*read)](Store& store) mutable {
      store.set_limits(read.limits);
      store.set_cache(read.cache_bytes);
      if (const auto done = store.set_turns(std::move(read.turns)); !done)
        host.log(Level::error, done.error().message + "; the old table of turns stays");
    });
    if (!taken) host_.log(Level::error, taken.error().message + "; the old settings of the store stay");
  }

  /// An event that may take steps of turns. One that finds no room among the changes comes again.
  void event(std::string_view topic, const json& payload) {
    const std::string name(topic);
    if (stopped_ || !topics_.contains(name)) return;
    Command command{std::nullopt, [name, payload](Transaction& tx) -> Result<json> {
                      if (auto ok = signal_turns(tx, name, payload); !ok) return std::unexpected(ok.error());
                      return json::object();
                    }};
    const auto taken = writer_->submit(std::move(command), [host = host_, name](const Result<std::string>& done) {
      if (!done) host.log(Level::error, "turns did not take the steps of " + name + ": " + done.error().message);
    });
    if (!taken) throw std::runtime_error(taken.error().message);
  }

  // What waits is committed and answered first.
  void stop(Stopping stopping) {
    stopped_ = true;
    end_profile();
    if (!writer_) return;
    housekeeping_->stop();
    (void)stopping.give("turns go on");  // an instance that comes next leaves them alone
    auto end = [this, held = std::make_shared<Stopping>(std::move(stopping))](const CancelToken&) mutable {
      metrics_->join();
      reader_->join();
      checks_->join();
      backups_->join();
      writer_->close([this, last = std::move(held)]() mutable {
        store_->close();
        last.reset();
      });
    };
    // These wait for the disk, which a worker of the host must not.
    auto thread = PluginThread::start(host_, "state-stop", end);
    if (thread) {
      end_ = std::move(*thread);
    } else {
      end({});
    }
  }

  /// A method that changes state.
  struct Changing {
    const char* method;
    decltype(ReadChange::read) read;
  };

  void batch(Call call) { change_by(std::move(call), {"state.batch", &read_batch}); }

  /// Reads the params of a method that changes state.
  Result<Command> command_of(Call& call, const Changing& change) {
    Params params(call.params());
    (void)params.maybe_object("mutation");  // known to done(); what it says is read last
    std::string place;
    // {ops: [{params: {plan}}]}, {objects: [{object: {plan}}]}, {plan}
    const bool many = call.method() == "state.batch" || call.method() == "state.import";
    if (many || call.method().starts_with("state.turn.")) {
      if (auto ok = check_plans_in(call.raw_params(), many ? 4 : 1); !ok) return std::unexpected(ok.error());
    }
    auto apply = change.read(params, caller_of(call), place);
    if (!apply) return std::unexpected(apply.error());
    auto mutation = read_mutation(call, params, place);
    if (!mutation) return std::unexpected(mutation.error());
    return Command{std::move(*mutation), std::move(*apply), change.method};
  }

  void change_by(Call call, const Changing& change) {
    if (stopped_) return refuse_stopped(call);
    auto command = command_of(call, change);
    if (!command) return call.reply_error(command.error());
    // Whoever holds the call while it is refused answers it.
    const auto held = std::make_shared<Call>(std::move(call));
    const auto taken = writer_->submit(std::move(*command), text_to(held));
    if (!taken) held->reply_error(taken.error());
  }

  /// D0 and D1 are answered before the commit: a failure is then a line of the log and an event.
  void settings_set(Call call) {
    const Changing change{"state.settings.set", find_change("state.settings.set")->read};
    if (call.raw_params().find("durability") == std::string::npos) return change_by(std::move(call), change);  // most
    const json params = call.params();
    const json durability = params.value("durability", json("D2"));
    if (stopped_ || (durability != "D0" && durability != "D1")) return change_by(std::move(call), change);
    auto command = command_of(call, change);
    if (!command) return call.reply_error(command.error());
    Params p(params);
    const auto scope = read_scope(call, p);
    if (!scope) return call.reply_error(scope.error());
    const std::string id = scope->id_of(params["key"].get<std::string>());
    json failed{{"key", params["key"]}, {"value", params["value"]}};
    if (command->mutation) failed["cause"] = command->mutation->cause;
    early_.add(id);
    const auto taken = writer_->submit(
        std::move(*command), [this, id, failed = std::move(failed)](const Result<std::string>& result) mutable {
          early_.remove(id);
          if (result) return;
          if (result.error().kind == ErrorKind::storage_failed) early_.lost(result.error());
          failed["kind"] = kind_name(result.error().kind);
          failed["message"] = result.error().message;
          host_.log(Level::warn, "setting " + dump_json(failed["key"]) + " was not written: " + result.error().message);
          (void)host_.publish("state.setting.failed", failed);
        });
    if (!taken) {
      early_.remove(id);
      return call.reply_error(taken.error());
    }
    call.reply({{"key", params["key"]}, {"value", params["value"]}, {"durability", durability}});
  }

  void check(Call call) { read_by(*checks_, std::move(call), "state.check", find_read("state.check")); }
  void read_by(Call call, const char* method, ReadParams read) { read_by(*reader_, std::move(call), method, read); }
  void read_by(Reader& reader, Call call, const char* method, ReadParams read) {
    if (stopped_) return refuse_stopped(call);
    Params params(call.params());
    auto body = read(params, caller_of(call));
    if (!body) return call.reply_error(body.error());
    reader.read(method, std::move(*body), text_to(std::make_shared<Call>(std::move(call))));
  }

  /// An object from memory or, if it is not kept there, from the database; then it is kept.
  void get(Call call, Type type) {
    if (stopped_) return refuse_stopped(call);
    Params p(call.params());
    const std::string id = p.string(type == Type::layout ? "session_id" : "id");
    if (auto ok = p.done(); !ok) return call.reply_error(ok.error());
    if (auto answer = from_memory(type, id, name(type))) return call.reply_raw(std::move(*answer));
    read_and_keep(std::move(call), type, id, get_object(type, id));
  }

  void settings_get(Call call) {
    if (stopped_) return refuse_stopped(call);
    Params p(call.params());
    const auto request = read_setting_request(p, caller_of(call));
    if (!request) return call.reply_error(request.error());
    const std::string id = request->scope.id_of(request->key);
    if (early_.has(id)) {  // behind its commit, so that whoever has set it reads what was set
      const auto held = std::make_shared<Call>(std::move(call));
      const auto taken = writer_->run([this, held, request = *request](Store& /*store*/) {
        reader_->read(name(Type::setting), get_setting_of(request), text_to(held));
      });
      if (!taken) held->reply_error(taken.error());
      return;
    }
    if (!request->type) {
      if (auto answer = from_memory(Type::setting, id, "")) return call.reply_raw(std::move(*answer));
    }
    read_and_keep(std::move(call), Type::setting, id, get_setting_of(*request));
  }

  void metrics_record(Call call) {
    if (stopped_) return refuse_stopped(call);
    Params p(call.params());
    const json value = p.value("value");
    p.require(value.is_number(), "value must be a number");
    const Measurement measurement{p.string("name"), p.maybe_object("labels").value_or(json::object()),
                                  value.is_number() ? value.get<double>() : 0, 0};
    auto ok = p.done();
    if (ok) ok = check_measurement(measurement.name, measurement.labels, measurement.value);
    if (!ok) return call.reply_error(ok.error());
    metrics_->record(measurement, answer_to(std::move(call)));
  }

  void metrics_query(Call call) {
    if (stopped_) return refuse_stopped(call);
    Params p(call.params());
    const MetricsQuery query{p.string("name"), p.maybe_object("labels"), p.integer("from", 0, kMaxSeq),
                             p.integer("to", 0, kMaxSeq), p.integer("step", 1, kMaxSeq)};
    auto ok = p.done();
    if (ok) ok = check_query(query);
    if (!ok) return call.reply_error(ok.error());
    metrics_->query(query, answer_to(std::move(call)));
  }

  void backup_create(Call call) {
    if (stopped_) return refuse_stopped(call);
    Params p(call.params());
    if (auto ok = p.done(); !ok) return call.reply_error(ok.error());
    const auto held = std::make_shared<Call>(std::move(call));
    const auto make = [this, held] {
      backups_->request([held](const Result<Backup>& made) {
        if (made) {
          held->reply({{"backup", made->shown()}});
        } else {
          held->reply_error(made.error());
        }
      });
    };
    if (store_->published()->open && !store_->is_suspected()) return make();
    const auto taken = writer_->run([held, make](Store& store) {
      if (const auto open = store.ensure_open(); !open) return held->reply_error(open.error());
      make();
    });
    if (!taken) held->reply_error(taken.error());
  }

  void backup_restore(Call call) {
    if (stopped_) return refuse_stopped(call);
    Params p(call.params());
    const std::string file = p.string("file");
    if (auto ok = p.done(); !ok) return call.reply_error(ok.error());
    const auto held = std::make_shared<Call>(std::move(call));
    const auto taken = writer_->run([held, file](Store& store) {
      if (const auto done = store.restore(file); !done) return held->reply_error(done.error());
      const auto head = store.ledger();
      if (!head) return held->reply_error(head.error());
      held->reply(with_head(*head, {{"restored", file}}));
    });
    if (!taken) held->reply_error(taken.error());
  }

  void backup_list(Call call) {
    if (stopped_) return refuse_stopped(call);
    Params p(call.params());
    if (auto ok = p.done(); !ok) return call.reply_error(ok.error());
    const auto all = list_backups(config_.state_dir);
    if (!all) return call.reply_error(all.error());
    json items = json::array();
    for (const auto& backup : *all) items.push_back(backup.shown());
    call.reply({{"items", std::move(items)}});
  }

  void profile(Call call) {
    if (stopped_) return refuse_stopped(call);
    Params p(call.params());
    const auto seconds = p.integer("seconds", 1, kMaxProfile);
    if (auto ok = p.done(); !ok) return call.reply_error(ok.error());
    // An answer has a bound.
    if (!profile_.begin(config_.max_message_bytes == 0 ? Profile::kMaxBytes : config_.max_message_bytes / 2))
      return call.reply_error({ErrorKind::conflict, "the store is being profiled already; call again later", {}});
    call.on_cancel([this] { end_profile(); });
    profiled_.emplace(std::move(call));
    const auto timer = host_.after(std::chrono::seconds(seconds), [this] { end_profile(); });
    if (!timer) return end_profile();
    profile_ends_ = *timer;
  }
  void end_profile() {
    (void)host_.cancel(std::exchange(profile_ends_, {}));
    if (auto call = std::exchange(profiled_, std::nullopt)) call->reply_raw(R"({"trace":)" + profile_.end() + "}");
  }

  /// A barrier: behind all changes that came before it.
  void flush(Call call) {
    if (stopped_) return refuse_stopped(call);
    Params p(call.params());
    if (auto ok = p.done(); !ok) return call.reply_error(ok.error());
    const auto held = std::make_shared<Call>(std::move(call));
    metrics_->flush([this, held](const Result<json>& metrics) {
      if (!metrics) return held->reply_error(metrics.error());
      const auto taken = writer_->run([this, held](Store& store) {
        if (auto lost = early_.take_lost()) {
          lost->message = "a setting that was answered before its commit was not written: " + lost->message;
          return held->reply_error(*lost);
        }
        const auto head = store.ledger();
        if (!head) return held->reply_error(head.error());
        held->reply(with_head(*head, json::object()));
      });
      if (!taken) held->reply_error(taken.error());
    });
  }

  static void define(Definition<ProjectState>& d);

 private:
  void listen(const TurnTable& turns) {
    topics_.clear();
    for (const auto& row : turns.topics()) topics_.insert(row.topic);
  }
  static void refuse_stopped(Call& call) {
    call.reply_error(Error{ErrorKind::unavailable, "project_state has stopped; call again later", {}});
  }

  /// Answers the call with the JSON text that it is called with.
  [[nodiscard]] static Reader::Done text_to(std::shared_ptr<Call> call) {
    return [call = std::move(call)](Result<std::string> result) {
      if (result) {
        call->reply_raw(std::move(*result));
      } else {
        call->reply_error(result.error());
      }
    };
  }
  [[nodiscard]] static MetricsThread::Done answer_to(Call call) {
    return [held = std::make_shared<Call>(std::move(call))](const Result<json>& result) { held->reply(result); };
  }

  /// The answer with an object that is in memory: as `member`, or its members themselves. Empty: it is not there.
  [[nodiscard]] std::optional<std::string> from_memory(Type type, const std::string& id, std::string_view member) {
    const StateSnapshot& now = snapshot_->get();  // until the next get()
    const auto* const text = now.epoch.empty() ? nullptr : now.find(type, id);
    if (text == nullptr) return std::nullopt;
    std::string out = R"({"durability":"D2","epoch":")" + now.epoch + R"(","seq":)" + std::to_string(now.seq) + ",";
    if (member.empty()) return out + text->substr(1);
    return out.append("\"").append(member).append("\":").append(*text).append("}");
  }
  void read_and_keep(Call call, Type type, const std::string& id, Reader::Body body) {
    reader_->read(name(type), std::move(body),
                  [this, type, id, done = text_to(std::make_shared<Call>(std::move(call)))](auto result) mutable {
                    // A setting without a value has nothing that could be kept.
                    if (result && result->find(R"("value":null)") == std::string::npos) writer_->keep(type, id);
                    done(std::move(result));
                  });
  }

  [[nodiscard]] Caller caller_of(Call& call) const {
    return {[this, &call](Params& p) { return read_scope(call, p); }, [this, &call] { return client_of(call); },
            config_.max_message_bytes == 0 ? kMaxPage : std::min(kMaxPage, config_.max_message_bytes / 2)};
  }

  [[nodiscard]] std::string client_of(const Call& call) const {
    const auto origin = host_.origin(call.origin());
    return origin ? origin->client : "";
  }

  [[nodiscard]] Result<Scope> read_scope(Call& call, Params& p) const {
    const std::string scope = p.string_or("scope", "user");
    const auto given = p.maybe_string("workspace");
    if (scope != "user" && scope != "workspace")
      return refuse("scope must be \"user\" or \"workspace\", not \"" + scope.substr(0, 40) + "\"");
    if (scope == "user") {
      if (given) return refuse("workspace goes with scope \"workspace\" only");
      return Scope{};
    }
    std::string folder = given.value_or("");
    if (!given) {
      if (const auto origin = host_.origin(call.origin())) folder = origin->workspace;
      if (folder.empty() && config_.workspaces.size() == 1) folder = config_.workspaces.front();
      if (folder.empty()) {
        return refuse("which workspace? Name its folder as `workspace`, or say it once in host.hello");
      }
    }
    if (folder.empty() || folder.front() != '/' || folder.size() > 4096) {
      return refuse("workspace must be the absolute path of a folder");
    }
    std::error_code code;
    const auto canonical = std::filesystem::canonical(folder, code);
    if (code || !std::filesystem::is_directory(canonical, code))
      return refuse("workspace " + folder + " is no folder that exists");
    return Scope{canonical.string()};
  }

  Host host_;
  PluginConfig config_;
  bool stopped_ = false;
  EarlyAnswers early_;
  Profile profile_;
  std::optional<Call> profiled_;  ///< is told when its time is over
  TimerId profile_ends_;
  std::set<std::string> topics_;  ///< of the table of turns
  std::unique_ptr<Store> store_;
  std::optional<Snapshot<StateSnapshot>::Reader> snapshot_;  ///< serial
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<Reader> reader_;
  std::unique_ptr<Reader> checks_;  ///< reads all of the store, which takes long
  std::unique_ptr<BackupThread> backups_;
  std::unique_ptr<MetricsThread> metrics_;
  std::unique_ptr<Housekeeping> housekeeping_;
  PluginThread end_;  ///< stops all of them
};

namespace {

/// The handlers of methods that find_change() and find_read() know.
[[nodiscard]] auto change_of(const char* method) {
  return [change = ProjectState::Changing{method, find_change(method)->read}](ProjectState& self, Call call) {
    self.change_by(std::move(call), change);
  };
}
[[nodiscard]] auto get_of(Type type) {
  return [type](ProjectState& self, Call call) { self.get(std::move(call), type); };
}
[[nodiscard]] auto read_of(const char* method) {
  return [method, read = find_read(method)](ProjectState& self, Call call) {
    self.read_by(std::move(call), method, read);
  };
}

}  // namespace

void ProjectState::define(Definition<ProjectState>& d) {
  using P = ProjectState;
  d.id("project_state")
      .version(std::string(gantry::kVersion))
      .summary("Sessions, panes, layouts, settings and turns, committed before they are acknowledged");
  d.service("state")
      .settings("state")
      .publishes("state.**")
      .publishes("metrics.**")
      .keeps_log("state.**")
      .reads_log("state.log")
      .subscribes("turn.**")
      .activation("on_event:turn.**");
  d.reload("handover").grant("call:host.metrics").nonblocking();
  const auto change = [&](const char* method, const char* summary, const json& params, const json& result) {
    d.method(method, change_of(method), {.summary = summary, .params = params, .result = result});
  };
  const auto read = [&](const char* method, const char* summary, const json& params, const json& result,
                        const std::optional<Tool>& tool = {}) {
    d.method(method, read_of(method),
             {.summary = summary, .params = params, .result = result, .idempotent = true, .tool = tool});
  };
  const auto ask = [&](const char* method, auto handler, const char* summary, const json& params, const json& result,
                       const std::optional<Tool>& tool = {}) {
    d.method(method, handler,
             {.summary = summary, .params = params, .result = result, .idempotent = true, .tool = tool});
  };
  // Agents look at the state; what changes it stays with those who own the sessions.
  const auto look = [](const char* title) {
    return Tool{.title = title, .read_only = true, .destructive = false, .idempotent = true, .open_world = false};
  };
  change("state.session.create", "Creates a session", schemas::session_create(), schemas::session_result());
  const auto get = [&](Type type, const char* summary, const json& params, const json& result,
                       const std::optional<Tool>& tool = {}) {
    d.method("state." + std::string(name(type)) + ".get", get_of(type),
             {.summary = summary, .params = params, .result = result, .idempotent = true, .tool = tool});
  };
  get(Type::session, "One session", schemas::by_id("session"), schemas::session_result(), look("Session"));
  read("state.session.list", "Sessions in the order of their creation", schemas::session_list(), schemas::list_result(),
       look("Sessions"));
  change("state.session.update", "Changes a session by an RFC 7396 merge patch, if its rev is still the one given",
         schemas::update("session", schemas::session_members()), schemas::session_result());
  change("state.session.delete", "Deletes a session, with its panes and its layout", schemas::remove("session"),
         schemas::session_result());
  change("state.pane.create", "Creates a pane in a session", schemas::pane_create(), schemas::pane_result());
  get(Type::pane, "One pane", schemas::by_id("pane"), schemas::pane_result());
  read("state.pane.list", "Panes in the order of their creation", schemas::pane_list(), schemas::list_result(),
       look("Panes"));
  change("state.pane.update", "Changes a pane by an RFC 7396 merge patch, if its rev is still the one given",
         schemas::update("pane", schemas::pane_members()), schemas::pane_result());
  change("state.pane.delete", "Deletes a pane, and what shows it in its session's layout", schemas::remove("pane"),
         schemas::pane_result());
  get(Type::layout, "The layout of a session; empty at rev 0 before its first update", schemas::layout_get(),
      schemas::layout_result());
  change("state.layout.update", "Changes a layout by an RFC 7396 merge patch, if its rev is still the one given",
         schemas::layout_update(), schemas::layout_result());
  ask("state.settings.get", &P::settings_get, "The value of a setting; null with rev 0 when it was never set",
      schemas::settings_get(), schemas::setting_result(), look("Setting"));
  d.method("state.settings.set", &P::settings_set,
           {.summary = "Sets a setting; its first value fixes its type; null deletes it",
            .params = schemas::settings_set(),
            .result = schemas::setting_set_result()});
  read("state.settings.list", "Settings that have a value", schemas::settings_list(), schemas::list_result());
  change("state.turn.create", "Creates a turn in a session; with a plan it is proposed", schemas::turn_create(),
         schemas::turn_result());
  get(Type::turn, "One turn", schemas::by_id("turn"), schemas::turn_result(), look("Turn"));
  read("state.turn.list", "Turns in the order of their creation", schemas::turn_list(), schemas::list_result(),
       look("Turns"));
  change("state.turn.propose", "Proposes a plan; another one voids the approval of the plan before",
         schemas::turn_propose(), schemas::turn_result());
  change("state.turn.approve", "Approves the plan that has this hash", schemas::turn_approve(), schemas::turn_result());
  change("state.turn.transition", "Takes a step that the table of turns allows", schemas::turn_transition(),
         schemas::turn_result());
  change("state.turn.delete", "Deletes a turn that does not execute", schemas::remove("turn"), schemas::turn_result());
  read("state.at", "The objects of a scope as they were after an event", schemas::at(), schemas::at_result());
  d.method("state.subscribe", read_of("state.subscribe"),
           {.summary = "Sends what changes in these scopes from now on, or after `since`",
            .params = schemas::subscribe(),
            .result = schemas::subscribe_result(),
            .idempotent = true,
            .follows = "state.log"});
  read("state.log", "A page of the log", schemas::log(), schemas::log_result());
  read("state.snapshot", "The objects of a scope as they are, all pages as of the first one", schemas::snapshot(),
       schemas::at_result());
  read("state.diff", "What differs between two points of the log", schemas::diff(), schemas::diff_result());
  change("state.restore", "Makes the objects of a scope what they were, by new events", schemas::restore(),
         schemas::restore_result());
  change("state.checkpoint.create", "Names the present end of the log", schemas::checkpoint(),
         schemas::checkpoint_result());
  change("state.checkpoint.delete", "Forgets a checkpoint", schemas::checkpoint(), schemas::checkpoint_result());
  read("state.checkpoint.list", "The checkpoints", schemas::nothing(), schemas::list_result());
  d.method("state.batch", &P::batch,
           {.summary = "Does several changes in one transaction, or none of them",
            .params = schemas::batch(),
            .result = schemas::batch_result()});
  d.method("state.metrics.record", &P::metrics_record,
           {.summary = "Records a measurement, which is on the disk soon",
            .params = schemas::metrics_record(),
            .result = schemas::object({{"durability", {{"const", "D1"}}}}, json::array({"durability"}))});
  ask("state.metrics.query", &P::metrics_query, "What was measured in a time, step by step", schemas::metrics_query(),
      schemas::metrics_result());
  d.method("state.backup.create", &P::backup_create,
           {.summary = "Makes a copy of the store, and checks it",
            .params = schemas::nothing(),
            .result = schemas::object({{"backup", schemas::backup()}}, json::array({"backup"})),
            .keeps_time = true});
  ask("state.backup.list", &P::backup_list, "The copies that are kept, the newest first", schemas::nothing(),
      schemas::object({{"items", {{"type", "array"}, {"items", schemas::backup()}}}}, json::array({"items"})));
  d.method(
      "state.backup.restore", &P::backup_restore,
      {.summary = "Puts a copy in the place of the store, under a new epoch; the store before is kept aside",
       .params = schemas::params({{"file", schemas::string("as state.backup.list names it")}}, json::array({"file"})),
       .result = schemas::durable({{"restored", schemas::string("the file")}}, json::array({"restored"})),
       .keeps_time = true});
  d.method("state.check", &P::check,
           {.summary = "Reads and checks the whole store",
            .params = schemas::nothing(),
            .result = schemas::with_head({{"sound", {{"type", "boolean"}}}, {"damage", {{"type", {"string", "null"}}}}},
                                         json::array({"sound"})),
            .idempotent = true,
            .keeps_time = true});
  read("state.info", "Where the store is, and how large", schemas::nothing(),
       schemas::with_head(json::object(), json::array()));
  change("state.gc", "Deletes the sessions that nobody has touched for so many days",
         schemas::params({{"stale_days", schemas::count(1, 100'000)},
                          {"dry_run", {{"type", "boolean"}, {"description", "only say which"}}},
                          {"mutation", schemas::mutation()}},
                         json::array({"stale_days"})),
         schemas::durable({{"sessions", {{"type", "array"}}}}, json::array({"sessions"})));
  change("state.import", "Takes objects of an archive in, all or none", schemas::import_params(),
         schemas::import_result());
  d.method("state.profile", &P::profile,
           {.summary = "What the store's threads do within some seconds, as a trace in Chrome's format",
            .params = schemas::params({{"seconds", schemas::count(1, kMaxProfile)}}, json::array({"seconds"})),
            .result = schemas::object({{"trace", {{"type", "object"}}}}, json::array({"trace"})),
            .keeps_time = true});
  ask("state.flush", &P::flush, "A barrier: what was acknowledged before is on the disk", schemas::nothing(),
      schemas::head_result());
}

}  // namespace gantry::state

GANTRY_PLUGIN(gantry::state::ProjectState)
