// SPDX-License-Identifier: Apache-2.0
//
// host/check/case_main.hpp: the hidden `gantry plugin-check-case`, the process of one case.
//
// Its last argument is JSON {"case", "library", "folder", "seed", "leave_out"}; it reports its
// progress on descriptor 3 (case_report.hpp), and ends with the process that has started it.
#pragma once

namespace gantry::host::check {

/// Returns the exit code: 0 when an outcome was reported.
int case_main(const char* plan);

}  // namespace gantry::host::check
