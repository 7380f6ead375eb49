#!/usr/bin/env bash
# `./dev bench [FILTER...] [--json FILE] [--markdown FILE] [--quick]`, after the release build.
# docs/performance.md says what was measured; its tables, in docs/performance-tables.md, come from --markdown.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cmake --build build/release --target bench -- --quiet
tests/bench/peers/build.sh build/release/bench
exec build/release/bench/gantry-bench "$PWD/build/release" "$@"
