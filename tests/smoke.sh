#!/usr/bin/env bash
# smoke.sh BUILD_DIR: what is installed works, wherever its folder was moved to. Installs BUILD_DIR, starts the installed
# host, calls a method of each plugin that comes with it, and one of a plugin that is begun and built with the installed
# sdk, and stops the host.
set -euo pipefail
build=$(realpath "$1")
box=$(mktemp -d)
host=
finish() {
  [ -z "$host" ] || kill -9 "$host" 2>/dev/null || true
  rm -rf "$box"
}
trap finish EXIT
fail() {
  printf 'FAILED: %s\n' "$@"
  exit 1
}

cmake --install "$build" --prefix "$box/first" >/dev/null
mv "$box/first" "$box/prefix"
# Nothing of the user's, and nothing of the checkout.
for name in $(compgen -e | grep -E '^(GANTRY|XDG)_'); do unset "$name"; done
export HOME="$box/home" GANTRY_SOCKET="$box/run/host.sock" PATH="$box/prefix/bin:$PATH"
mkdir "$box/home"
cd "$box"

# With the check of the plugin, and with its tests.
gantry plugin new smoke --dir project >/dev/null
cmake -S project --preset clang >/dev/null
cmake --build project/build/clang >built 2>&1 || fail 'the new plugin is not built' "$(cat built)"
ctest --test-dir project/build/clang >tested 2>&1 || fail 'the new plugin fails its tests' "$(cat tested)"

mkfifo ready
gantry serve --config project/build/clang/gantry.toml --workspace "$box/project" --ready-fd 3 3>ready >out 2>err &
host=$!
[ "$(timeout 60 head -c 1 ready)" = 1 ] || fail 'the host does not start' "$(cat out err)"
says() {  # PATTERN WORDS...: `gantry call WORDS` answers with the pattern
  local pattern=$1 answer
  shift
  answer=$(timeout 60 gantry call --no-start "$@" 2>&1) || fail "gantry call $*" "$answer" "$(cat err)"
  grep -qE -- "$pattern" <<<"$answer" || fail "gantry call $*: no $pattern in it" "$answer"
}
uri="file://$box/project/src/smoke.cpp"
says '"version": ?"'"$(gantry --version | cut -d' ' -f2)" host.status
says '"ready": ?true' ai.complete language=cpp prefix='#include <gantry/'
# The name of the plugin's class, where it is defined.
at=$(awk 'match($0, /^class /) { printf "{\"position\":{\"line\":%d,\"character\":7}}", NR - 1; exit }' project/src/smoke.cpp)
says '"contents"' lsp.request uri="$uri" method=textDocument/hover params:="$at"
says '"smoke"' state.session.create name=smoke
says '"smoke"' state.session.list
says 'Hello, Ada!' smoke.greet who=Ada
states=$(gantry plugin list)
for plugin in ai lsp project_state smoke; do
  grep -qE "^ *$plugin +[0-9.]+ +ready" <<<"$states" || fail "$plugin is not ready" "$states"
done
gantry stop >/dev/null
timeout 60 tail --pid="$host" -f /dev/null || fail 'the host does not stop'
code=0
wait "$host" || code=$?
host=
[ "$code" -eq 0 ] || fail "the host ended with $code" "$(cat out err)"
[ ! -e "$GANTRY_SOCKET" ] || fail 'the host left its socket'
echo 'what is installed works'
