#!/usr/bin/env bash
# run.sh BUILD [NAME...]: opens real repositories by two editors and an agent at once, and compares what they are answered
# with what servers answer that are driven directly (compare.js). BUILD is a build's folder; the sources, about 800 MB,
# are kept in the user's cache. A package that cannot be had is named, and is a failure.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "$1")
shift
sources=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/gantry-tests/repositories
bash "$here/../npm/install.sh" "$build/npm" || exit 1
[ $# -gt 0 ] || read -ra names <<<"$(node "$here/compare.js" "$build/npm" --list)"
[ $# -eq 0 ] || names=("$@")
have=() failed=0
for name in "${names[@]}"; do
  if bash "$here/fetch.sh" "$sources" "$name" >/dev/null; then
    have+=("$name")
  else
    echo "$name: NOT COMPARED, its source cannot be had"
    failed=1
  fi
done
[ "${#have[@]}" -gt 0 ] || exit 1
node "$here/compare.js" "$build/npm" "$build/gantry" "$sources" "${have[@]}" || failed=1
exit "$failed"
