// SPDX-License-Identifier: Apache-2.0
//
// The project_state plugin: sessions and settings that survive. See store.hpp for the promise and how it is kept.
//
// Every handler runs to its end on the plugin's own thread: check the params, commit, answer, send the events. The
// order is the point: an answer is never ahead of the disk, an event never ahead of the answer that caused it.
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
#include <string>
#include <utility>
#include <vector>

#include "plugins/project_state/mutation.hpp"
#include "plugins/project_state/publisher.hpp"
#include "plugins/project_state/schemas.hpp"
#include "plugins/project_state/sessions.hpp"
#include "plugins/project_state/settings.hpp"
#include "plugins/project_state/store.hpp"

namespace gantry::state {

namespace {

constexpr std::int64_t kMaxRev = std::int64_t{1} << 53;  // what every JSON reader can hold
constexpr std::size_t kMaxCursor = 64;
constexpr std::size_t kMaxFilter = 4096;

[[nodiscard]] std::unexpected<Error> refuse(std::string why) { return fail(ErrorKind::invalid_params, std::move(why)); }

[[nodiscard]] std::int64_t wall_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

[[nodiscard]] Result<Limits> read_limits(const json& settings) {
  Limits limits;
  Params p(settings);
  const auto number = [&](const char* name, std::uint64_t otherwise, std::int64_t min, std::int64_t max) {
    return static_cast<std::uint64_t>(p.integer_or(name, static_cast<std::int64_t>(otherwise), min, max));
  };
  limits.max_sessions = number("max_sessions", limits.max_sessions, 1, 1'000'000);
  limits.max_settings = number("max_settings", limits.max_settings, 1, 1'000'000);
  limits.max_events = number("max_events", limits.max_events, 1, 10'000'000);
  limits.max_data_bytes = number("max_data_mib", limits.max_data_bytes >> 20, 1, 65'536) << 20;
  limits.max_log_bytes = number("max_log_mib", limits.max_log_bytes >> 20, 8, 65'536) << 20;
  if (auto ok = p.done(); !ok) return fail(ErrorKind::invalid_params, "[state] " + ok.error().message);
  return limits;
}

[[nodiscard]] std::optional<std::uint64_t> read_rev(Params& p) {
  const auto rev = p.maybe_integer("rev", 0, kMaxRev);
  return rev ? std::optional<std::uint64_t>(static_cast<std::uint64_t>(*rev)) : std::nullopt;
}

[[nodiscard]] std::optional<std::string> read_cursor_param(Params& p) {
  auto cursor = p.maybe_string("cursor");
  p.require(!cursor || cursor->size() <= kMaxCursor,
            "cursor is not one that a list gave; start again without a cursor");
  return cursor;
}

}  // namespace

class ProjectState {
 public:
  explicit ProjectState(Host host) : host_(std::move(host)) {}

  Result<void> start(const PluginConfig& config) {
    config_ = config;
    const auto limits = read_limits(config.settings);
    if (!limits) return std::unexpected(limits.error());
    store_ = std::make_unique<Store>(
        Store::Options{config.state_dir, *limits, &wall_ms,
                       [host = host_] {
                         const auto now = host.now().time_since_epoch();
                         return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
                       },
                       [host = host_](Level level, const std::string& line) { host.log(level, line); }});
    publisher_ = std::make_unique<Publisher>(host_, *store_);
    if (auto opened = store_->ensure_open(); !opened) {
      if (opened.error().kind != ErrorKind::storage_failed) return opened;
      host_.log(Level::warn, "calls are answered with storage_failed until this is mended: " + opened.error().message);
    } else {
      publisher_->announce();
    }
    return {};
  }

  void reconfigure(const PluginConfig& config) {
    const auto limits = read_limits(config.settings);
    if (!limits) return host_.log(Level::error, limits.error().message + "; the old limits stay");
    config_ = config;
    store_->set_limits(*limits);
  }

  void stop(Stopping) {
    stopped_ = true;
    publisher_->send_committed();
    publisher_->stop();
    store_->close();
  }

  void session_create(Call call) {
    serve(std::move(call), [this](Call& c) -> Result<std::string> {
      Params p(c.params());
      json fields = json::object();
      for (const char* name : {"name", "roots", "branch", "open_files", "attributes"}) {
        if (auto value = p.maybe_value(name)) fields[name] = std::move(*value);
      }
      return change(
          c, p, "", [&] { return check_session_fields(fields, true); },
          [&](Transaction& tx) { return create_session(tx, fields); });
    });
  }

  void session_update(Call call) {
    serve(std::move(call), [this](Call& c) -> Result<std::string> {
      Params p(c.params());
      const std::string id = p.string("id");
      const json patch = p.object("patch");
      p.require(p.maybe_value("rev").has_value(),
                "rev is missing; give the rev that you have read, or null to change the session whatever its rev is");
      const auto rev = read_rev(p);
      return change(
          c, p, "", [&] { return check_session_fields(patch, false); },
          [&](Transaction& tx) { return update_session(tx, id, rev, patch); });
    });
  }

  void session_delete(Call call) {
    serve(std::move(call), [this](Call& c) -> Result<std::string> {
      Params p(c.params());
      const std::string id = p.string("id");
      const auto rev = read_rev(p);
      return change(
          c, p, "", [] { return Result<void>(); }, [&](Transaction& tx) { return delete_session(tx, id, rev); });
    });
  }

  void session_get(Call call) {
    serve(std::move(call), [this](Call& c) -> Result<std::string> {
      Params p(c.params());
      const std::string id = p.string("id");
      if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
      return store_->read([&](Database& db, const Ledger& head) { return get_session(db, head, id); });
    });
  }

  void session_list(Call call) {
    serve(std::move(call), [this](Call& c) -> Result<std::string> {
      Params p(c.params());
      const auto cursor = read_cursor_param(p);
      const auto limit = static_cast<std::uint64_t>(p.integer_or("limit", 100, 1, 1000));
      Params f(p.maybe_object("filter").value_or(json::object()));
      if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
      const SessionFilter filter{f.maybe_string("name"), f.maybe_string("root"), f.maybe_string("branch")};
      for (const auto* text : {&filter.name, &filter.root, &filter.branch}) {
        f.require(!*text || (*text)->size() <= kMaxFilter, "a member may have 4096 bytes");
      }
      if (auto ok = f.done(); !ok) return refuse("filter: " + ok.error().message);
      return store_->read(
          [&](Database& db, const Ledger& head) { return list_sessions(db, head, filter, cursor, limit); });
    });
  }

  void settings_set(Call call) {
    serve(std::move(call), [this](Call& c) -> Result<std::string> {
      Params p(c.params());
      const std::string key = p.string("key");
      const json value = p.value("value");
      const SetOptions options{read_rev(p), p.boolean_or("retype", false)};
      const auto scope = read_scope(c, p);
      if (!scope) return std::unexpected(scope.error());
      const auto check = [&]() -> Result<void> {
        if (auto ok = check_setting_key(key); !ok) return ok;
        return check_setting_value(value);
      };
      return change(c, p, scope->stored(), check,
                    [&](Transaction& tx) { return set_setting(tx, *scope, key, value, options); });
    });
  }

  void settings_get(Call call) {
    serve(std::move(call), [this](Call& c) -> Result<std::string> {
      Params p(c.params());
      const std::string key = p.string("key");
      const auto type = p.maybe_string("type");
      p.require(!type || *type == "boolean" || *type == "number" || *type == "string" || *type == "array" ||
                    *type == "object",
                "type must be one of boolean, number, string, array, object");
      const auto scope = read_scope(c, p);
      if (!scope) return std::unexpected(scope.error());
      if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
      if (auto ok = check_setting_key(key); !ok) return std::unexpected(ok.error());
      return store_->read([&](Database& db, const Ledger& head) { return get_setting(db, head, *scope, key, type); });
    });
  }

  void settings_list(Call call) {
    serve(std::move(call), [this](Call& c) -> Result<std::string> {
      Params p(c.params());
      const auto cursor = read_cursor_param(p);
      const auto limit = static_cast<std::uint64_t>(p.integer_or("limit", 100, 1, 1000));
      const std::string prefix = p.string_or("prefix", "");
      p.require(prefix.size() <= kMaxFilter, "prefix may have 4096 bytes");
      const auto scope = read_scope(c, p);
      if (!scope) return std::unexpected(scope.error());
      if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
      return store_->read(
          [&](Database& db, const Ledger& head) { return list_settings(db, head, *scope, prefix, cursor, limit); });
    });
  }

  /// A barrier: what was acknowledged before it is on the disk. Each commit is, so there is nothing to wait for.
  void flush(Call call) {
    serve(std::move(call), [this](Call& c) -> Result<std::string> {
      Params p(c.params());
      if (auto ok = p.done(); !ok) return std::unexpected(ok.error());
      return store_->read([](Database&, const Ledger& head) -> Result<json> {
        return json{{"epoch", head.epoch}, {"seq", head.seq}, {"durability", "D2"}};
      });
    });
  }

  static void define(Definition<ProjectState>& d);

 private:
  template <class Body>
  void serve(Call call, Body body) {
    if (stopped_)
      return call.reply_error(Error{ErrorKind::unavailable, "project_state has stopped; call again later", {}});
    auto result = body(call);
    if (result) {
      call.reply_raw(std::move(*result));
    } else {
      call.reply_error(result.error());
    }
    publisher_->send_committed();
  }

  /// All checks come before the transaction; `apply` does only what needs the rows.
  template <class Check, class Apply>
  [[nodiscard]] Result<std::string> change(Call& call, Params& params, const std::string& place, Check check,
                                           Apply apply) {
    auto mutation = read_mutation(call, params, place);
    if (auto ok = params.done(); !ok) return std::unexpected(ok.error());
    if (!mutation) return std::unexpected(mutation.error());
    if (Result<void> ok = check(); !ok) return std::unexpected(ok.error());
    return store_->commit(Command{std::move(*mutation), apply});
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
  std::unique_ptr<Store> store_;
  std::unique_ptr<Publisher> publisher_;
  bool stopped_ = false;
};

void ProjectState::define(Definition<ProjectState>& d) {
  using P = ProjectState;
  d.id("project_state")
      .version(std::string(gantry::kVersion))
      .summary("Sessions and settings, committed before they are acknowledged");
  d.service("state").settings("state").publishes("state.**").keeps_log("state.**").reload("handover");
  d.method("state.session.create", &P::session_create,
           {.summary = "Creates a session", .params = schemas::session_create(), .result = schemas::session_result()});
  d.method("state.session.get", &P::session_get,
           {.summary = "One session",
            .params = schemas::session_get(),
            .result = schemas::session_result(),
            .idempotent = true});
  d.method("state.session.list", &P::session_list,
           {.summary = "Sessions in the order of their creation",
            .params = schemas::session_list(),
            .result = schemas::list_result(),
            .idempotent = true});
  d.method("state.session.update", &P::session_update,
           {.summary = "Changes a session by an RFC 7396 merge patch, if its rev is still the one given",
            .params = schemas::session_update(),
            .result = schemas::session_result()});
  d.method("state.session.delete", &P::session_delete,
           {.summary = "Deletes a session", .params = schemas::session_delete(), .result = schemas::deleted_result()});
  d.method("state.settings.get", &P::settings_get,
           {.summary = "The value of a setting; null with rev 0 when it was never set",
            .params = schemas::settings_get(),
            .result = schemas::setting_result(),
            .idempotent = true});
  d.method("state.settings.set", &P::settings_set,
           {.summary = "Sets a setting; its first value fixes its type; null deletes it",
            .params = schemas::settings_set(),
            .result = schemas::setting_result()});
  d.method("state.settings.list", &P::settings_list,
           {.summary = "Settings that have a value",
            .params = schemas::settings_list(),
            .result = schemas::list_result(),
            .idempotent = true});
  d.method("state.flush", &P::flush,
           {.summary = "A barrier: what was acknowledged before is on the disk",
            .params = schemas::nothing(),
            .result = schemas::head_result(),
            .idempotent = true});
}

}  // namespace gantry::state

GANTRY_PLUGIN(gantry::state::ProjectState)
