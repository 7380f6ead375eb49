// SPDX-License-Identifier: Apache-2.0
#include "host/check/cases.hpp"

#include <array>

#include "host/config/config.hpp"

namespace gantry::host::check {

namespace {

using std::chrono::seconds;

constexpr std::array kCases{
    Case{"exports", "gantry_entry is the only symbol that is exported", Needs::file, seconds(10), check_exports},
    Case{"unique_symbols", "no symbol exists once in a process, so that a new build can be reloaded beside the old one",
         Needs::file, seconds(10), check_unique_symbols},
    Case{"libstdcxx", "the C++ library is linked dynamically, so that exceptions can be caught across libraries",
         Needs::file, seconds(10), check_libstdcxx},
    Case{"loads", "it loads with every symbol bound at once, for this ABI, and describes itself", Needs::file,
         seconds(10), check_loads},
    Case{"manifest", "the manifest beside it is the one that is compiled into it", Needs::loaded, seconds(10),
         check_manifest},
    Case{"start", "it starts, stops and is destroyed, and asks for nothing before", Needs::loaded, seconds(90),
         check_start},
    Case{"answers_once", "each call is answered exactly once, with what the contract knows", Needs::started,
         seconds(90), check_answers_once},
    Case{"bare_host", "it works with a host that has no extension", Needs::started, seconds(90), check_bare_host},
    Case{"double_create", "two objects live side by side, and each outlives the other", Needs::started, seconds(90),
         check_double_create},
    Case{"unknown_topic", "unknown methods are refused, unknown messages do no harm", Needs::started, seconds(30),
         check_unknown_topic},
    Case{"truncated_payloads", "params that are cut off are answered", Needs::started, seconds(90), check_truncated},
    Case{"oversized_payloads", "params larger than any host lets in are answered", Needs::started, seconds(90),
         check_oversized},
    Case{"deep_payloads", "params nested deeper than any host lets in are answered", Needs::started, seconds(90),
         check_deep},
    Case{"non_utf8_payloads", "params that are no UTF-8 are answered", Needs::started, seconds(90), check_non_utf8},
    Case{"other_threads", "calls that are open together are answered rightly from the plugin's own threads",
         Needs::started, seconds(90), check_other_threads},
    Case{"cancel_before_reply", "a call that is cancelled before its answer is still answered", Needs::started,
         seconds(90), check_cancel_before_reply},
    Case{"cancel_after_reply", "what is said of a call after its answer does no harm", Needs::started, seconds(90),
         check_cancel_after_reply},
    Case{"deadline", "a call whose time is over is answered", Needs::started, seconds(90), check_deadline},
    Case{"exceptions", "no exception crosses the boundary", Needs::started, seconds(90), check_exceptions},
    Case{"stop", "it stops within its grace, idle and with calls open", Needs::started, seconds(90), check_stop},
    Case{"send_after_stop", "it lives with a host that takes nothing any more, and is silent after its end",
         Needs::started, seconds(90), check_send_after_stop},
    Case{"threads", "no thread of it survives it", Needs::started, seconds(90), check_threads},
    Case{"descriptors", "no descriptor of it survives it", Needs::started, seconds(90), check_descriptors},
    Case{"growth", "500 starts and stops leave nothing behind", Needs::started, seconds(120), check_growth},
    Case{"overload", "more calls than it can serve, and a host that is full, are outlived", Needs::started, seconds(90),
         check_overload},
    Case{"transcript", "it says the same inside the host and in a process of its own", Needs::started, seconds(120),
         check_transcript},
    Case{"fuzz", "random messages from a seed are outlived", Needs::started, seconds(90), check_fuzz},
};

}  // namespace

std::span<const Case> cases() { return kCases; }

const Case* find_case(std::string_view name) {
  for (const auto& one : kCases) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

json Subject::config(const std::string& name) const {
  const auto state = folder / name;
  std::error_code failed;  // a plugin that needs it will say so
  std::filesystem::create_directories(state, failed);
  json settings = json::object();
  if (manifest.settings_schema.is_object()) settings = Values(seed).params(manifest.settings_schema, Wish::least);
  return {{"name", manifest.id},         {"state_dir", state.string()},           {"library", library.string()},
          {"workspaces", json::array()}, {"async", async_json(default_config())}, {"settings", std::move(settings)}};
}

}  // namespace gantry::host::check
