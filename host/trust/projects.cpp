// SPDX-License-Identifier: Apache-2.0
#include "host/trust/projects.hpp"

#include <tuple>

#include "host/trust/project.hpp"

namespace gantry::host {

bool Project::operator==(const Project& other) const {
  const auto all = [](const Project& p) {
    return std::tie(p.workspace, p.file, p.state, p.trusted, p.digest, p.keys, p.granted, p.waits, p.errors);
  };
  return all(*this) == all(other);
}

json to_json(const Project& project) {
  constexpr std::array<const char*, 4> kStates{"none", "in_force", "waiting", "wrong"};
  json out{{"workspace", project.workspace},
           {"file", project.file},
           {"state", kStates.at(project.state)},
           {"trusted", project.trusted}};
  if (!project.keys.empty()) out["keys"] = project.keys;
  if (!project.waits.empty()) out["waiting"] = project.waits;
  if (!project.errors.empty()) out["errors"] = project.errors;
  return out;
}

Project Projects::look(const std::string& workspace, const Config& base, const Check& check) const {
  Project out;
  out.workspace = workspace;
  out.file = (std::filesystem::path(workspace) / kProjectFile).string();
  const auto wrong = [&out](std::vector<std::string> errors) {
    out.state = Project::wrong;
    out.trusted = false;
    out.errors = std::move(errors);
    return out;
  };
  const auto file = read_project_file(workspace);
  if (!file) return wrong({file.error().message});
  if (!*file) {
    out.trusted = trust_.digest_of(workspace) == TrustStore::kNoFile;
    return out;
  }
  out.digest = (*file)->digest;
  // What is parsed is what the digest is of: a file that is replaced meanwhile is another one.
  out.trusted = trust_.digest_of(workspace) == out.digest;
  auto project = project_config(**file, base, out.trusted);
  auto config = project ? check(std::move(project->config)) : std::unexpected(project.error());
  if (!config) {
    std::vector<std::string> errors;
    for (const auto& error : config.error()) errors.push_back(to_string(error));
    return wrong(std::move(errors));
  }
  for (auto& key : project->keys) {
    if (!key.safe && out.trusted) out.granted.push_back(key.key);
    (key.safe || out.trusted ? out.keys : out.waits).push_back(std::move(key.key));
  }
  out.state = out.waits.empty() ? Project::in_force : Project::waiting;
  if (!out.keys.empty()) out.config = std::make_shared<const Config>(std::move(*config));
  return out;
}

Projects::Read Projects::read(const std::string& workspace, const std::function<std::shared_ptr<const Config>()>& base,
                              const Check& check) {
  std::uint64_t number = 0;
  {
    const Lock lock(mutex_);
    number = ++reads_;
  }
  const auto users = base();
  Project project = look(workspace, *users, check);
  Project last;  // dies outside the lock
  const Lock lock(mutex_);
  auto& [newest, kept] = projects_[workspace];
  if (newest > number) return {kept, false};
  newest = number;
  last = std::exchange(kept, project);
  const bool changed = last.workspace.empty() ? project.state != Project::none : !(last == project);
  return {std::move(project), changed};
}

void Projects::forget(const std::string& workspace) {
  const Lock lock(mutex_);
  projects_.erase(workspace);
}

std::vector<Project> Projects::list() const {
  std::vector<Project> out;
  const Lock lock(mutex_);
  for (const auto& [workspace, entry] : projects_) {
    if (entry.second.state != Project::none) out.push_back(entry.second);
  }
  return out;
}

std::vector<std::string> Projects::trusted() const {
  std::vector<std::string> out;
  const Lock lock(mutex_);
  for (const auto& [workspace, entry] : projects_) {
    if (entry.second.trusted) out.push_back(workspace);
  }
  return out;
}

}  // namespace gantry::host
