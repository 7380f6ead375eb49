// SPDX-License-Identifier: Apache-2.0
//
// The C++ standard library as a peer: the groups of workloads that the files of this folder can
// run.
#pragma once

#include "tests/bench/peers/common.hpp"

std::vector<peer::Workload> channels();
std::vector<peer::Workload> locks();
std::vector<peer::Workload> reads();
