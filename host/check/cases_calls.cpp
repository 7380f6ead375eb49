// SPDX-License-Identifier: Apache-2.0
//
// Calls: each is answered once, whatever becomes of it.
#include <algorithm>
#include <thread>

#include "host/check/drive.hpp"

namespace gantry::host::check {

Outcome check_answers_once(Subject& s) {
  constexpr auto kLonger = 5 * kTimeout;
  return with_plugin(s, {}, [&](Drive& drive) {
    std::size_t calls = 0;
    for (const auto& [name, method] : s.manifest.methods) {
      bool prompt = true;
      for (const Wish wish : {Wish::least, Wish::some, Wish::some, Wish::some}) {
        if (!prompt) break;  // it will take as long again
        ++calls;
        const auto id = drive.call(name, dump_json(drive.values().params(method.params, wish)));
        (void)drive.finish(id, kLonger);
        prompt = !drive.host().seen(id).cancelled;
      }
      if (!method.stream) continue;
      for (const std::uint32_t credit : {0U, 1U, 64U}) {
        ++calls;
        (void)drive.finish(
            drive.open_stream(name, dump_json(drive.values().params(method.params, Wish::some)), credit));
      }
    }
    drive.end_calls();
    return drive.judge(counted(calls, s.manifest.methods.size()),
                       {Fault::answered_twice, Fault::unknown_call, Fault::bad_answer}, {Fault::answered_late});
  });
}

Outcome check_other_threads(Subject& s) {
  constexpr int kTogether = 8;
  return with_plugin(s, {}, [&](Drive& drive) {
    for (const auto& [name, method] : s.manifest.methods) {
      std::vector<std::uint64_t> open;
      for (int i = 0; i < kTogether; ++i)
        open.push_back(drive.call(name, dump_json(drive.values().params(method.params, Wish::some))));
      for (const auto id : open) {
        (void)drive.finish(id);
        if (drive.host().seen(id).cancelled) break;  // the others will take as long
      }
      for (const auto id : open) {
        if (!drive.host().seen(id).cancelled) drive.cancel(id);
      }
    }
    drive.end_calls();
    for (const auto& seen : drive.host().faults()) {
      if (seen.serial || (seen.fault != Fault::answered_twice && seen.fault != Fault::unknown_call)) continue;
      return Outcome::failed("a thread of the plugin's answers the call that it was given, once", seen.what,
                             "let each piece of work own its call: its id, and that it is not answered yet");
    }
    Outcome outcome = drive.judge("");
    if (outcome.status != Status::passed) return outcome;
    const auto all = drive.host().all();
    const auto others = std::count_if(all.begin(), all.end(), [](const auto& call) { return call.other_thread; });
    if (others == 0) return Outcome::skipped("it answers on its strand only");
    return Outcome::passed(std::to_string(others) + " of " + std::to_string(all.size()) + " answers came from others");
  });
}

Outcome check_cancel_before_reply(Subject& s) {
  constexpr int kTimes = 3;
  return with_plugin(s, {}, [&](Drive& drive) {
    std::size_t calls = 0;
    for (const auto& [name, method] : s.manifest.methods) {
      for (int i = 0; i < kTimes; ++i) {
        const std::string params = dump_json(drive.values().params(method.params, Wish::some));
        const auto id = method.stream && i == 0 ? drive.open_stream(name, params, 0) : drive.call(name, params);
        drive.cancel(id);
        ++calls;
      }
    }
    drive.end_calls();
    return drive.judge(counted(calls, s.manifest.methods.size()), {}, {Fault::answered_twice, Fault::answered_late});
  });
}

Outcome check_cancel_after_reply(Subject& s) {
  return with_plugin(s, {}, [&](Drive& drive) {
    std::size_t calls = 0;
    for (const auto& [name, method] : s.manifest.methods) {
      const std::string params = dump_json(drive.values().params(method.params, Wish::least));
      const auto id = method.stream ? drive.open_stream(name, params, 8) : drive.call(name, params);
      ++calls;
      if (!drive.finish(id)) continue;
      // They have crossed the answer on their way.
      drive.host().say({.kind = GANTRY_CREDIT, .id = id, .credit = 1});
      drive.host().say({.kind = GANTRY_ITEM, .id = id, .payload = "1"});
      drive.host().say({.kind = GANTRY_ITEM, .id = id, .flags = GANTRY_END});
      drive.cancel(id);
      drive.cancel(id);
      (void)drive.finish(drive.call(name, params));  // it still answers
      ++calls;
    }
    drive.end_calls();
    return drive.judge(counted(calls, s.manifest.methods.size()), {Fault::unknown_call},
                       {Fault::answered_twice, Fault::answered_late});
  });
}

Outcome check_deadline(Subject& s) {
  constexpr std::int64_t kShort = 2'000'000;
  return with_plugin(s, {}, [&](Drive& drive) {
    std::size_t calls = 0;
    for (const auto& [name, method] : s.manifest.methods) {
      for (const std::int64_t budget : {std::int64_t{0}, kShort}) {
        const auto id = drive.call(name, dump_json(drive.values().params(method.params, Wish::least)), budget);
        ++calls;
        // A host answers its caller with `timeout` and cancels the call.
        if (!drive.host().wait_for(id, Duration(kShort))) drive.cancel(id);
        (void)drive.host().wait_for(id, kTimeout);
      }
    }
    drive.end_calls();
    return drive.judge(counted(calls, s.manifest.methods.size()) + " with 0 and 2 ms left", {},
                       {Fault::answered_twice, Fault::answered_late});
  });
}

Outcome check_exceptions(Subject& s) {
  constexpr int kTimes = 6;
  return with_plugin(s, {}, [&](Drive& drive) {
    std::size_t calls = 0;
    for (const auto& [name, method] : s.manifest.methods) {
      for (int i = 0; i < kTimes; ++i) {
        ++calls;
        const auto id = drive.call(name, dump_json(drive.values().unfitting_params(method.params)));
        (void)drive.finish(id);
        if (drive.host().seen(id).cancelled) break;
      }
    }
    for (const auto& topic : s.manifest.subscribes)
      drive.host().say({.kind = GANTRY_EVENT, .id = 1, .topic = topic, .payload = R"({"unexpected":[null]})"});
    drive.host().say(
        {.kind = GANTRY_EVENT, .topic = "host.plugin.config", .payload = R"({"settings":[1]})", .origin = 0});
    drive.host().say({.kind = GANTRY_GONE, .origin = 1});
    drive.end_calls();
    return drive.judge(counted(calls, s.manifest.methods.size()) +
                       " with params that do not fit, events, a new "
                       "configuration");
  });
}

}  // namespace gantry::host::check
