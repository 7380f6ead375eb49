#!/usr/bin/env bash
# `./dev check`: format, layers, headers that stand alone, clang-tidy on what changed. Exit 1 when something is wrong.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
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
  grep -vE '#include "(host|sdk|plugins|tests)/' || true)
[ -z "$hits" ] || wrong "an include begins at the root, with host/, sdk/, plugins/ or tests/: $hits"

# A header stands alone when a unit that includes nothing else compiles. -Wthread-safety is an error here as in the build.
step "headers"
flags=(-std=c++23 -fsyntax-only -I. -Isdk/include -Wall -Wextra -Wshadow -Wthread-safety -Werror)
while read -r header; do
  case "$header" in
    *.h) clang-19 -std=c11 -fsyntax-only -Wall -Wextra -Wpedantic -Werror -Isdk/include -x c "$header" || wrong "$header does not stand alone" ;;
    *) clang++-19 "${flags[@]}" -DGANTRY_BUILD_DIR='""' -DGANTRY_SOURCE_DIR='""' -x c++ -Wno-pragma-once-outside-header "$header" || wrong "$header does not stand alone" ;;
  esac
done < <(git ls-files -co --exclude-standard '*.hpp' '*.h' | grep -v '^cmake/')

# The sdk's headers must also satisfy g++ 12.
step "sdk headers with g++-12"
for header in sdk/include/gantry/*.hpp sdk/include/gantry/*/*.hpp; do
  case "$header" in */coro.hpp) continue ;; esac  # which refuses it, see below
  said=$(echo "#include \"$header\"" | g++-12 -std=c++23 -fsyntax-only -I. -Isdk/include -Wall -Wextra -Werror -x c++ - 2>&1) ||
    wrong "$header with g++-12: $said"
done

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

# All of them with TIDY=all, the static analyzer too with ANALYZE=1 (three times as slow).
# The template is built in the tests only after its name was put in.
step "clang-tidy on changed files"
base=$(git merge-base HEAD origin/main 2>/dev/null || git rev-list -1 --before='1 day ago' HEAD 2>/dev/null)
mapfile -t changed < <({ [ -n "$base" ] && git diff --name-only --diff-filter=d "$base" -- '*.cpp'; git ls-files -mo --exclude-standard '*.cpp'; } | grep -v '^sdk/template/' | sort -u)
[ "${TIDY:-changed}" = all ] && mapfile -t changed < <(git ls-files '*.cpp' ':!sdk/template')
if [ ! -f build/release/compile_commands.json ]; then
  wrong "there is no build/release/compile_commands.json; ./dev build first"
elif [ ${#changed[@]} -gt 0 ]; then
  analyze=()
  [ -n "${ANALYZE:-}" ] && analyze=(--checks=clang-analyzer-*)
  said=$(printf '%s\0' "${changed[@]}" | xargs -0 -n 1 -P "$(nproc)" clang-tidy-19 --quiet -p build/release "${analyze[@]}" 2>/dev/null |
    grep -E 'warning:|error:' | sort -u)
  [ -z "$said" ] || wrong "$said"
fi

[ "$failed" -eq 0 ] && echo "all is well"
exit "$failed"
