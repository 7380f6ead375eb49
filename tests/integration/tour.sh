#!/usr/bin/env bash
# tour.sh BUILD_DIR: the commands that `./dev run` prints, taken from what it prints, do what they say.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
box=$(mktemp -d)
finish() {
  [ -z "${gantry:-}" ] || "$gantry" stop 2>/dev/null || true
  kill -9 "$host" 2>/dev/null || true
  rm -rf "$box"
}
trap finish EXIT
fail() {
  printf 'FAILED: %s\n%s\n' "$1" "${2:-}"
  exit 1
}
printf '[async]\nlsp_request_timeout_seconds = 240\n' >"$box/gantry.toml"  # a loaded machine
export GANTRY_CONFIG="$box/gantry.toml"
GANTRY_BUILD=$1 GANTRY_RUN_DIR="$box/run" tools/run_here.sh >"$box/out" 2>"$box/err" &
host=$!
shown() {
  grep -m1 -q -- "$1" < <(timeout 240 tail -n +1 -f --pid="$host" "$box/out") ||
    fail "it did not show: $1" "$(cat "$box/out" "$box/err")"
}
printed() { grep -m1 -E -- "^  $1" "$box/out" || fail "it did not print: $1"; }
run() {
  local command
  command=$(printed "$1")
  out=$(eval "$command") || fail "$command" "$out"
  grep -q -- "$2" <<<"$out" || fail "$command: no $2 in it" "$out"
}

shown '^plugins'
for what in '^socket ' '^configuration ' 'max_concurrent_lsp_requests = 8  # default' '^  project_state .*known'; do shown "$what"; done
eval "$(printed 'export ')"
eval "$(printed 'gantry=')"
run '\$gantry status' 'serves '
run '\$gantry call lsp.request' 'deadline_for'
run '\$gantry call lsp.diagnostics' '"freshness":"fresh"'
shown 'learning .* tokens, done'
run '\$gantry call ai.complete' 'return std::unexpected'
run '\$gantry call state.session.create' '"name":"tour"'
eval "$(printed 'kill -9')"
wait "$host" || true
run '\$gantry call state.session.list' '"name":"tour"'
run '\$gantry call rpc.discover' '"openrpc"'
echo 'as printed'
