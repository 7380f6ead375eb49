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
#include <chrono>
#include <filesystem>
#include <gantry/params.hpp>
#include <gantry/plugin.hpp>
#include <gantry/version.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "plugins/project_state/backup_thread.hpp"
#include "plugins/project_state/changes.hpp"
#include "plugins/project_state/cleanup.hpp"
#include "plugins/project_state/host_metrics.hpp"
#include "plugins/project_state/metrics_thread.hpp"
#include "plugins/project_state/mutation.hpp"
#include "plugins/project_state/plan.hpp"
#include "plugins/project_state/reader.hpp"
#include "plugins/project_state/reads.hpp"
#include "plugins/project_state/schemas.hpp"
#include "plugins/project_state/store.hpp"
#include "plugins/project_state/wall_clock.hpp"
#include "plugins/project_state/writer.hpp"

namespace gantry::state {

namespace {

constexpr int kShrinkPages = 10'000;
constexpr std::int64_t kDayMs = std::int64_t{24} * 60 * 60 * 1000;
constexpr std::size_t kCacheMib = 32;
constexpr std::int64_t kMaxSeq = std::int64_t{1} << 53;

[[nodiscard]] std::unexpected<Error> refuse(std::string why) { return fail(ErrorKind::invalid_params, std::move(why)); }

[[nodiscard]] Result<Limits> read_limits(const json& settings) {
  Limits limits;
  Params p(settings);
  const auto number = [&](const char* name, std::uint64_t otherwise, std::int64_t min, std::int64_t max) {
    return static_cast<std::uint64_t>(p.integer_or(name, static_cast<std::int64_t>(otherwise), min, max));
  };
  limits.max_sessions = number("max_sessions", limits.max_sessions, 1, 1'000'000);
  limits.max_panes = number("max_panes", limits.max_panes, 1, 1'000'000);
  limits.max_turns = number("max_turns", limits.max_turns, 1, 1'000'000);
  limits.max_settings = number("max_settings", limits.max_settings, 1, 1'000'000);
  limits.max_events = number("max_events", limits.max_events, 1, 10'000'000);
  limits.max_data_bytes = number("max_data_mib", limits.max_data_bytes >> 20, 1, 65'536) << 20;
  limits.max_log_bytes = number("max_log_mib", limits.max_log_bytes >> 20, 8, 65'536) << 20;
  limits.max_age_ms = static_cast<std::int64_t>(number("max_age_days", 0, 0, 100'000)) * kDayMs;
  (void)number("cache_mib", kCacheMib, 0, 65'536);
  (void)number("backup_interval_minutes", 60, 0, 100'000);
  (void)number("backup_keep", 3, 1, 1000);
  (void)number("stale_days", 0, 0, 100'000);
  (void)p.maybe_object("turns");
  (void)number("host_metrics_seconds", 60, 0, 86'400);
  if (auto ok = p.done(); !ok) return fail(ErrorKind::invalid_params, "[state] " + ok.error().message);
  return limits;
}

/// Of the same table, in bytes.
[[nodiscard]] std::size_t read_cache(const json& settings) { return settings.value("cache_mib", kCacheMib) << 20; }

/// Of the same table.
[[nodiscard]] BackupThread::Options read_backup_options(const json& settings) {
  return {std::chrono::minutes(settings.value("backup_interval_minutes", 60)),
          settings.value("backup_keep", std::size_t{3})};
}

[[nodiscard]] json with_head(const Ledger& head, json members) {
  members["epoch"] = head.epoch;
  members["seq"] = head.seq;
  members["durability"] = "D2";
  return members;
}

}  // namespace

class ProjectState {
 public:
  explicit ProjectState(Host host) : host_(std::move(host)) {}

  Result<void> start(const PluginConfig& config) {
    config_ = config;
    const auto limits = read_limits(config.settings);
    if (!limits) return std::unexpected(limits.error());
    auto turns = TurnTable::read(config.settings.value("turns", json::object()));
    if (!turns) return std::unexpected(turns.error());
    store_ = std::make_unique<Store>(Store::Options{
        config.state_dir, *limits, read_cache(config.settings), std::move(*turns), !config.handed_over, &wall_ms,
        [host = host_] {
          const auto now = host.now().time_since_epoch();
          return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
        },
        [host = host_](Level level, const std::string& line) { host.log(level, line); }});
    if (auto opened = store_->ensure_open(); !opened) {
      if (opened.error().kind != ErrorKind::storage_failed) return opened;
      host_.log(Level::warn, "calls are answered with storage_failed until this is mended: " + opened.error().message);
    }
    snapshot_.emplace(store_->snapshots());
    writer_ = std::make_unique<Writer>(host_, *store_);
    reader_ = std::make_unique<Reader>(host_, *store_, *writer_);
    backups_ = std::make_unique<BackupThread>(host_, *store_, read_backup_options(config.settings));
    metrics_ = std::make_unique<MetricsThread>(host_, config.state_dir);
    if (auto ok = writer_->start(); !ok) return ok;
    if (auto ok = metrics_->start(); !ok) return ok;
    if (auto ok = reader_->start(); !ok) return ok;
    sample_host();
    tidy_up();
    return backups_->start();
  }

  void reconfigure(const PluginConfig& config) {
    const auto limits = read_limits(config.settings);
    if (!limits) return host_.log(Level::error, limits.error().message + "; the old limits stay");
    auto turns = TurnTable::read(config.settings.value("turns", json::object()));
    if (!turns) return host_.log(Level::error, turns.error().message + "; the old settings stay");
    config_ = config;
    (void)writer_->run([host = host_, turns = std::move(*turns)](Store& store) mutable {
      if (const auto done = store.set_turns(std::move(turns)); !done)
        host.log(Level::error, done.error().message + "; the old table of turns stays");
    });
    backups_->set_options(read_backup_options(config.settings));
    const auto taken = writer_->run([limits = *limits, cache = read_cache(config.settings)](Store& store) {
      store.set_limits(limits);
      store.set_cache(cache);
    });
    if (!taken) host_.log(Level::error, taken.error().message + "; the old limits stay");
  }

  // What waits is committed and answered first.
  void stop(Stopping stopping) {
    stopped_ = true;
    if (!writer_) return;
    (void)stopping.give("turns go on");  // an instance that comes next leaves them alone
    auto end = [this, held = std::make_shared<Stopping>(std::move(stopping))](const CancelToken&) mutable {
      metrics_->join();
      reader_->join();
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

  void batch(Call call) { change_by(std::move(call), &read_batch); }

  /// Reads the params of a method that changes state.
  Result<Command> command_of(Call& call, decltype(ReadChange::read) read) {
    Params params(call.params());
    (void)params.maybe_object("mutation");  // known to done(); what it says is read last
    std::string place;
    const bool is_batch = call.method() == "state.batch";
    if (is_batch || call.method().starts_with("state.turn.")) {
      if (auto ok = check_plans_in(call.raw_params(), is_batch); !ok) return std::unexpected(ok.error());
    }
    auto apply = read(params, caller_of(call), place);
    if (!apply) return std::unexpected(apply.error());
    auto mutation = read_mutation(call, params, place);
    if (!mutation) return std::unexpected(mutation.error());
    return Command{std::move(*mutation), std::move(*apply)};
  }

  void change_by(Call call, decltype(ReadChange::read) read) {
    if (stopped_) return refuse_stopped(call);
    auto command = command_of(call, read);
    if (!command) return call.reply_error(command.error());
    // Whoever holds the call while it is refused answers it.
    const auto held = std::make_shared<Call>(std::move(call));
    const auto taken = writer_->submit(std::move(*command), text_to(held));
    if (!taken) held->reply_error(taken.error());
  }

  /// D0 and D1 are answered before the commit: a failure is then a line of the log and an event.
  void settings_set(Call call) {
    const auto read = find_change("state.settings.set")->read;
    if (call.raw_params().find("durability") == std::string::npos) return change_by(std::move(call), read);  // most
    const json params = call.params();
    const json durability = params.value("durability", json("D2"));
    if (stopped_ || (durability != "D0" && durability != "D1")) return change_by(std::move(call), read);
    auto command = command_of(call, read);
    if (!command) return call.reply_error(command.error());
    json failed{{"key", params["key"]}, {"value", params["value"]}};
    if (command->mutation) failed["cause"] = command->mutation->cause;
    const auto taken = writer_->submit(
        std::move(*command), [host = host_, failed = std::move(failed)](const Result<std::string>& result) mutable {
          if (result) return;
          failed["kind"] = kind_name(result.error().kind);
          failed["message"] = result.error().message;
          host.log(Level::warn, "setting " + dump_json(failed["key"]) + " was not written: " + result.error().message);
          (void)host.publish("state.setting.failed", failed);
        });
    if (!taken) return call.reply_error(taken.error());
    call.reply({{"key", params["key"]}, {"value", params["value"]}, {"durability", durability}});
  }

  void read_by(Call call, ReadParams read) {
    if (stopped_) return refuse_stopped(call);
    Params params(call.params());
    auto body = read(params, caller_of(call));
    if (!body) return call.reply_error(body.error());
    reader_->read(std::move(*body), text_to(std::make_shared<Call>(std::move(call))));
  }

  /// An object from memory or, if it is not kept there, from the database; then it is kept.
  void get(Call call, Type type) {
    if (stopped_) return refuse_stopped(call);
    Params p(call.params());
    const std::string id = p.string(type == Type::layout ? "session_id" : "id");
    if (auto ok = p.done(); !ok) return call.reply_error(ok.error());
    const StateSnapshot& now = snapshot_->get();
    if (const auto* const text = now.find(type, id); text != nullptr && !now.epoch.empty()) {
      return call.reply_raw(R"({"durability":"D2","epoch":")" + now.epoch + R"(","seq":)" + std::to_string(now.seq) +
                            R"(,")" + std::string(name(type)) + "\":" + *text + "}");
    }
    reader_->read(get_object(type, id),
                  [this, type, id, done = text_to(std::make_shared<Call>(std::move(call)))](auto result) mutable {
                    if (result) writer_->keep(type, id);
                    done(std::move(result));
                  });
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
    backups_->request([held = std::make_shared<Call>(std::move(call))](const Result<Backup>& made) {
      if (made) {
        held->reply({{"backup", made->shown()}});
      } else {
        held->reply_error(made.error());
      }
    });
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
    json items = json::array();
    for (const auto& backup : list_backups(config_.state_dir)) items.push_back(backup.shown());
    call.reply({{"items", std::move(items)}});
  }

  /// The host's own numbers, now and then.
  void sample_host() {
    const std::chrono::seconds interval(config_.settings.value("host_metrics_seconds", 60));
    const bool wanted = interval.count() != 0;
    (void)host_.after(wanted ? interval : std::chrono::minutes(1), [this, wanted] {
      if (stopped_) return;
      if (!wanted) return sample_host();
      CallOptions options;
      options.deadline = Deadline(host_.now() + std::chrono::seconds(10));
      (void)host_.call("host.metrics", json::object(), std::move(options), [this](const Result<CallAnswer>& sample) {
        if (!sample || stopped_) return;
        for (const auto& measured : host_measurements(sample->value, sample_))
          metrics_->record(measured, [](const Result<json>&) {});
        sample_ = sample->value;
      });
      sample_host();
    });
  }

  /// Once an hour: what is stale goes, and the file shrinks.
  void tidy_up() {
    (void)host_.after(std::chrono::hours(1), [this] {
      if (stopped_) return;
      const auto stale_days = config_.settings.value("stale_days", std::int64_t{0});
      if (stale_days > 0) {
        Command clean{std::nullopt, [stale_days](Transaction& tx) { return clean_up(tx, stale_days, false); }};
        (void)writer_->submit(std::move(clean), [host = host_](const Result<std::string>& done) {
          if (!done) host.log(Level::warn, "stale sessions stay: " + done.error().message);
        });
      }
      (void)writer_->run([](Store& store) { (void)store.shrink(kShrinkPages); });
      tidy_up();
    });
  }

  /// A barrier: behind all changes that came before it.
  void flush(Call call) {
    if (stopped_) return refuse_stopped(call);
    Params p(call.params());
    if (auto ok = p.done(); !ok) return call.reply_error(ok.error());
    const auto held = std::make_shared<Call>(std::move(call));
    metrics_->flush([this, held](const Result<json>& metrics) {
      if (!metrics) return held->reply_error(metrics.error());
      const auto taken = writer_->run([held](Store& store) {
        const auto head = store.ledger();
        if (!head) return held->reply_error(head.error());
        held->reply(with_head(*head, json::object()));
      });
      if (!taken) held->reply_error(taken.error());
    });
  }

  static void define(Definition<ProjectState>& d);

 private:
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

  [[nodiscard]] Caller caller_of(Call& call) const {
    return {[this, &call](Params& p) { return read_scope(call, p); }, [this, &call] { return client_of(call); }};
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
  json sample_;  ///< the answer of host.metrics before
  bool stopped_ = false;
  std::unique_ptr<Store> store_;
  std::optional<Snapshot<StateSnapshot>::Reader> snapshot_;  ///< serial
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<Reader> reader_;
  std::unique_ptr<BackupThread> backups_;
  std::unique_ptr<MetricsThread> metrics_;
  PluginThread end_;  ///< stops all of them
};

namespace {

/// The handlers of methods that find_change() and find_read() know.
[[nodiscard]] auto change_of(const char* method) {
  return [read = find_change(method)->read](ProjectState& self, Call call) { self.change_by(std::move(call), read); };
}
[[nodiscard]] auto get_of(Type type) {
  return [type](ProjectState& self, Call call) { self.get(std::move(call), type); };
}
[[nodiscard]] auto read_of(const char* method) {
  return [read = find_read(method)](ProjectState& self, Call call) { self.read_by(std::move(call), read); };
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
      .reads_log("state.log");
  d.reload("handover").grant("call:host.metrics").nonblocking();
  const auto change = [&](const char* method, const char* summary, const json& params, const json& result) {
    d.method(method, change_of(method), {.summary = summary, .params = params, .result = result});
  };
  const auto read = [&](const char* method, const char* summary, const json& params, const json& result) {
    d.method(method, read_of(method), {.summary = summary, .params = params, .result = result, .idempotent = true});
  };
  const auto ask = [&](const char* method, auto handler, const char* summary, const json& params, const json& result) {
    d.method(method, handler, {.summary = summary, .params = params, .result = result, .idempotent = true});
  };
  change("state.session.create", "Creates a session", schemas::session_create(), schemas::session_result());
  const auto get = [&](Type type, const char* summary, const json& params, const json& result) {
    d.method("state." + std::string(name(type)) + ".get", get_of(type),
             {.summary = summary, .params = params, .result = result, .idempotent = true});
  };
  get(Type::session, "One session", schemas::by_id("session"), schemas::session_result());
  read("state.session.list", "Sessions in the order of their creation", schemas::session_list(),
       schemas::list_result());
  change("state.session.update", "Changes a session by an RFC 7396 merge patch, if its rev is still the one given",
         schemas::update("session", schemas::session_members()), schemas::session_result());
  change("state.session.delete", "Deletes a session, with its panes and its layout", schemas::remove("session"),
         schemas::session_result());
  change("state.pane.create", "Creates a pane in a session", schemas::pane_create(), schemas::pane_result());
  get(Type::pane, "One pane", schemas::by_id("pane"), schemas::pane_result());
  read("state.pane.list", "Panes in the order of their creation", schemas::pane_list(), schemas::list_result());
  change("state.pane.update", "Changes a pane by an RFC 7396 merge patch, if its rev is still the one given",
         schemas::update("pane", schemas::pane_members()), schemas::pane_result());
  change("state.pane.delete", "Deletes a pane, and what shows it in its session's layout", schemas::remove("pane"),
         schemas::pane_result());
  get(Type::layout, "The layout of a session; empty at rev 0 before its first update", schemas::layout_get(),
      schemas::layout_result());
  change("state.layout.update", "Changes a layout by an RFC 7396 merge patch, if its rev is still the one given",
         schemas::layout_update(), schemas::layout_result());
  read("state.settings.get", "The value of a setting; null with rev 0 when it was never set", schemas::settings_get(),
       schemas::setting_result());
  d.method("state.settings.set", &P::settings_set,
           {.summary = "Sets a setting; its first value fixes its type; null deletes it",
            .params = schemas::settings_set(),
            .result = schemas::setting_set_result()});
  read("state.settings.list", "Settings that have a value", schemas::settings_list(), schemas::list_result());
  change("state.turn.create", "Creates a turn in a session; with a plan it is proposed", schemas::turn_create(),
         schemas::turn_result());
  get(Type::turn, "One turn", schemas::by_id("turn"), schemas::turn_result());
  read("state.turn.list", "Turns in the order of their creation", schemas::turn_list(), schemas::list_result());
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
  d.method("state.check", read_of("state.check"),
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
  ask("state.flush", &P::flush, "A barrier: what was acknowledged before is on the disk", schemas::nothing(),
      schemas::head_result());
}

}  // namespace gantry::state

GANTRY_PLUGIN(gantry::state::ProjectState)
