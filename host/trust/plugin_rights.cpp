// SPDX-License-Identifier: Apache-2.0
#include "host/trust/plugin_rights.hpp"

#include <algorithm>
#include <gantry/json.hpp>
#include <utility>

#include "host/bus/topic.hpp"

namespace gantry::host {

namespace {

[[nodiscard]] bool allows(const std::vector<Grant>& grants, GrantKind kind, std::string_view name) {
  return std::any_of(grants.begin(), grants.end(),
                     [&](const Grant& grant) { return grant.kind == kind && topic_matches(grant.of, name); });
}

}  // namespace

PluginRights::PluginRights(Principal plugin, std::shared_ptr<std::atomic<std::uint64_t>> refusals, OnRefused on_refused)
    : plugin_(std::move(plugin)), on_refused_(std::move(on_refused)), refusals_(std::move(refusals)) {}

bool PluginRights::is_own(std::string_view name) const {
  const auto first = name.substr(0, name.find('.'));
  return std::find(plugin_.own.begin(), plugin_.own.end(), first) != plugin_.own.end();
}

Result<void> PluginRights::may_call(const std::string& method, std::string_view traceparent) const {
  const auto never = [&](const char* why) {
    count("call:" + method, method, traceparent);
    return fail(ErrorKind::permission_denied, "plugin " + plugin_.name + " may not call " + method + ": " + why,
                dump_json({{"grant", "call:" + method}}));
  };
  if (method.starts_with("trust.")) return never("what is trusted is for people to decide");
  if (method == kKeyMethod && !plugin_.reads_keys)
    return never("keys are for the plugin that came with the host and is given the table of models");
  if (method == kKeyMethod) return {};
  if (method.starts_with("process.")) return {};                 // the launcher asks for `processes`
  if (method == "task.run" || method == "task.stop") return {};  // of its own methods and tasks only
  if (is_own(method) || allows(plugin_.granted, GrantKind::call, method)) return {};
  return refuse("call:" + method, method, traceparent);
}

Result<void> PluginRights::may_call_back(std::string_view traceparent) const {
  if (has_grant(plugin_.granted, GrantKind::client)) return {};
  return refuse("client", "a call back to a client", traceparent);
}

std::vector<std::string> PluginRights::granted_topics(GrantKind kind, const std::vector<std::string>& patterns) const {
  std::vector<std::string> out;
  for (const auto& pattern : patterns) {
    const Grant wanted{kind, pattern};
    const auto effective = effective_grants({wanted}, plugin_.granted, {});
    if (is_own(pattern)) {
      out.push_back(pattern);
    } else if (effective.empty()) {
      count(to_string(wanted), "its manifest's topics", {});
    }
    for (const auto& grant : effective) out.push_back(grant.of);  // perhaps less than all of it
  }
  return out;
}

std::unexpected<Error> PluginRights::refuse(const std::string& missing, const std::string& wanted,
                                            std::string_view traceparent) const {
  count(missing, wanted, traceparent);
  const auto grant = parse_grant(missing);
  const bool asks = grant && !effective_grants(plugin_.asked, {*grant}, {}).empty();
  return fail(
      ErrorKind::permission_denied,
      "plugin " + plugin_.name + " lacks the grant " + missing + "; " +
          (asks ? "add it to grants in [plugins." + plugin_.name + "], which is in force from the host's next start on"
                : "its manifest does not ask for it either"),
      dump_json({{"grant", missing}}));
}

void PluginRights::count(const std::string& missing, const std::string& wanted, std::string_view traceparent) const {
  refusals_->fetch_add(1, std::memory_order_relaxed);
  {
    Lock lock(mutex_);
    if (reported_.size() >= kMaxReported || !reported_.insert(missing).second) return;
  }
  on_refused_(missing, wanted, traceparent);
}

}  // namespace gantry::host
