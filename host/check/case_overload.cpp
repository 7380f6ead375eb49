// SPDX-License-Identifier: Apache-2.0
//
// As many calls as a host lets a plugin have open, at once, while the host takes only part of what
// the plugin sends. Then the callers give up, one half of them before their turn has come.
#include <gantry/plugin/message.hpp>

#include "host/check/drive.hpp"
#include "host/plugins/plugin.hpp"

namespace gantry::host::check {

Outcome check_overload(Subject& s) {
  constexpr std::size_t kCalls = Plugin::kMaxOpenCalls;
  constexpr unsigned kRefuseEvery = 3;
  constexpr auto kStorm = std::chrono::seconds(3);
  if (s.manifest.methods.empty()) return Outcome::skipped("it has no method");
  return with_plugin(s, {.skip_cancelled = true, .refuse_every = kRefuseEvery}, [&](Drive& drive) {
    auto& host = drive.host();
    host.be_quiet();
    auto method = s.manifest.methods.begin();
    for (std::size_t i = 0; i < kCalls; ++i) {
      const auto& [name, about] = *method;
      const std::string params = dump_json(drive.values().params(about.params, i < 64 ? Wish::some : Wish::least));
      if (about.stream && i % 2 == 0) {
        (void)drive.open_stream(name, params, static_cast<std::uint32_t>(i % 5));
      } else {
        (void)drive.call(name, params);
      }
      if (++method == s.manifest.methods.end()) method = s.manifest.methods.begin();
    }
    (void)host.wait_for_all(kStorm);
    host.be_generous();
    const std::size_t waiting = host.open().size();
    drive.end_calls();
    auto outcome =
        drive.judge(counted(kCalls, s.manifest.methods.size()) + " at once, " + std::to_string(kCalls - waiting) +
                        " answered within 3 s, the rest when they were cancelled",
                    {}, {Fault::answered_twice, Fault::answered_late});
    if (is_failure(outcome.status)) return outcome;
    // It is as it was before.
    const auto& [name, about] = *s.manifest.methods.begin();
    const auto after = drive.call(name, dump_json(drive.values().params(about.params, Wish::least)));
    (void)drive.finish(after);
    drive.end_calls();
    return host.seen(after).answered ? outcome : drive.judge("");
  });
}

}  // namespace gantry::host::check
