// SPDX-License-Identifier: Apache-2.0
#include "host/services/plugin_runner.hpp"

#include <utility>

namespace gantry::host {

PluginRunner::PluginRunner(const PluginDeps& deps, PluginRegistry& registry, PluginBuilds& builds, PluginAudit& audit,
                           PluginConfinement& confinement, PluginLoader::ConfigOf config_of, PluginLives& lives)
    : deps_(deps),
      registry_(registry),
      builds_(builds),
      config_of_(std::move(config_of)),
      lives_(lives),
      loader_(
          deps, builds, audit, confinement, config_of_,
          [&lives](const std::string& plugin, std::string_view line) { lives.at(plugin).keep_line(line); },
          [&lives](const std::string& plugin, const PluginInstance& instance, const Death& death) {
            instance->note_death();
            lives.at(plugin).died(instance, death);
          }),
      jobs_([&deps](std::string_view what) {
        deps.log.write(Level::error, "plugins", "a start or an end threw: " + std::string(what));
      }) {}

void PluginRunner::prepare(const std::string& plugin, bool first, std::move_only_function<void(Result<void>)> done) {
  jobs_.run(
      [this, plugin, first] {
        const Result<void> ready = first ? take_rebuilt(plugin) : Result<void>();
        return ready ? may_start(*registry_.spec_of(plugin)) : ready;
      },
      [plugin](const std::string& why) -> Result<void> {
        return fail(ErrorKind::internal, "plugin " + plugin + " could not be prepared: " + why);
      },
      std::move(done));
}

Result<void> PluginRunner::may_start(const PluginSpec& spec) const {
  if (auto refused = spec.refusal()) return std::unexpected(std::move(*refused));
  return deps_.may_start ? deps_.may_start(spec) : Result<void>();
}

// In the first start of a plugin that was built anew since the host has read its manifest: what lies there now is it.
// Not while a reload runs, which may be what waits for this start. `permission_denied`: it asks for more by now.
Result<void> PluginRunner::take_rebuilt(const std::string& plugin) {
  const auto spec = registry_.spec_of(plugin);
  if (!spec->manifest || !spec->enabled) return {};
  const auto now = read_manifest(spec->library);
  if (!now || now->document == spec->manifest->document) return {};
  const auto change = registry_.try_change();
  if (!change) return {};
  const auto next = builds_.next(*registry_.table(), plugin);
  if (!next) {
    // What else is wrong with it, its start finds.
    return next.error().kind == ErrorKind::permission_denied ? std::unexpected(next.error()) : Result<void>();
  }
  put_in_table(*next);
  lives_.table_changed();
  deps_.log.write(Level::info, "plugins", plugin + " was built anew before it was started");
  return {};
}

void PluginRunner::start(Start start, std::move_only_function<void(Started)> done) {
  jobs_.run(
      [this, start = std::move(start)] {
        auto started = loader_.start(start);
        if (started.instance) builds_.has_run(start.build.spec->name);
        return started;
      },
      [](const std::string& why) { return Started{fail(ErrorKind::internal, why)}; }, std::move(done));
}

void PluginRunner::end(const std::string& plugin, PluginInstance instance, End how,
                       std::move_only_function<void(Ended)> done) {
  jobs_.run(
      [instance = std::move(instance), how] {
        if (how == End::after_handover) instance->expect_successor();
        if (how != End::now) (void)instance->drain(kGrace, how == End::replaced ? kLongestDrain : kGrace);
        const bool returned = instance->stop(kGrace);
        return Ended{how == End::replaced ? nullptr : instance->given(),
                     !returned && !instance->pid()};  // of a process nothing is left
      },
      [this, plugin](const std::string& why) {
        deps_.log.write(Level::error, "plugins", "an instance of " + plugin + " was not ended: " + why);
        return Ended{nullptr, true};
      },
      std::move(done));
}

void PluginRunner::adopt(const std::string& plugin, const PluginBuild& build) {
  if (build.spec != registry_.spec_of(plugin)) put_in_table(build);  // else it is renewed
}

// From here on everything that is asked of the plugin is asked of this build.
void PluginRunner::put_in_table(const PluginBuild& build) {
  const auto old = registry_.publish(build.table);
  builds_.drop(*PluginTable::share(old, build.spec->name));
  if (deps_.changed) deps_.changed();
}

void PluginRunner::reconfigure(const std::string& plugin, const PluginInstance& instance) {
  instance->reconfigure([this, plugin] { return config_of_(*registry_.spec_of(plugin)); });
}

void PluginRunner::publish(std::string_view what, const std::string& plugin, const std::string& reason, json more) {
  const Level level = what == "failed" || what == "died" || what == "quarantined" ? Level::error
                      : what == "backing_off"                                     ? Level::warn
                                                                                  : Level::info;
  std::string line = plugin + " ";
  if (what == "ready") line += more.value("version", "") + " ";
  if (what != "failed" && what != "died" && what != "stopped") line += "is ";
  line += what == "backing_off" ? "backing off" : what;
  deps_.log.write(level, "plugins", line + (reason.empty() ? "" : ": " + reason));
  more["name"] = plugin;
  if (!reason.empty()) more["reason"] = reason;
  (void)deps_.bus.publish("host.plugin." + std::string(what), dump_json(more));
}

}  // namespace gantry::host
