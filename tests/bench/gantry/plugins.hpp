// SPDX-License-Identifier: Apache-2.0
//
// A whole host inside the program, without clients: calls reach its plugins as if from the router.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "host/daemon/daemon.hpp"
#include "tests/bench/peers/common.hpp"

std::vector<peer::Workload> plugin_life();

namespace plugins {

using namespace gantry;
using namespace gantry::host;

/// The folder of this program: bench/ of the build.
inline const std::filesystem::path kHere = std::filesystem::read_symlink("/proc/self/exe").parent_path();
inline const std::filesystem::path kPlugins = kHere / "plugins";

/// A temporary folder, removed at the end of the program.
class Folder {
 public:
  Folder() {
    std::string pattern = "/tmp/gantry-bench-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// A host that runs. `configure` names the plugins.
class RunningHost {
 public:
  explicit RunningHost(const std::function<void(Config&)>& configure) {
    DaemonOptions options;
    options.config = default_config();
    options.config.supervisor.intensity = 1000;
    configure(options.config);
    options.socket = folder_.path() / "run" / "host.sock";
    options.state_dir = folder_.path() / "state";
    options.plugin_dir = folder_.path() / "none";
    options.program = kHere.parent_path() / "gantry";
    LogOptions log;
    log.file = folder_.path() / "log";
    log.to_stderr = false;
    log.level = Level::warn;
    options.log = Log::open_or_stderr(log);
    daemon_ = Daemon::build(std::move(options));
    peer::require(daemon_->open().has_value(), "the host does not open");
    thread_ = std::thread([this] { daemon_->run(); });
  }
  RunningHost(const RunningHost&) = delete;
  RunningHost& operator=(const RunningHost&) = delete;
  ~RunningHost() {
    daemon_->request_stop("measured");
    thread_.join();
  }
  [[nodiscard]] Daemon& daemon() { return *daemon_; }
  /// The plugin's instance, which is started if it does not run.
  [[nodiscard]] std::shared_ptr<Plugin> plugin(const std::string& name) {
    auto plugin = daemon_->services().instance(name)->get();
    if (!plugin) peer::wrong(plugin.error().message);
    return *plugin;
  }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }

 private:
  Folder folder_;
  std::unique_ptr<Daemon> daemon_;
  std::thread thread_;
};

inline void use(Config& config, const std::string& name, const std::filesystem::path& library, bool child = false) {
  config.plugins[name].path = library.string();
  config.plugins[name].isolation = child ? Isolation::child : Isolation::in_line;
}

}  // namespace plugins
