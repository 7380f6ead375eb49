#!/usr/bin/env bash
# Is gantry/abi.h what it was? Compiles it alone as C11, C17, C++17, C++20 and C++23, with gcc and with clang, strictly, and
# compares the layout that each of them gives it with layout.golden, which only ever grows (docs/abi.md).
# check.sh [HEADERS]: the folder that holds gantry/abi.h; default: this checkout's.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
headers="${1:-$here/../../sdk/include}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
strict=(-Wall -Wextra -Wpedantic -Wconversion -Wstrict-prototypes -Werror -I "$headers")
failed=0
# Of the first compiler of a list that is there.
compiler() { for name in "$@"; do command -v "$name" && return; done; echo "none of $* is installed" >&2; exit 1; }

check() {  # compiler, language, standard
  local flags=("${strict[@]}")
  [ "$2" = c++ ] && flags=("${flags[@]/-Wstrict-prototypes/-Wextra}")
  echo '#include <gantry/abi.h>' > "$work/alone.c"
  if ! "$1" -x "$2" "-std=$3" "${flags[@]}" -fsyntax-only "$work/alone.c" ||
     ! "$1" -x "$2" "-std=$3" "${flags[@]}" "$here/layout.c" -o "$work/layout"; then
    echo "abi.h does not compile: $1 -std=$3"; failed=1; return
  fi
  "$work/layout" > "$work/layout.txt"
  diff "$here/layout.golden" "$work/layout.txt" || { echo "the layout has changed: $1 -std=$3"; failed=1; }
}

gcc="$(compiler gcc-12 gcc)" gxx="$(compiler g++-12 g++)" clang="$(compiler clang-19 clang)"
for standard in c11 c17; do check "$gcc" c "$standard"; check "$clang" c "$standard"; done
for standard in c++17 c++20 c++23; do check "$gxx" c++ "$standard"; check "$clang" c++ "$standard"; done
exit "$failed"
