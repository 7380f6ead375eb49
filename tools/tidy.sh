#!/usr/bin/env bash
# tidy.sh [changed|all]: clang-tidy; every finding is an error. `./dev check` runs this.
#
# changed: at most GANTRY_TIDY_FILES files (default 6), those that changed last first, and none from before the base: the
# commit GANTRY_BASE, else where HEAD left origin/main, else (on main itself) as far as this clone's history goes. A header
# counts as the .cpp beside it, where there is one, else as itself.
# all: every .cpp, the sdk and the host first, the tests last. ANALYZE=1: the static analyzer, too.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
most="${GANTRY_TIDY_FILES:-6}"
say() { printf '%s\n' "$*"; }

# Commands of any build, without its precompiled headers: clang-tidy would look at all that is in them, once for each file.
built=(build/*/compile_commands.json)
commands=build/check/tidy
[ -f "${built[0]}" ] || { say "there is no build/*/compile_commands.json: ./dev build first"; exit 1; }
mkdir -p "$commands"
sed -E 's/ -include-pch [^ ]+ -include [^ ]+ -Xclang -isysroot -Xclang [^ ]+//' "${built[0]}" >"$commands/compile_commands.json"

# What no build has a command for (peers of ./dev bench, the template) is another compiler's.
known() {
  while read -r file; do
    beside=${file%.hpp}.cpp
    [ ! -f "$beside" ] || file=$beside
    [ -f "$file" ] || continue
    [[ "$file" == *.hpp ]] || grep -qF "\"file\": \"$root/$file\"" $commands/compile_commands.json || continue
    echo "$file"
  done | awk '!seen[$0]++'
}

newest_first() {
  git ls-files -mo --exclude-standard '*.cpp' '*.hpp'
  # Of the first commit that a shallow clone has, git would name every file.
  git log --min-parents=1 --format= --name-only "${base:+$base..}HEAD" -- '*.cpp' '*.hpp'
}

if [ "${1:-changed}" = all ]; then
  mapfile -t files < <(git ls-files 'sdk/*.cpp' 'host/*.cpp' 'plugins/*.cpp' 'tests/*.cpp' | known)
else
  base=
  for name in "${GANTRY_BASE:-}" origin/main; do
    [ -n "$name" ] || continue
    base=$(git merge-base HEAD "$name" 2>/dev/null) || say "$name is not in this clone, or has no history in common with HEAD here"
    [ "$base" != "$(git rev-parse HEAD)" ] || base=
    [ -z "$base" ] || break
  done
  mapfile -t all < <(newest_first | known)
  files=("${all[@]:0:most}")
  say "${#files[@]} of ${#all[@]} files that changed since ${base:-the beginning of this clone}"
  [ "${#all[@]}" -gt 0 ] || [ "$(git rev-list --count --max-count=2 HEAD)" -gt 1 ] ||
    say "this clone has one commit only: git fetch --deepen=20, or --unshallow, lets clang-tidy see what changed"
fi

# Half of the time goes to the one check of parameters that are copied: it can wait for `all`.
checks=
[ "${1:-changed}" = all ] || checks=-performance-unnecessary-value-param
[ -z "${ANALYZE:-}" ] || checks="$checks,clang-analyzer-*"
found=$(printf '%s\n' "${files[@]}" | xargs -r -P "${JOBS:-$(nproc)}" -n 1 \
  clang-tidy-19 --quiet -p $commands "--checks=$checks" --extra-arg=-Wno-pragma-once-outside-header 2>&1) && exit
# A finding in a header is found once for each file that includes the header.
grep -E ' (warning|error): |^error' <<<"$found" | sort -u | grep . || printf '%s\n' "$found"
exit 1
