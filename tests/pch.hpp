// SPDX-License-Identifier: Apache-2.0
// The precompiled header of the tests that need no host (cmake/pch.cmake).
#pragma once
#include <catch2/catch.hpp>
#include <gantry/testing.hpp>

#include "cmake/pch.hpp"
#include "tests/printers.hpp"
