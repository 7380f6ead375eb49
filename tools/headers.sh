#!/usr/bin/env bash
# Does each header stand alone: does a unit that includes nothing else compile? `./dev check` runs this.
#
# Most of a header's cost is what it includes. So a header is compiled with the precompiled form of the first of $bases
# that it includes anyway, by itself or by what it includes: nothing is declared there that the header does not
# include. Ninja compiles what has changed, ccache keeps the objects for other clones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
out=build/headers
# A base may come with any other, so the more costly ones stand first.
bases='host/services/service_manager.hpp host/calls/call.hpp sdk/include/gantry/plugin.hpp
  sdk/include/gantry/plugin/host.hpp sdk/include/gantry/json.hpp sdk/include/gantry/mutex.hpp
  sdk/include/gantry/result.hpp'
mkdir -p "$out"

# Paths in a precompiled header count from the root (cmake/pch.cmake says why).
cat >"$out/build.new" <<TXT
flags = -I$root -I$root/sdk/include -Wall -Wextra -Werror
cxx = $root/tools/ccache.sh clang++-19 -std=c++23 -Wshadow -Wthread-safety -Wno-pragma-once-outside-header
rule c
  command = $root/tools/ccache.sh clang-19 -x c -std=c11 -Wpedantic \$flags -MD -MF \$out.d -c \$in -o \$out
  deps = gcc
  depfile = \$out.d
rule cxx
  command = \$cxx -x c++ \$use \$flags -MD -MF \$out.d -c \$in -o \$out
  deps = gcc
  depfile = \$out.d
rule gcc
  command = $root/tools/ccache.sh g++-12 -std=c++23 \$flags -MD -MF \$out.d -c \$in -o \$out
  deps = gcc
  depfile = \$out.d
build sdk.o: gcc $root/$out/sdk.cpp
rule pch
  command = \$cxx -x c++-header -fpch-instantiate-templates -Xclang -fno-pch-timestamp -Xclang -relocatable-pch -Xclang -isysroot -Xclang /proc/self/cwd/../.. \$flags -MD -MF \$out.d -c \$in -o \$out
  deps = gcc
  depfile = \$out.d
TXT
# A header of a benchmark's peer may need a package of tools/packages_bench.txt, which need not be here.
of_absent_peer() {
  local header
  [[ "$1" == tests/bench/peers/* ]] || return 1
  while read -r header; do
    [ -e "/usr/include/$header" ] || { echo "left out, for <$header> is not installed: $1" >&2; return 0; }
  done < <(sed -n 's/^#include <\(systemd\/[^>]*\)>.*/\1/p' "$1")
  return 1
}
git ls-files -co --exclude-standard '*.hpp' '*.h' |
  while read -r file; do [ ! -f "$file" ] || of_absent_peer "$file" || echo "$file"; done |
  awk -v root="$root" -v bases="$bases" '
  { files[NR] = $0; known[$0] = 1 }
  function reaches(from, to,   direct, count, i) {  # does header `from` include `to`?
    if (from == to) return 1
    if ((from, to) in memo) return memo[from, to]
    memo[from, to] = 0
    count = split(included[from], direct, " ")
    for (i = 1; i <= count; i++) if (reaches(direct[i], to)) return memo[from, to] = 1
    return 0
  }
  END {
    for (f = 1; f <= NR; f++) {
      while ((getline line < files[f]) > 0)
        if (match(line, /^#include [<"][^>"]+/)) {
          name = substr(line, 11, RLENGTH - 10)
          if (!(name in known)) name = "sdk/include/" name
          if (name in known) included[files[f]] = included[files[f]] " " name
        }
      close(files[f])
    }
    count = split(bases, base, " ")
    for (i = 1; i <= count; i++) is_base[base[i]] = 1
    for (f = 1; f <= NR; f++) {
      file = files[f]
      if (file in is_base) { printf "build %s.pch: pch %s/%s\n", file, root, file; continue }
      if (file ~ /\.h$/) { printf "build %s.o: c %s/%s\n", file, root, file; continue }
      used = ""
      for (i = count; i > 0; i--) if (reaches(file, base[i])) used = base[i] ".pch"
      printf "build %s.o: cxx %s/%s%s\n", file, root, file, used ? " | " used : ""
      if (used) printf "  use = -include-pch %s -Xclang -isysroot -Xclang ../..\n", used
    }
  }' >>"$out/build.new"
# The sdk's headers also satisfy g++ 12, but for its coroutines: g++ 12 miscompiles those, and gantry/coro.hpp refuses it.
git ls-files 'sdk/include/*.hpp' | sed -nE '/\/coro\.hpp$/d; s:^sdk/include/(.*):#include <\1>:p' >"$out/sdk.new"
cmp -s "$out/sdk.new" "$out/sdk.cpp" || cp "$out/sdk.new" "$out/sdk.cpp"
echo '#include <gantry/coro.hpp>' | g++-12 -std=c++23 -fsyntax-only -Isdk/include -x c++ - 2>/dev/null &&
  { echo "sdk/include/gantry/coro.hpp must refuse g++-12, which miscompiles coroutines"; exit 1; }

cmp -s "$out/build.new" "$out/build.ninja" || mv "$out/build.new" "$out/build.ninja"
ninja -C "$out" -k 0 -j "${JOBS:-$(nproc)}" --quiet
