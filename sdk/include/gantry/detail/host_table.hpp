// SPDX-License-Identifier: Apache-2.0
//
// gantry/detail/host_table.hpp: the host's side of gantry/abi.h, made of the functions of a class:
// the tables of C functions are written once for the host itself (host/plugins/inline), for tests
// (gantry/testing.hpp) and for `gantry plugin check`.
//
// Thread rule: the plugin calls the functions of `Side` from any thread.
#pragma once

#include <gantry/abi.h>

#include <chrono>
#include <cstdint>
#include <gantry/deadline.hpp>
#include <gantry/descriptor.hpp>
#include <gantry/plugin/message.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace gantry::detail {

/// Calls the private functions of `Side`, whose friend it is:
///   std::int32_t on_send(const gantry_msg&, Descriptors)            enum gantry_sent
///   std::int32_t on_post(void (*)(void*), void*)                    enum gantry_sent
///   void on_log(std::int32_t level, std::string_view)
///   bool on_cancelled(std::uint64_t id)
///   bool has_extensions()
///   TimePoint on_now()
///   std::uint64_t on_timer_start(Duration, void (*)(void*), void*)  0: refused
///   bool on_timer_cancel(std::uint64_t id)
///   std::optional<std::string> on_describe(std::uint64_t origin)
///   Descriptors on_take_descriptors()                               of the message that is being delivered; serial
///   std::int32_t on_give_state(std::string_view)                    enum gantry_sent
///   std::int32_t on_give_stream(std::uint64_t id)                   enum gantry_sent
///   std::optional<std::string> on_take_state()
template <class Side>
struct HostTable {
  [[nodiscard]] static gantry_host of(Side& side) {
    gantry_host table{};
    table.size = sizeof table;
    table.ctx = &side;
    table.send = [](void* ctx, const gantry_msg* msg) { return self(ctx).on_send(*msg, {}); };
    table.post = [](void* ctx, void (*fn)(void*), void* arg) { return self(ctx).on_post(fn, arg); };
    table.log = [](void* ctx, std::int32_t level, gantry_bytes line) { self(ctx).on_log(level, to_view(line)); };
    table.cancelled = [](void* ctx, std::uint64_t id) { return self(ctx).on_cancelled(id) ? 1 : 0; };
    table.extension = [](void* ctx, const char* id) -> const void* {
      const std::string_view wanted(id);
      if (!self(ctx).has_extensions()) return nullptr;
      if (wanted == GANTRY_TIMERS_EXT) return timers();
      if (wanted == GANTRY_ORIGINS_EXT) return origins();
      if (wanted == GANTRY_DESCRIPTORS_EXT) return descriptors();
      if (wanted == GANTRY_HANDOVER_EXT) return handover();
      return nullptr;
    };
    return table;
  }

 private:
  [[nodiscard]] static Side& self(void* ctx) { return *static_cast<Side*>(ctx); }

  /// Passes `text` to `sink`; returns 1, or 0 where there is none.
  [[nodiscard]] static std::int32_t pass(const std::optional<std::string>& text, void* out,
                                         void (*sink)(void*, gantry_bytes)) {
    if (text) sink(out, to_bytes(*text));
    return text ? 1 : 0;
  }
  [[nodiscard]] static std::int32_t send(Side& side, const gantry_msg& msg, std::span<const std::int32_t> fds) {
    if ((msg.kind != GANTRY_CALL && msg.kind != GANTRY_RESPONSE) || fds.size() > GANTRY_MAX_DESCRIPTORS)
      return GANTRY_INVALID;
    Descriptors copies;
    for (const auto fd : fds) {
      auto copy = Descriptor::duplicate(fd);
      if (!copy) return copy.error().kind == ErrorKind::overloaded ? GANTRY_FULL : GANTRY_INVALID;
      copies.push_back(std::move(*copy));
    }
    return side.on_send(msg, std::move(copies));
  }

  [[nodiscard]] static const gantry_timers* timers() {
    static const gantry_timers table{
        sizeof(gantry_timers), 0,
        [](void* ctx) -> std::int64_t { return self(ctx).on_now().time_since_epoch().count(); },
        [](void* ctx, std::int64_t delay, void (*fn)(void*), void* arg) -> std::uint64_t {
          return self(ctx).on_timer_start(Duration(delay), fn, arg);
        },
        [](void* ctx, std::uint64_t id) -> std::int32_t { return self(ctx).on_timer_cancel(id) ? 1 : 0; }};
    return &table;
  }
  [[nodiscard]] static const gantry_origins* origins() {
    static const gantry_origins table{
        sizeof(gantry_origins), 0,
        [](void* ctx, std::uint64_t origin, void* out, void (*sink)(void*, gantry_bytes)) -> std::int32_t {
          return pass(self(ctx).on_describe(origin), out, sink);
        }};
    return &table;
  }
  [[nodiscard]] static const gantry_descriptors* descriptors() {
    static const gantry_descriptors table{
        sizeof(gantry_descriptors), 0,
        [](void* ctx, const gantry_msg* msg, const std::int32_t* fds, std::uint32_t count) -> std::int32_t {
          return send(self(ctx), *msg, std::span(fds, count));
        },
        [](void* ctx, std::int32_t* fds, std::uint32_t max) -> std::uint32_t {
          Descriptors came = self(ctx).on_take_descriptors();
          std::uint32_t count = 0;
          for (auto& fd : came) {
            if (count < max) fds[count++] = fd.release();
          }
          return count;
        }};
    return &table;
  }
  [[nodiscard]] static const gantry_handover* handover() {
    static const gantry_handover table{
        sizeof(gantry_handover), 0,
        [](void* ctx, gantry_bytes state) -> std::int32_t { return self(ctx).on_give_state(to_view(state)); },
        [](void* ctx, std::uint64_t id) -> std::int32_t { return self(ctx).on_give_stream(id); },
        [](void* ctx, void* out, void (*sink)(void*, gantry_bytes)) -> std::int32_t {
          return pass(self(ctx).on_take_state(), out, sink);
        }};
    return &table;
  }
};

}  // namespace gantry::detail
