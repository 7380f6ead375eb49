#!/usr/bin/env bash
# install.sh FOLDER: installs what package-lock.json names and makes FOLDER a link to it. Once for each lock file on a
# machine: builds share it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
key=$(cat "$here/package.json" "$here/package-lock.json" | sha256sum | cut -c1-16)
place=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/gantry-tests/npm-$key
if [ ! -e "$place/node_modules/.package-lock.json" ]; then
  mkdir -p "$(dirname "$place")"
  new=$(mktemp -d "$place.XXXXXX")
  trap 'rm -rf "$new"' EXIT
  cp "$here/package.json" "$here/package-lock.json" "$new"
  (cd "$new" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  chmod 755 "$new"
  mv -T "$new" "$place" 2>/dev/null || [ -e "$place/node_modules/.package-lock.json" ]  # another build was faster
fi
ln -sfn "$place" "$1"
