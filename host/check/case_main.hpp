// SPDX-License-Identifier: Apache-2.0
//
// host/check/case_main.hpp: the hidden `gantry plugin-check-case`, the process of one case.
//
// Its last argument is JSON {"case", "library", "folder", "seed", "leave_out"}; it tells what it does on descriptor 3
// (case_report.hpp), and ends with the process that has started it.
#pragma once

namespace gantry::host::check {

/// The exit code: 0 when an outcome was told.
int case_main(const char* plan);

}  // namespace gantry::host::check
