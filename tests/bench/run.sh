#!/usr/bin/env bash
# `./dev bench [FILTER...] [--json FILE] [--quick]`, after the release build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cmake --build build/release --target bench -- --quiet
exec build/release/bench/gantry-bench "$PWD/build/release" "$@"
