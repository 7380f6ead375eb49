#!/usr/bin/env bash
# `./dev run`: serves this checkout on a socket of its own and says what to try. Called by ./dev, after the build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
here=$PWD
build="${GANTRY_BUILD:-build/release}"
run="${GANTRY_RUN_DIR:-$here/build/run}"
mkdir -p "$run"
chmod 700 "$run"
export GANTRY_SOCKET="${GANTRY_SOCKET:-$run/host.sock}"
export GANTRY_STATE_DIR="${GANTRY_STATE_DIR:-$run/state}"

# A place in this repository's own code to hover over: the name of a function that is called there.
file=host/router/router.cpp
line=$(grep -n ' = deadline_for(' "$file" | head -1 | cut -d: -f1)
column=$(sed -n "${line}p" "$file" | awk '{print index($0, "deadline_for") - 1}')
uri="file://$here/$file"

cat <<TXT

In a second terminal, from this folder:

  export GANTRY_SOCKET=$GANTRY_SOCKET GANTRY_STATE_DIR=$GANTRY_STATE_DIR
  gantry=$build/gantry

  # how it is
  \$gantry status

  # a hover and the diagnostics of a real file of this repository, from clangd
  \$gantry call lsp.request uri=$uri method=textDocument/hover params:='{"textDocument":{"uri":"$uri"},"position":{"line":$((line - 1)),"character":$column}}'
  \$gantry call lsp.diagnostics uri=$uri wait_ms:=20000

  # a completion from the embedded model, learned from this repository
  \$gantry call ai.complete path=$here/$file language=cpp prefix='  if (auto ok = p.done(); '

  # a session that survives anything: create it, kill the host, start it again (./dev run), list the sessions
  \$gantry call state.session.create name=tour
  kill -9 \$(\$gantry call host.status | grep -o '"pid":[ 0-9]*' | grep -o '[0-9]*')
  \$gantry call state.session.list

  # everything that happens; everything that can be called
  \$gantry events
  \$gantry call rpc.discover

TXT
exec "$build/gantry" serve --workspace "$here"
