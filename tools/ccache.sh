#!/bin/sh
# ccache.sh COMPILER ARGUMENTS...: the compiler launcher (CMakePresets.json). Runs ccache such that what it
# keeps fits every clone of this repository, whatever folder a clone lies in.
#
# - The compiler gets paths from the build folder, where CMake says /home/me/gantry/host/x.cpp.
# - Where the compiler needs an absolute path all the same, it begins with the name of the current
#   folder, and that is /proc/self/cwd.
# ccache's own base_dir does the first only, and not in depend mode. That mode spares a run of the
# preprocessor, which reads every header that a precompiled header has read already.
source_dir=${0%/tools/ccache.sh}
case $PWD in
  "$source_dir"/*)
    up='' rest=${PWD#"$source_dir"/}
    while [ -n "$rest" ]; do
      up=../$up
      case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
    done
    for argument do
      shift
      case $argument in
        "$source_dir"/*) argument=$up${argument#"$source_dir"/} ;;
        -I"$source_dir") argument=-I${up%/} ;;
        -I"$source_dir"/*) argument=-I$up${argument#-I"$source_dir"/} ;;
      esac
      set -- "$@" "$argument"
    done
    export PWD=/proc/self/cwd
    ;;
esac
# A unit may define macros that its precompiled header was made without: clang refuses those that matter.
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
# What is hashed again and again, a precompiled header above all, is hashed once.
export CCACHE_DEPEND=1 CCACHE_INODECACHE=1
exec ccache "$@"
