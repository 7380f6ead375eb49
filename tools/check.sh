#!/usr/bin/env bash
# `./dev check [quick]`: format, layers, headers that stand alone, clang-tidy on what changed. Exit 1 when something is wrong.
# quick: what .ci/run takes, in seconds: format, layers, README and docs.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export ROOT=$PWD
jobs="${JOBS:-$(nproc)}"
quick="${1:-}"
failed=0
step() { printf '\033[1m==> %s\033[0m\n' "$*"; }
wrong() { printf '%s\n' "$*"; failed=1; }

mapfile -t sources < <(git ls-files -co --exclude-standard '*.cpp' '*.hpp' '*.h' '*.c')

step "format"
clang-format-19 --dry-run --Werror "${sources[@]}" 2>/dev/null ||
  wrong "not formatted: $(for f in "${sources[@]}"; do clang-format-19 --dry-run --Werror "$f" >/dev/null 2>&1 || echo "$f"; done | tr '\n' ' ')(clang-format-19 -i mends it)"

# Each layer may include itself and those before it in this list; the sdk depends on nothing in host/, plugins on the sdk
# only. A folder that the list does not name is wrong, too.
step "layers"
layers=(observe config runtime bus calls sandbox plugins/library plugins plugins/inline plugins/child check trust processes
  tasks services router protocols daemon cli)
hits=$(grep -rnE '#include [<"]host/' host | awk -v order="${layers[*]}" '
  BEGIN { count = split(order, names, " "); for (i = 1; i <= count; i++) rank[names[i]] = i }
  function layer(path,   parts) {  # of host/a/b/c.hpp: a/b, else a; main.cpp is above all
    if (path == "host/main.cpp") return count + 1
    split(path, parts, "/")
    if (parts[2] "/" parts[3] in rank) return rank[parts[2] "/" parts[3]]
    return rank[parts[2]]
  }
  { file = $0; sub(/:.*/, "", file)
    included = $0; sub(/.*#include [<"]/, "", included); sub(/[>"].*/, "", included)
    if (!layer(file) || !layer(included) || layer(included) > layer(file)) print }')
[ -z "$hits" ] || wrong "these include a layer above their own, or one that is not in the list: $hits"
hits=$(grep -nE '#include ["<]host/' -r sdk plugins || true)
[ -z "$hits" ] || wrong "the sdk and the plugins must not include the host: $hits"
hits=$(grep -lE '#include [<"]boost/asio' sdk/include/gantry/plugin.hpp sdk/include/gantry/plugin/*.hpp || true)
[ -z "$hits" ] || wrong "plugin.hpp must not include Asio: $hits"

hits=$(git grep -nE '#include "' -- '*.cpp' '*.hpp' '*.c' ':!sdk/template' ':!tests/abi' |
  grep -vE '#include "(cmake|host|sdk|plugins|tests)/' || true)
[ -z "$hits" ] || wrong "an include begins at the root, with host/, sdk/, plugins/ or tests/: $hits"

# A header stands alone when a unit that includes nothing else compiles. -Wthread-safety is an error here as in the build.
# Compiled to an object, because ccache keeps no other result.
step "headers"
stands_alone() {
  local object=headers/${1//\//_}.o
  local flags=("-I$ROOT" "-I$ROOT/sdk/include" -Wall -Wextra -Werror -MD -MF "$object.d" -o "$object")
  case "$1" in
    *.h) flags=(clang-19 -x c -std=c11 -Wpedantic "${flags[@]}") ;;
    *) flags=(clang++-19 -x c++ -std=c++23 -Wshadow -Wthread-safety -Wno-pragma-once-outside-header "${flags[@]}") ;;
  esac
  (cd build && "$ROOT/tools/ccache.sh" "${flags[@]}" -c "$ROOT/$1") && return
  echo "$1 does not stand alone"
  return 1
}
export -f stands_alone
if [ "$quick" != quick ]; then
  mkdir -p build/headers
  git ls-files -co --exclude-standard '*.hpp' '*.h' |
    xargs -P "$jobs" -I {} bash -c 'stands_alone {}' || failed=1
fi

# The sdk's headers must also satisfy g++ 12.
if [ "$quick" != quick ]; then
  step "sdk headers with g++-12"
  satisfies_gcc() {
    echo "#include \"$1\"" | g++-12 -std=c++23 -fsyntax-only -I. -Isdk/include -Wall -Wextra -Werror -x c++ - && return
    echo "$1 with g++-12"
    return 1
  }
  export -f satisfies_gcc
  git ls-files -co --exclude-standard 'sdk/include/*.hpp' | grep -v /coro.hpp |  # which refuses it, see below
    xargs -P "$jobs" -I {} bash -c 'satisfies_gcc {}' || failed=1
fi

[ "$quick" != quick ] &&
  echo '#include "sdk/include/gantry/coro.hpp"' | g++-12 -std=c++23 -fsyntax-only -Isdk/include -x c++ - >/dev/null 2>&1 &&
  wrong "sdk/include/gantry/coro.hpp must refuse g++-12, which miscompiles coroutines"

# The README's hover finds the word that it shows.
step "README"
eval "$(sed -n 's/^    \$ at=/at=/p' README.md)"
[ -n "$at" ] || wrong "README.md hovers over a word that is not in the file that it names"

# Every path that the map names exists: from the root, or in the folder that its paragraph or section is about. No line
# of Markdown is longer than 100 columns, except in tables, in code and in what is generated.
step "docs"
hits=$(awk '
  match($0, /^(- \*\*|## .*)`[a-z_\/]+\/`/) { split($0, part, "`"); folder = part[2] }
  /^## [^`]*$/ { folder = "" }
  { count = split($0, part, "`")
    for (i = 2; i <= count; i += 2) if (part[i] ~ /^[a-z_.\/]+(\/|\.(cpp|hpp|h|txt|sh))$/) print folder part[i], part[i] }
' docs/design.md docs/bounds.md docs/plugins.md | while read -r near path; do [ -e "$near" ] || [ -e "$path" ] || echo "$path"; done)
[ -z "$hits" ] || wrong "docs/design.md, bounds.md or plugins.md name what does not exist: $hits"
hits=$(git ls-files -co --exclude-standard '*.md' ':!docs/performance-tables.md' |
  LC_ALL=C.UTF-8 xargs grep -noE '^ {0,3}[^ |].{100}' | cut -c1-80)
[ -z "$hits" ] || wrong "longer than 100 columns: $hits"

if [ "$quick" = quick ]; then
  [ "$failed" -eq 0 ] && echo "all is well"
  exit "$failed"
fi

# On what changed since BASE: a commit, else where this branch left origin/main, else (on main itself) the commit before. On all
# with TIDY=all; with the static analyzer too with ANALYZE=1 (three times as slow). Every finding is an error.
base="${BASE:-$(git merge-base HEAD origin/main 2>/dev/null)}"
[ "$base" != "$(git rev-parse HEAD)" ] || base=
[ -n "$base" ] || base=$(git rev-parse -q --verify 'HEAD~1')
step "clang-tidy on what changed since ${base:-the beginning}"
if [ "${TIDY:-changed}" = all ] || [ -z "$base" ]; then
  mapfile -t changed < <(git ls-files '*.cpp')
else
  mapfile -t changed < <({ git ls-files -mo --exclude-standard '*.cpp'; git log --format= --name-only "$base.." -- '*.cpp'; } |
    awk '!seen[$0]++')
fi
# The commands of any build, without its precompiled headers: clang-tidy would look at all that is in them, once for each file.
# What no build has a command for (peers of ./dev bench, the template) is another compiler's.
commands=$(ls build/*/compile_commands.json 2>/dev/null | head -1)
[ -n "$commands" ] || wrong "there is no build/*/compile_commands.json: ./dev build first"
mkdir -p build/tidy
sed -E 's/ -include-pch [^ ]+ -include [^ ]+ -Xclang -isysroot -Xclang [^ ]+//' "$commands" >build/tidy/compile_commands.json
mapfile -t changed < <(for file in "${changed[@]}"; do
  [ ! -f "$file" ] || ! grep -qF "\"file\": \"$ROOT/$file\"" build/tidy/compile_commands.json || echo "$file"
done)
export analyze=''
[ -z "${ANALYZE:-}" ] || analyze="--checks=clang-analyzer-*"
tidies() {
  # shellcheck disable=SC2086 # one word or none
  clang-tidy-19 --quiet -p build/tidy $analyze "$1" 2>/dev/null
}
export -f tidies
said=$(printf '%s\n' "${changed[@]}" | xargs -r -P "$jobs" -I {} bash -c 'tidies {}') ||
  wrong "$(grep -E 'warning:|error:' <<<"$said" | sort -u)"
echo "${#changed[@]} files"

[ "$failed" -eq 0 ] && echo "all is well"
exit "$failed"
