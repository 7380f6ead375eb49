#!/usr/bin/env bash
# build.sh OUT_DIR: the peers whose toolchain and library are there, as OUT_DIR/peer-NAME; "missing: NAME (why)" for the
# others, which is no failure. What is newer than its sources is left as it is.
set -uo pipefail
mkdir -p "$1"
out="$(cd "$1" && pwd)"
cd "$(dirname "${BASH_SOURCE[0]}")"

# fresh NAME SOURCES...: is OUT_DIR/peer-NAME newer than its sources and this script?
fresh() {
  local binary="$out/peer-$1"
  shift
  [ -x "$binary" ] && [ -z "$(find "$@" build.sh -type f -newer "$binary" -print -quit)" ]
}

missing() {
  rm -f "$out/peer-$1"
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
  if clang++-19 -O3 -DNDEBUG -std=c++23 -Wall -Wextra -pthread $sources "$@" -o "$out/new-$name" 2>"$out/log-$name"; then
    mv "$out/new-$name" "$out/peer-$name"
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
    cp "$out/rust/release/peer-$name" "$out/new-$name" && mv "$out/new-$name" "$out/peer-$name"
  else
    missing "$name" "$(why "$out/log-$name")"
  fi
}

go_peer() {
  fresh go go && return
  command -v go >/dev/null || { missing go "no go"; return; }
  if (cd go && GO111MODULE=off GOCACHE="$out/go-cache" go build -o "$out/new-go" .) 2>"$out/log-go"; then
    mv "$out/new-go" "$out/peer-go"
  else
    missing go "$(why "$out/log-go")"
  fi
}

node_peer() {
  command -v node >/dev/null || { missing node "no node"; return; }
  install -m 755 node.js "$out/peer-node"
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
go_peer
node_peer
exit 0
