// SPDX-License-Identifier: Apache-2.0
//
// printers.hpp: how Catch2 shows values of the sdk in a failed REQUIRE. Part of each precompiled header of the tests.
#pragma once

#include <catch2/catch.hpp>
#include <gantry/result.hpp>
#include <string>
#include <type_traits>

namespace Catch {

template <>
struct StringMaker<gantry::ErrorKind> {
  static std::string convert(gantry::ErrorKind kind) { return std::string(gantry::kind_name(kind)); }
};

template <>
struct StringMaker<gantry::Error> {
  static std::string convert(const gantry::Error& error) {
    return std::string(gantry::kind_name(error.kind)) + ": " + error.message;
  }
};

template <class T>
struct StringMaker<gantry::Result<T>> {
  static std::string convert(const gantry::Result<T>& result) {
    if (!result) return "failed, " + Detail::stringify(result.error());
    if constexpr (std::is_void_v<T>) {
      return "done";
    } else {
      return Detail::stringify(*result);
    }
  }
};

}  // namespace Catch
