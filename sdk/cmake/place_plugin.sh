#!/bin/sh
# place_plugin.sh LINKED DIR DESCRIBE [GANTRY]: what gantry_add_plugin does with a plugin that was linked.
#
# A copy of LINKED is described and, with GANTRY, checked in DIR/NAME.unchecked; only then do the library and its
# manifest move into DIR, where hosts and tests look for them. So what fails here never takes the place of the good one,
# and no host finds half a file: each move is a rename(2). What has failed stays in DIR/NAME.unchecked.
#
# Two renames cannot be one. The manifest goes first, because a host reads it first and then the library: whoever has
# read the old manifest and then finds the new library sees, when it looks once more, that the manifest is another one,
# and takes both anew (a reload does: ServiceManager::next_build). What is left is a host that reads both between two
# system calls of one `mv`, or a build that is killed there. That pair is never run: a host holds what the library says
# of itself against the manifest before it makes an object (load_library), refuses, and the build that runs goes on;
# `gantry serve --watch` sees the second rename too, and reloads once more; and the build tries again, since its
# outputs are older than what they are made of.
linked=$1 dir=$2 describe=$3 gantry=${4:-}
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
name=$(basename "$linked" .so)
unchecked=$dir/$name.unchecked

failed() {
  printf '%s\n' "$name $1; what is in $dir is the build before, if there was one. The one that failed is left beside it:" \
    "    ${gantry:-gantry} plugin check $unchecked/$name.so" >&2
  exit 1
}

rm -rf "$unchecked" && mkdir -p "$unchecked" && cp "$linked" "$unchecked/$name.so" || exit 1
"$describe" "$unchecked/$name.so" "$unchecked/$name.json" || failed 'cannot be described'
if [ -n "$gantry" ]; then
  "$gantry" plugin check "$unchecked/$name.so" || failed 'fails its check'
fi
mv -f "$unchecked/$name.json" "$unchecked/$name.so" "$dir/" && rmdir "$unchecked"
