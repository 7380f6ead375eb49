// SPDX-License-Identifier: Apache-2.0
//
// host/trust/projects.hpp: the `.gantry.toml` of each workspace, and what of it is in force there.
//
// It is read when the workspace is opened, by config.reload, and when its folder is trusted or not
// any more; who edits it reloads. An error in it stops nothing: all of that file is left out, and
// said to be.
//
// Thread rule: any thread; read() asks the file system. Of two reads at once the one that began later counts.
// Bounds: one for each workspace; the file's are in host/trust/project.hpp.
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
  bool trusted = false;  ///< also without a file; not with one that is wrong
  std::string digest;
  std::vector<std::string> keys;     ///< in force
  std::vector<std::string> granted;  ///< of these, those that had to be trusted
  std::vector<std::string> waits;    ///< for trust
  std::vector<std::string> errors;
  std::shared_ptr<const Config> config;  ///< the user's with what is in force; none: nothing is
  [[nodiscard]] bool operator==(const Project& other) const;
};
[[nodiscard]] json to_json(const Project& project);

class Projects {
 public:
  /// The user's configuration with this project's, and what else has to be right about it.
  using Check = std::function<ConfigResult<Config>(Config)>;

  explicit Projects(const TrustStore& trust) : trust_(trust) {}

  struct Read {
    Project project;
    bool changed;  ///< it is not as it was
  };
  /// `base` is asked for the user's configuration.
  Read read(const std::string& workspace, const std::function<std::shared_ptr<const Config>()>& base,
            const Check& check);
  /// As if it had never been read.
  void forget(const std::string& workspace);
  /// Those that have a file.
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
