#!/usr/bin/env bash
# fetch.sh FOLDER PACKAGE...: the upstream sources of Debian packages, as FOLDER/PACKAGE. What is there already is left.
# The mirrors are those that the machine has for its binary packages. Nothing is built, and root is not needed.
set -euo pipefail
folder=$(realpath -m "$1")
shift
lists=$folder/.apt
mkdir -p "$lists/etc" "$lists/lists/partial" "$lists/cache"

missing=()
for package in "$@"; do [ -d "$folder/$package" ] || missing+=("$package"); done
[ "${#missing[@]}" -gt 0 ] || exit 0

for file in /etc/apt/sources.list.d/debian*.sources; do
  [ ! -e "$file" ] || sed 's/^Types:.*/Types: deb-src/' "$file" >"$lists/etc/$(basename "$file")"
done
[ ! -e /etc/apt/sources.list ] || sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$lists/etc/own.list"
apt=(-qq -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$lists/etc" -o "Dir::State::Lists=$lists/lists"
  -o "Dir::Cache=$lists/cache" -o "APT::Sandbox::User=")
apt-get "${apt[@]}" update
for package in "${missing[@]}"; do
  rm -rf "$folder/.new" && mkdir -p "$folder/.new/sources"
  (cd "$folder/.new" && apt-get "${apt[@]}" source --download-only "$package" >/dev/null)
  tarball=$(find "$folder/.new" -maxdepth 1 -name '*.orig.tar.*' ! -name '*.asc' | head -1)
  [ -n "$tarball" ] || tarball=$(find "$folder/.new" -maxdepth 1 -name '*.tar.*' ! -name '*.asc' | head -1)
  tar -xf "$tarball" -C "$folder/.new/sources" --strip-components=1
  mv "$folder/.new/sources" "$folder/$package"
done
rm -rf "$folder/.new"
