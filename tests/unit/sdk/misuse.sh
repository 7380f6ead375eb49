#!/usr/bin/env bash
# What a plugin's author writes and the host could never call is refused by the compiler, in words: misuse.sh SOURCE_DIR
#
# All of it is in one file, so that each compiler reads the sdk once.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=$1
plugins=0
words=()

plugin() { # FILE MEMBERS
  plugins=$((plugins + 1))
  cat >>"$work/$1" <<CPP
struct P$plugins {
  explicit P$plugins(gantry::Host) {}
  $2
  static void define(gantry::Definition<P$plugins>& d) { d.id("p").version("1.0.0").service("p"); }
};
template class gantry::detail::Instance<P$plugins>;
CPP
}
refused() { # MEMBERS WORDS
  plugin refused "$1"
  words+=("$2")
}
taken() { plugin taken "$1"; } # MEMBERS
compile() { # COMPILER FILES...
  {
    printf '#include <gantry/plugin.hpp>\nstruct S {\n  int a = 1;\n};\nBOOST_DESCRIBE_STRUCT(S, (), (a))\n'
    for file in "${@:2}"; do cat "$work/$file"; done
  } >"$work/p.cpp"
  "$1" -std=c++23 -fsyntax-only "-I$source/sdk/include" "$work/p.cpp" 2>&1
}

result='gantry::Result<void>'
config='const gantry::PluginConfig&'
refused "$result start($config, S) { return {}; }" "start is: Result<void> start(const gantry::PluginConfig&)"
refused "void reconfigure($config, int) {}" "reconfigure is: void reconfigure(const gantry::PluginConfig&)"
refused "void event(std::string, std::string) {}" "event is: void event(std::string_view topic, const gantry::json& payload)"
refused "void stop() {}" "stop is: void stop(gantry::Stopping)"
# Also handlers of such names, and a list in braces as an answer.
taken "$result start($config) const { return {}; } gantry::Result<gantry::json> stop(gantry::Call&) { return gantry::json(); }
  void answers(gantry::Call call) { call.reply({{\"a\", true}}); call.reply(gantry::fail(gantry::ErrorKind::conflict, \"x\")); }"
taken "$result start($config, const S&) { return {}; } void reconfigure($config, const S&) {} void stop(gantry::Stopping) {}
  void event(std::string_view, const gantry::json&) {} void gone(std::uint64_t) {}"

said=$(compile g++-12 taken) || { printf 'g++ says of what is right:\n%s\n' "$said"; exit 1; }
said=$(compile clang++-19 refused taken) && { echo "all of it is taken"; exit 1; }
for each in "${words[@]}"; do
  grep -qF -- "$each" <<<"$said" || { printf '"%s" is not in what clang++ says:\n%s\n' "$each" "$said"; exit 1; }
done
grep -qx "${#words[@]} errors generated." <<<"$said" || { printf 'clang++ also refuses what is right:\n%s\n' "$said"; exit 1; }
