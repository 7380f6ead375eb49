// SPDX-License-Identifier: Apache-2.0
//
// eventually.hpp: what a test waits for that tells nobody of its changes (tests/waiting.hpp).
#pragma once

#include <catch2/catch.hpp>
#include <string>

#include "tests/waiting.hpp"

namespace gantry::test {

/// Polls until `condition()` holds; the test fails with `what` when that takes longer than kWaitTimeout. The test's
/// thread.
template <class F>
void eventually(const std::string& what, F&& condition) {
  if (!polled(condition)) FAIL("waited in vain for " << what);
}

}  // namespace gantry::test
