// SPDX-License-Identifier: Apache-2.0
//
// host/trust/projects.hpp: the `.gantry.toml` of each workspace, and which of its keys are in force
// there.
//
// The file is read when the workspace is opened, by config.reload, and when its folder's trust
// changes; after an edit the user reloads the configuration. A file with an error has no effect at
// all, and the error is reported.
//
// Thread rule: any thread; read() accesses the file system. Of two reads at once the one that began
// later counts.
// Bounds: one project for each workspace; host/trust/project.hpp has those of the file.
#pragma once

#include <functional>
#include <gantry/json.hpp>
#include <gantry/mutex.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "host/config/config.hpp"
#include "host/trust/trust_store.hpp"

namespace gantry::host {

struct Project {
  std::string workspace;
  std::string file;
  enum State : std::uint8_t { none, in_force, waiting, wrong } state = none;
  bool trusted = false;  ///< also without a file; false for a file with errors
  std::string digest;
  std::vector<std::string> keys;     ///< in force
  std::vector<std::string> granted;  ///< of these, the keys that needed trust
  std::vector<std::string> waits;    ///< keys that wait for trust
  std::vector<std::string> errors;
  std::shared_ptr<const Config> config;  ///< the user's configuration with the keys in force; nullptr: none is in force
  [[nodiscard]] bool operator==(const Project& other) const;
};
[[nodiscard]] json to_json(const Project& project);

class Projects {
 public:
  /// Further checks of the user's configuration with this project's keys.
  using Check = std::function<ConfigResult<Config>(Config)>;

  explicit Projects(const TrustStore& trust) : trust_(trust) {}

  struct Read {
    Project project;
    bool changed;  ///< the project has changed
  };
  /// `base` returns the user's configuration.
  Read read(const std::string& workspace, const std::function<std::shared_ptr<const Config>()>& base,
            const Check& check);
  /// Forgets the project, as if it had never been read.
  void forget(const std::string& workspace);
  /// The projects that have a file.
  [[nodiscard]] std::vector<Project> list() const;
  [[nodiscard]] std::vector<std::string> trusted() const;

 private:
  [[nodiscard]] Project look(const std::string& workspace, const Config& base, const Check& check) const;

  const TrustStore& trust_;
  mutable Mutex mutex_{"projects"};
  std::uint64_t reads_ GANTRY_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::pair<std::uint64_t, Project>> projects_ GANTRY_GUARDED_BY(mutex_);
};

}  // namespace gantry::host
