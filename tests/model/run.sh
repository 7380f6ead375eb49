#!/usr/bin/env bash
# tests/model/run.sh [MODEL...]: searches the models (*.pml) exhaustively with Spin, each in its configurations, and then each
# of its mutations, which must fail. One line each. Exit 0: all as expected; 1: a surprise, whose files are kept; 77: no spin.
# With GANTRY_MODEL_STAMP=FILE that file says of which models, script and Spin all was as expected: they are not searched twice.
# shellcheck disable=SC2034 # the lists are read by name
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

command -v spin >/dev/null || { echo "spin is not installed (package spin): the models were not searched"; exit 77; }
cc="${CC:-cc}"
command -v "$cc" >/dev/null || { echo "no C compiler: the models were not searched"; exit 77; }

stamp=$(cat ./*.pml run.sh <(spin -V) <(echo "$*") | sha256sum)
if [ "$(cat "${GANTRY_MODEL_STAMP:-/dev/null}" 2>/dev/null)" = "$stamp" ]; then
  echo "all was as expected when these models were searched last"
  exit 0
fi

models=("$@")
[ ${#models[@]} -ne 0 ] || models=(mpsc oneshot lazy lazy_circle)

# Configurations, in which nothing may be wrong.
mpsc=(
  "-DPOLLS"
  "-DCAP=2 -DBATCH -DFIFO"
  "-DLIMIT_SENDERS"
  "-DCAP=2 -DLIMIT_RECEIVER"
  "-DBUFFERED"
  "-DBUFFERED -DASYMMETRIC"
)
oneshot=("-DWAITS=4")
lazy=(
  ""
  "-DSPAWN"
  "-DSPAWN -DLIMITS -DRETIRERS=0"
  "-DCALLERS=1 -DBORROWERS=2 -DTIMES=2"
  "-DCALLERS=1 -DBORROWERS=1 -DRETIRERS=2 -DTIMES=2"
  "-DCALLERS=1 -DBORROWERS=1 -DTIMES=2 -DBUFFERED"
)
lazy_circle=("-DTHREADS=3 -DSERVICES=3" "-DTHREADS=3 -DTIMED" "-DGETS=2")

# Mutations, and the smallest configuration in which each must be found.
mpsc_bugs=(
  "LOOK_THEN_TELL"
  "LOOK_THEN_MAKE_ROOM"
  "REGISTER_LATE"
  "TAIL_BEFORE_CELLS"
  "CLOSE_FORGETS"
  "NEXT_AFTER_WAKE"
  "LAST_SENDER_SILENT"
  "WAITER_TOO_EARLY"
  "WAKE_FOR_NOTHING"
  "TRY_PASSES -DFIFO"
  "WITHDRAW_ANYWAY -DLIMIT_SENDERS"
  "CANCEL_IN_BETWEEN -DLIMIT_SENDERS"
  "NO_SENDER_FENCE -DBUFFERED"
  "NO_RECEIVER_FENCE -DBUFFERED"
)
oneshot_bugs=(
  "BOTH_WAKE"
  "WITHDRAW_ANYWAY"
  "NO_MARK"
  "REASON_LATE"
  "NO_RESET"
  "RESET_FORGETS"
  "DROP_IN_TWO_STEPS"
  "VALUE_AFTER_WORD"
)
lazy_bugs=(
  "LINK_LATE"
  "RESET_WHILE_CONSTRUCTING"
  "WITHDRAW_ANYWAY -DLIMITS"
  "NO_CLAIM -DSPAWN"
  "DROPPED_SILENTLY -DSPAWN"
  "OP_AFTER_LINK -DSPAWN -DLIMITS"
  "PUBLISHED_EARLY -DCALLERS=1 -DBORROWERS=1"
  "WAIT_FIRST -DCALLERS=1 -DBORROWERS=1"
  "EPOCH_TOO_OLD -DCALLERS=1 -DBORROWERS=1"
  "BORROW_FIRST -DCALLERS=1 -DBORROWERS=1"
  "NO_FENCE -DCALLERS=1 -DBORROWERS=1 -DBUFFERED"
)
lazy_circle_bugs=(
  "NO_GRAPH"
  "TWO_LOOKS"
  "NO_STACK_EDGES -DSERVICES=3"
  "LEAVE_LATE -DGETS=2"
  "LEAVE_AFTER_CANCEL -DTHREADS=3 -DTIMED"
)

work=$(mktemp -d)
surprises=0
trap '[ "$surprises" -ne 0 ] || rm -rf "$work"' EXIT

# search NAME MODEL ERRORS DEFINES...: ERRORS is what Spin has to find.
search() {
  local name=$1 model=$2 expected=$3 start=$EPOCHREALTIME folder states seconds
  shift 3
  # Little optimization: a compiler's second costs more than it gives. A mutation is found soon: none at all, a small table,
  # and in reverse order, because the receiver, whose steps matter most, is started last.
  local how=(-Og) table=24
  [ "$expected" -eq 0 ] || { how=(-O0 -DREVERSE); table=18; }
  folder=$work/$model.${name//[^A-Za-z0-9_=]/}
  mkdir "$folder"
  cp "$model.pml" "$folder"
  (
    cd "$folder"
    spin -a "$@" "$model.pml"
    # -w: it warns of its own generated indices. MEMLIM in MB.
    "$cc" "${how[@]}" -w -DSAFETY -DMEMLIM=2000 -o pan pan.c
    ./pan -m10000 -w$table
  ) >"$folder/log" 2>&1 || true
  states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' "$folder/log")
  seconds=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
  # What was cut short, by depth or memory, says nothing. (It stops at the first error, so a mutation's is never complete.)
  if grep -q "errors: $expected$" "$folder/log" && grep -q "^Full statespace search" "$folder/log" &&
    ! grep -Eq "max search depth too small|MEMLIM|out of memory" "$folder/log" &&
    { [ "$expected" -ne 0 ] || ! grep -q "Search not completed" "$folder/log"; }; then
    printf 'ok    %-12s %-52s %9s states %6s s\n' "$model" "$name" "$states" "$seconds"
    rm -rf "$folder"
    return
  fi
  surprises=$((surprises + 1))
  printf 'WRONG %-12s %-52s expected errors: %s\n' "$model" "$name" "$expected"
  grep -E "^pan:|errors:|Error|error" "$folder/log" | grep -v 'assert(' | sed 's/^/        /' || tail -5 "$folder/log"
  echo "        see $folder: spin -t -p -g -l $* $model.pml"
}

begun=$EPOCHREALTIME
for model in "${models[@]}"; do
  declare -n configurations=$model bugs=${model}_bugs
  for defines in "${configurations[@]}"; do
    # shellcheck disable=SC2086
    search "${defines:-(as it is)}" "$model" 0 $defines
  done
  for bug in "${bugs[@]}"; do
    # shellcheck disable=SC2086
    search "BUG_$bug" "$model" 1 -DBUG_$bug
  done
done
awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.0f s\n", b - a }'
[ "$surprises" -eq 0 ] || { echo "$surprises not as expected"; exit 1; }
[ -z "${GANTRY_MODEL_STAMP:-}" ] || echo "$stamp" >"$GANTRY_MODEL_STAMP"
