// SPDX-License-Identifier: Apache-2.0
// The precompiled header of the tests with a whole host in them (cmake/pch.cmake).
#pragma once
#include "tests/pch.hpp"
#include "tests/unit/support/host.hpp"
