#!/usr/bin/env bash
# `./dev check [quick|all]`: format, layers, docs, version, headers that stand alone, clang-tidy on what changed. Exit 1
# when something is wrong. quick: without the last two, in seconds. all: clang-tidy on everything.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
what="${1:-changed}"
case "$what" in quick | changed | all) ;; *) echo "./dev check [quick|all]" >&2; exit 2 ;; esac
failed=0
step() { printf '\033[1m==> %s\033[0m\n' "$*"; }
wrong() { printf '%s\n' "$*"; failed=1; }

mapfile -t sources < <(git ls-files -co --exclude-standard '*.cpp' '*.hpp' '*.h' '*.c')

step "format"
hits=$(printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -n 20 clang-format-19 --dry-run --Werror 2>&1) ||
  wrong "clang-format-19 -i mends $(sed -n 's/:[0-9]*:[0-9]*: error:.*//p' <<<"$hits" | sort -u | tr '\n' ' ')"

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

# Everything that names the version takes it from version.hpp. The changelog begins with this version.
step "version"
version=$(sed -n 's/.*kVersion = "\(.*\)".*/\1/p' sdk/include/gantry/version.hpp)
hits=$(git grep -nF "$version" -- CMakeLists.txt cmake host plugins sdk/cmake sdk/include sdk/tools tools \
  ':!sdk/include/gantry/version.hpp' || true)
[ -z "$hits" ] || wrong "the version is written in sdk/include/gantry/version.hpp only: $hits"
[[ "$(grep -m1 '^## ' CHANGELOG.md)" == "## $version"* ]] || wrong "CHANGELOG.md does not begin with version $version"

if [ "$what" != quick ]; then
  step "headers that stand alone"
  tools/headers.sh || failed=1
  step "clang-tidy"
  tools/tidy.sh "$what" || failed=1
fi

[ "$failed" -eq 0 ] && echo "all is well"
exit "$failed"
