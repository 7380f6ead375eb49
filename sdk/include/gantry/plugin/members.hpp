// SPDX-License-Identifier: Apache-2.0
//
// gantry/plugin/members.hpp: compile-time checks that the host can call the members of a plugin's
// class that are meant for it.
#pragma once

#include <gantry/plugin/host.hpp>

#include <string_view>
#include <type_traits>

namespace gantry::detail {

/// A member that is meant for the host but has the wrong signature would silently never be called:
/// it is refused here. `start` and `reconfigure` are recognised by their PluginConfig, `stop` by
/// having no parameter, `event` by its text.
template <class F>
struct Parameters {
  static constexpr bool config_first = false, none = false, text_first_of_two = false;
};
template <class R, class First, class... Rest>
struct Parameters<R(First, Rest...)> {
  static constexpr bool config_first = std::is_same_v<std::remove_cvref_t<First>, PluginConfig>;
  static constexpr bool none = false;
  static constexpr bool text_first_of_two = sizeof...(Rest) == 1 && std::is_constructible_v<First, std::string_view>;
};
template <class R>
struct Parameters<R()> {
  static constexpr bool config_first = false, none = true, text_first_of_two = false;
};
template <class F>
struct ParametersOf : Parameters<void(int)> {};
template <class T, class R, class... A, bool N>
struct ParametersOf<R (T::*)(A...) noexcept(N)> : Parameters<R(A...)> {};
template <class T, class R, class... A, bool N>
struct ParametersOf<R (T::*)(A...) const noexcept(N)> : Parameters<R(A...)> {};

template <class T, class Settings>
[[nodiscard]] constexpr bool takes_new_config() {
  if constexpr (!std::is_void_v<Settings>) {
    return requires(T& t, const PluginConfig& c, const Settings& s) { t.reconfigure(c, s); };
  } else {
    return requires(T& t, const PluginConfig& c) { t.reconfigure(c); };
  }
}

/// `Settings`: the type that T::start takes; void: none.
template <class T, class Settings>
constexpr void check_members() {
  if constexpr (requires { &T::start; })
    static_assert(
        !ParametersOf<decltype(&T::start)>::config_first || !std::is_void_v<Settings> ||
            requires(T& t, const PluginConfig& c) { t.start(c); },
        "start is: Result<void> start(const gantry::PluginConfig&), or with const SETTINGS& behind it");
  if constexpr (requires { &T::reconfigure; })
    static_assert(!ParametersOf<decltype(&T::reconfigure)>::config_first || takes_new_config<T, Settings>(),
                  "reconfigure is: void reconfigure(const gantry::PluginConfig&), or, where start takes settings, "
                  "with const SETTINGS& behind it");
  if constexpr (requires { &T::stop; })
    static_assert(!ParametersOf<decltype(&T::stop)>::none, "stop is: void stop(gantry::Stopping)");
  if constexpr (requires { &T::event; })
    static_assert(
        !ParametersOf<decltype(&T::event)>::text_first_of_two || requires(T& t, std::string_view topic, const json& p) {
          t.event(topic, p);
        }, "event is: void event(std::string_view topic, const gantry::json& payload)");
}

}  // namespace gantry::detail
