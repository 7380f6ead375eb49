#!/usr/bin/env bash
# build.sh OUT_DIR: the peers whose toolchain and library are there, as OUT_DIR/peer-NAME (the echo
# servers: OUT_DIR/echo-NAME, clients of their own: OUT_DIR/load-NAME, MCP servers: OUT_DIR/mcp-NAME);
# "missing: NAME (why)" for the others, which is no failure. What is newer than its sources is left as it is.
set -uo pipefail
mkdir -p "$1"
out="$(cd "$1" && pwd)"
cd "$(dirname "${BASH_SOURCE[0]}")"

# binary NAME: the file it is built as.
binary() { case "$1" in echo-* | load-* | mcp-*) echo "$out/$1" ;; *) echo "$out/peer-$1" ;; esac; }

# fresh NAME SOURCES...: is its file newer than its sources and this script?
fresh() {
  local binary
  binary="$(binary "$1")"
  shift
  [ -x "$binary" ] && [ -z "$(find "$@" build.sh -type f -newer "$binary" -print -quit)" ]
}

missing() {
  rm -f "$(binary "$1")"
  echo "missing: $1 ($2)"
}

# why FILE: the first error in a compiler's words.
why() { grep -m 1 -E 'error|cannot|not found' "$1" | sed 's/^.*error: //' | head -c 160; }

# cxx NAME "SOURCES" "DEPENDS" FLAGS...
cxx() {
  local name="$1" sources="$2" depends="$3"
  shift 3
  # shellcheck disable=SC2086
  fresh "$name" $sources $depends common.hpp && return
  command -v clang++-19 >/dev/null || { missing "$name" "no clang++-19"; return; }
  # shellcheck disable=SC2086
  if clang++-19 -O3 -DNDEBUG -std=c++23 -Wall -Wextra -pthread -I../../.. $sources "$@" -o "$out/new-$name" 2>"$out/log-$name"; then
    mv "$out/new-$name" "$(binary "$name")"
  else
    missing "$name" "$(why "$out/log-$name")"
  fi
}

# rust NAME: offline, with the crates that Debian packages.
rust() {
  local name="$1" crates=/usr/share/cargo/registry once_lock=""
  fresh "$name" "rust/$name" rust/common && return
  command -v cargo >/dev/null || { missing "$name" "no cargo"; return; }
  [ -d "$crates" ] || { missing "$name" "no crates in $crates"; return; }
  [ "$(rustc --version | sed -E 's/^rustc 1\.([0-9]+).*/\1/')" -ge 70 ] && once_lock="--cfg once_lock"
  rm -rf "$out/rust-sources"
  cp -r rust "$out/rust-sources"  # cargo writes its lock file beside the sources
  if (cd "$out/rust-sources/$name" &&
    RUSTFLAGS="$once_lock" CARGO_TARGET_DIR="$out/rust" cargo build --quiet --release --offline \
      --config 'source.crates-io.replace-with="debian"' --config "source.debian.directory=\"$crates\"") 2>"$out/log-$name"; then
    cp "$out/rust/release/$(basename "$(binary "$name")")" "$out/new-$name" && mv "$out/new-$name" "$(binary "$name")"
  else
    missing "$name" "$(why "$out/log-$name")"
  fi
}

# go_peer NAME FOLDER
go_peer() {
  local name="$1" folder="$2"
  fresh "$name" "$folder" && return
  command -v go >/dev/null || { missing "$name" "no go"; return; }
  if (cd "$folder" && GO111MODULE=off GOCACHE="$out/go-cache" go build -o "$out/new-$name" .) 2>"$out/log-$name"; then
    mv "$out/new-$name" "$(binary "$name")"
  else
    missing "$name" "$(why "$out/log-$name")"
  fi
}

node_peer() {
  command -v node >/dev/null || { missing node "no node"; return; }
  install -m 755 node.js "$out/peer-node"
}

# The one package that no distribution has: the version and the checksum of its lock file, from npm, into OUT_DIR.
vscode_jsonrpc() {
  local name=echo-vscode-jsonrpc
  fresh "$name" vscode_jsonrpc && return
  command -v node >/dev/null || { missing "$name" "no node"; return; }
  command -v npm >/dev/null || { missing "$name" "no npm"; return; }
  rm -rf "$out/vscode-jsonrpc"
  cp -r vscode_jsonrpc "$out/vscode-jsonrpc"
  if (cd "$out/vscode-jsonrpc" && timeout 120 npm ci --ignore-scripts --no-audit --no-fund) >"$out/log-$name" 2>&1; then
    ln -sfn vscode-jsonrpc/echo.js "$out/$name"
  else
    missing "$name" "npm: $(why "$out/log-$name")"
  fi
}

# An MCP server over language servers, for the agents' rows: one file, which needs no other package.
cclsp() {
  local name=mcp-cclsp version=0.7.0
  local checksum=Z2teFyX9JDecxOIW+FA82bcpGUvuOJY5Lx0kxzJVtD5hLNkjQiYGv5MOzBx3V80muIRI+231ZOAa49NbEOTyGQ==
  fresh "$name" && return
  command -v node >/dev/null || { missing "$name" "no node"; return; }
  command -v npm >/dev/null || { missing "$name" "no npm"; return; }
  rm -rf "$out/cclsp"
  mkdir "$out/cclsp"
  if ! (cd "$out/cclsp" && timeout 120 npm pack --silent "cclsp@$version") >"$out/log-$name" 2>&1; then
    missing "$name" "npm: $(why "$out/log-$name")"
  elif [ "$(openssl dgst -sha512 -binary "$out/cclsp/cclsp-$version.tgz" | base64 -w 0)" != "$checksum" ]; then
    missing "$name" "its checksum is another"
  else
    tar -xzf "$out/cclsp/cclsp-$version.tgz" -C "$out/cclsp"
    chmod 755 "$out/cclsp/package/dist/index.js"
    ln -sfn cclsp/package/dist/index.js "$out/$name"
  fi
}

# What protoc makes of grpc/echo.proto, as OUT_DIR/grpc/echo.o.
grpc_code() {
  local plugin code="$out/grpc"
  [ "$code/echo.o" -nt grpc/echo.proto ] && return
  command -v protoc >/dev/null || { echo "no protoc" >"$out/log-grpc"; return 1; }
  plugin="$(command -v grpc_cpp_plugin)" || { echo "no grpc_cpp_plugin" >"$out/log-grpc"; return 1; }
  command -v clang++-19 >/dev/null || { echo "no clang++-19" >"$out/log-grpc"; return 1; }
  mkdir -p "$code"
  protoc -Igrpc --cpp_out="$code" --grpc_out="$code" --plugin="protoc-gen-grpc=$plugin" grpc/echo.proto 2>"$out/log-grpc" &&
    printf '#include "echo.pb.cc"\n#include "echo.grpc.pb.cc"\n' >"$code/echo.cpp" &&
    clang++-19 -O3 -DNDEBUG -std=c++23 -w -pthread -c "$code/echo.cpp" -o "$code/echo.o" 2>>"$out/log-grpc"
}

# grpc NAME SOURCE
grpc() {
  grpc_code || { missing "$1" "$(head -n 1 "$out/log-grpc" | head -c 160)"; return; }
  # shellcheck disable=SC2046
  cxx "$1" "$2" "grpc echo_load.hpp" "$out/grpc/echo.o" -isystem "$out/grpc" $(pkg-config --libs grpc++ protobuf 2>/dev/null)
}

# The message bus of the row "sd-bus broker".
broker() {
  rm -f "$out/dbus-daemon"
  command -v dbus-daemon >/dev/null || { echo "missing: sd-bus broker (no dbus-daemon)"; return; }
  ln -s "$(command -v dbus-daemon)" "$out/dbus-daemon"
}

cxx limit limit.cpp ""
cxx std "std/main.cpp std/channels.cpp std/locks.cpp std/reads.cpp" "std snapshot.hpp"
cxx boost-spsc boost_spsc.cpp spsc.hpp
cxx moodycamel moodycamel.cpp spsc.hpp
cxx urcu urcu.cpp snapshot.hpp -D_LGPL_SOURCE -lurcu-memb -lurcu-common
cxx tbb tbb.cpp "" -ltbb
cxx zeromq zeromq.cpp "" -lzmq
cxx asio "asio/main.cpp asio/channels.cpp asio/broadcast.cpp" asio
cxx caf caf.cpp "" -lcaf_core
rust tokio
rust crossbeam
rust arc-swap
rust rust-std
go_peer go go
node_peer
cxx echo-boost-json boost_json_echo.cpp echo_server.hpp
rust echo-tokio
go_peer echo-go go_echo
vscode_jsonrpc
cclsp
grpc echo-grpc grpc/server.cpp
grpc load-grpc grpc/client.cpp
cxx echo-sd-bus sd_bus/server.cpp "sd_bus echo_load.hpp" -lsystemd
cxx load-sd-bus sd_bus/client.cpp "sd_bus echo_load.hpp" -lsystemd
broker
exit 0
