// SPDX-License-Identifier: Apache-2.0
//
// The host as the plugin sees it.
#include <gantry/plugin/message.hpp>
#include <utility>

#include "host/check/bare_host_state.hpp"
#include "host/plugins/inline/inline_plugin.hpp"
#include "host/runtime/json_text.hpp"

namespace gantry::host::check::detail {

using gantry::detail::to_bytes;
using gantry::detail::to_view;

namespace {

constexpr std::size_t kMaxDepth = 1000;
constexpr std::size_t kMaxOwnCalls = 1024;

[[nodiscard]] HostState& self(void* ctx) { return *static_cast<HostState*>(ctx); }

[[nodiscard]] const void* extension(void* ctx, const char* id) {
  static const gantry_timers timers{
      sizeof(gantry_timers), 0,
      [](void*) -> std::int64_t { return std::chrono::steady_clock::now().time_since_epoch().count(); },
      [](void* c, std::int64_t delay, void (*fn)(void*), void* arg) { return self(c).start_timer(delay, fn, arg); },
      [](void* c, std::uint64_t timer) { return self(c).cancel_timer(timer); }};
  static const gantry_origins origins{
      sizeof(gantry_origins), 0,
      [](void*, std::uint64_t origin, void* out, void (*sink)(void*, gantry_bytes)) -> std::int32_t {
        if (origin != 1) return 0;
        sink(out, to_bytes(R"({"client":"gantry plugin check","version":"1","workspace":""})"));
        return 1;
      }};
  static const gantry_descriptors descriptors{
      sizeof(gantry_descriptors), 0,
      [](void* c, const gantry_msg* msg, const std::int32_t*, std::uint32_t count) {
        return count > GANTRY_MAX_DESCRIPTORS ? static_cast<std::int32_t>(GANTRY_INVALID) : self(c).take(*msg);
      },
      [](void*, std::int32_t*, std::uint32_t) -> std::uint32_t { return 0; }};
  static const gantry_handover handover{sizeof(gantry_handover), 0,
                                        [](void*, gantry_bytes) { return static_cast<std::int32_t>(GANTRY_CLOSED); },
                                        [](void*, std::uint64_t) { return static_cast<std::int32_t>(GANTRY_CLOSED); },
                                        [](void*, void*, void (*)(void*, gantry_bytes)) -> std::int32_t { return 0; }};
  if (!self(ctx).options.extensions) return nullptr;
  const std::string_view wanted(id);
  if (wanted == GANTRY_TIMERS_EXT) return &timers;
  if (wanted == GANTRY_ORIGINS_EXT) return &origins;
  if (wanted == GANTRY_DESCRIPTORS_EXT) return &descriptors;
  if (wanted == GANTRY_HANDOVER_EXT) return &handover;
  return nullptr;
}

}  // namespace

void HostState::fill_table() {
  table.size = sizeof table;
  table.ctx = this;
  table.send = [](void* ctx, const gantry_msg* msg) { return self(ctx).take(*msg); };
  table.post = [](void* ctx, void (*fn)(void*), void* arg) { return self(ctx).post(fn, arg); };
  table.log = [](void* ctx, std::int32_t level, gantry_bytes line) { self(ctx).log(level, to_view(line)); };
  table.cancelled = [](void* ctx, std::uint64_t id) { return self(ctx).cancelled(id); };
  table.extension = &extension;
}

HostState::HostState(CaseReport& to, HostOptions how) : report(to), options(how) { fill_table(); }

void HostState::add_fault(Fault kind, std::string what) {
  if (faults.size() < BareHost::kMaxFaults)
    faults.push_back({kind, std::move(what), std::this_thread::get_id() == serial});
}

void HostState::fault(Fault kind, std::string what) {
  const Lock lock(mutex);
  add_fault(kind, std::move(what));
}

bool HostState::is_there(const char* what) {
  const Lock lock(mutex);
  if (phase == Phase::none || phase == Phase::created) {
    add_fault(Fault::too_early, std::string(what) + " was called before `start`");
    return false;
  }
  if (phase == Phase::destroyed) {
    add_fault(Fault::too_late, std::string(what) + " was called after `destroy` had returned");
    return false;
  }
  return true;
}

bool HostState::refuses() { return options.refuse_every != 0 && !generous && ++sends % options.refuse_every == 0; }

bool HostState::closed() const {
  return phase == Phase::stopped || phase == Phase::destroyed || (phase == Phase::stopping && options.closed_from_stop);
}

std::int32_t HostState::take(const gantry_msg& msg) {
  if (!is_there("send")) return GANTRY_CLOSED;
  if (msg.size < sizeof(gantry_msg)) {
    fault(Fault::malformed, "it sent a message whose size is " + std::to_string(msg.size));
    return GANTRY_INVALID;
  }
  const bool bare = msg.kind == GANTRY_CREDIT || msg.kind == GANTRY_CANCEL ||
                    (msg.kind == GANTRY_ITEM && (msg.flags & GANTRY_END) != 0);
  bool good = true;
  if (!bare) {
    std::string payload(to_view(msg.payload));
    good = msg.encoding == GANTRY_JSON && check_json(payload, kMaxDepth).has_value();
  }
  const Lock lock(mutex);
  if ((msg.id & GANTRY_OWN_CALL) != 0 && msg.kind != GANTRY_EVENT) return good ? take_own(msg) : GANTRY_INVALID;
  if (msg.kind == GANTRY_RESPONSE) return take_response(msg, good);
  if (!good) return GANTRY_INVALID;
  if (closed()) return GANTRY_CLOSED;
  if (msg.kind == GANTRY_EVENT) return refuses() ? GANTRY_FULL : GANTRY_OK;
  return take_of_call(msg);
}

std::int32_t HostState::take_response(const gantry_msg& msg, bool good) {
  if (stop_id != 0 && msg.id == stop_id) {
    if (++stop_answers > 1)
      add_fault(Fault::answered_twice, "STOP was answered " + std::to_string(stop_answers) + " times");
    if (phase == Phase::stopping) phase = Phase::stopped;
    changed.notify_all();
    return stop_answers > 1 ? GANTRY_CLOSED : GANTRY_OK;
  }
  const auto it = calls.find(msg.id);
  if (it == calls.end()) {
    add_fault(Fault::unknown_call, "it answered call " + std::to_string(msg.id) + ", which nobody has made");
    return GANTRY_CLOSED;
  }
  auto& call = it->second;
  if (call.answered) {
    add_fault(call.cancelled ? Fault::answered_late : Fault::answered_twice,
              call.method + " (call " + std::to_string(msg.id) + ") was answered again" +
                  (call.cancelled ? ", after it was cancelled" : "") +
                  (call.refused ? ", after `deliver` had returned a negative result" : ""));
    return GANTRY_CLOSED;
  }
  if (!good)
    add_fault(Fault::bad_answer, call.method + " was answered with a payload that is no valid JSON");
  else if (msg.status != 0 && !is_error_kind(msg.status))
    add_fault(Fault::bad_answer,
              call.method + " was answered with status " + std::to_string(msg.status) + ", no code of the contract");
  call.answered = true;
  call.status = msg.status;
  call.other_thread = std::this_thread::get_id() != serial;
  --unanswered;
  changed.notify_all();
  return GANTRY_OK;
}

// There is nobody else: what it calls is unavailable.
std::int32_t HostState::take_own(const gantry_msg& msg) {
  if (msg.kind != GANTRY_CALL) return own_calls.contains(msg.id) ? GANTRY_OK : GANTRY_CLOSED;
  if (closed()) return GANTRY_CLOSED;
  if (own_calls.contains(msg.id) || msg.topic.size == 0) return GANTRY_INVALID;
  if (own_calls.size() >= kMaxOwnCalls || refuses()) return GANTRY_FULL;
  own_calls.insert(msg.id);
  tasks.emplace_back([this, id = msg.id] { answer_own(id); });
  changed.notify_all();
  return GANTRY_OK;
}

std::int32_t HostState::take_of_call(const gantry_msg& msg) {
  const auto it = calls.find(msg.id);
  if (it == calls.end() || it->second.answered || it->second.cancelled) return GANTRY_CLOSED;
  if (msg.kind == GANTRY_CREDIT || msg.kind == GANTRY_PROGRESS) return GANTRY_OK;
  if (msg.kind != GANTRY_ITEM) return GANTRY_INVALID;
  if ((msg.flags & GANTRY_END) != 0) return GANTRY_OK;
  auto& call = it->second;
  if (call.credit == 0 || refuses()) return GANTRY_FULL;
  ++call.items;
  if (--call.credit == 0) changed.notify_all();
  return GANTRY_OK;
}

std::int32_t HostState::post(void (*fn)(void*), void* arg) {
  if (!is_there("post")) return GANTRY_CLOSED;
  const Lock lock(mutex);
  if (closed()) return GANTRY_CLOSED;
  if (posts >= BareHost::kMaxPosts || refuses()) return GANTRY_FULL;
  ++posts;
  tasks.emplace_back([this, fn, arg] {
    {
      const Lock inner(mutex);
      --posts;
    }
    (void)guarded("a posted task", [&] {
      fn(arg);
      return 0;
    });
  });
  changed.notify_all();
  return GANTRY_OK;
}

std::uint64_t HostState::start_timer(std::int64_t delay_ns, void (*fn)(void*), void* arg) {
  if (!is_there("the timers' start")) return 0;
  const Lock lock(mutex);
  if (closed() || timers.size() >= InlinePlugin::kMaxTimers || refuses()) return 0;
  const std::uint64_t id = next_timer++;
  const auto now = std::chrono::steady_clock::now();
  const Duration delay(std::max<std::int64_t>(delay_ns, 0));
  timers.emplace(delay > TimePoint::max() - now ? TimePoint::max() : now + delay, Timer{id, fn, arg});
  changed.notify_all();
  return id;
}

std::int32_t HostState::cancel_timer(std::uint64_t id) {
  const Lock lock(mutex);
  return std::erase_if(timers, [&](const auto& entry) { return entry.second.id == id; }) == 1 ? 1 : 0;
}

std::int32_t HostState::cancelled(std::uint64_t id) const {
  const Lock lock(mutex);
  if ((id & GANTRY_OWN_CALL) != 0) return own_calls.contains(id) ? 0 : 1;
  const auto it = calls.find(id);
  return it == calls.end() || it->second.answered || it->second.cancelled ? 1 : 0;
}

void HostState::log(std::int32_t level, std::string_view line) {
  {
    const Lock lock(mutex);
    if (phase == Phase::destroyed) {
      add_fault(Fault::too_late, "log was called after `destroy` had returned");
      return;
    }
    if (level >= GANTRY_ERROR) last_error = line.substr(0, CaseReport::kMaxLine);
  }
  report.log(line);
}

}  // namespace gantry::host::check::detail
