#!/usr/bin/env bash
# The proofs of the C core: built without Python.h, run side by side, their numbers added up.
#
#   ci/prove.sh PART... [few|quick|all]  default: every part, quick (few: killstep after every 151st)
#
#   killstep  a process is killed after each instruction of every operation; quick: after every 17th
#   stopped   the same, but it is stopped there and lives on; the others' time limits must hold
#   models    every interleaving of the protocols, to the end; quick: those that need little memory
#   kills     random SIGKILLs of processes with two threads on all locks
#   races     two threads or processes in the same few instructions; damaged arenas; lost wakeups; small rules
#
# OUT: where to build (kept); otherwise a directory of its own, removed on exit.  JOBS: how many
# at a time.  Exit: 0 all hold, 1 something was found, 2 usage, 4 this machine cannot.
# INT, TERM and HUP end it at once, with every program that it started.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=${JOBS:-$(nproc)}
depth=quick parts=()
for word in "$@"; do
	case $word in
	few | quick | all) depth=$word ;;
	killstep | stopped | models | kills | races) parts+=("$word") ;;
	*)
		printf 'prove: there is no part %q\n  try: ci/prove.sh killstep models kills races quick\n' "$word" >&2
		exit 2
		;;
	esac
done
[ ${#parts[@]} -gt 0 ] || parts=(killstep stopped models kills races)
command -v "${CC:-gcc}" >/dev/null || {
	printf 'prove: there is no C compiler (%s)\n  try: apt-get install gcc\n' "${CC:-gcc}" >&2
	exit 4
}

scratch=$(mktemp -d)
out=${OUT:-$scratch/programs}
trap 'rm -rf "$scratch"' EXIT
# --foreground: they stay in the group of this script, and end when it is interrupted.
limit() { printf 'timeout --foreground --kill-after=5 %s %s/%s' "$1" "$out" "$2"; }
begin() { printf '%s\n' "$*"; }

# From the top: what is stopped starts no further one while its children are listed.
stop_below() { # pid
	local child
	for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
		kill -STOP "$child" 2>/dev/null || continue
		below+=("$child")
		stop_below "$child"
	done
}
end_with() { # status
	local below=()
	trap '' INT TERM HUP
	stop_below $$
	[ ${#below[@]} -eq 0 ] || kill -KILL "${below[@]}" 2>/dev/null || true
	exit "$1"
}
trap 'end_with 130' INT
trap 'end_with 143' TERM
trap 'end_with 129' HUP
pick() { case $depth in all) printf '%s' "$2" ;; few) printf '%s' "${3:-$1}" ;; *) printf '%s' "$1" ;; esac; }

# Each function prints one command a line; they run $jobs at a time, in any order.
killstep_commands() {
	local count i
	count=$("$out/killstep" list | wc -l)
	for ((i = 0; i < count; i++)); do begin "$(limit 3000 killstep)" "$i" "$(pick 17 1 151)"; done
}
stopped_commands() {
	local i
	for i in 0 1 4 5 7 9 10 11 12 13 15 21 22 29 32 34 35 36 37 38 41; do begin "$(limit 3000 killstep)" "$i" "$(pick 211 7)" 0 stop; done
}
models_commands() {
	local x
	for x in "MM 2 2 1" "RW 2 2 1" "UW 2 2 1" "DW 2 2 1" "PW 2 2 1" "TC 2 2 1" "UC 2 2 1" "WW 2 2 1" "RR 2 2 1" "UU 2 2 1" \
		"RWW 0 0 0" "RRW 0 0 0" "RUW 0 0 0" "UUW 0 0 0" "PWR 0 0 0" "PUW 0 0 0" "DWR 0 0 0" "TWC 0 0 0" "RCU 0 0 0" "TUC 0 0 0" \
		"WWW 0 0 0" "MMM 0 0 0" "MMM 2 1 1"; do begin "$(limit 600 rwmodel)" "$x"; done
	begin "$(limit 600 seatmodel)" 2 2 2
	for x in "sA 0" "sa 0" "sO 0" "so 0" "iA 0" "ia 0" "iO 0" "io 0" "soN 0" "soNn 0" "son 0" "ssoo 0" "ssOO 0" "ssAo 0" "ssa 0" \
		"iion 0" "sioo 0" "tsoo 0" "tsOO 0" "ssoN 0" "sA 1" "so 1" "sso 1" "ssoo 1" "sio 1" "ssA 1" "tso 1" "sooo 1" "ssso 1" "soN 1"; do
		begin "$(limit 600 chanmodel)" "$x"
	done
	[ "$depth" = all ] || return 0
	for x in "RWW 1 1 1" "RRW 1 1 1" "RUW 1 1 1" "UUW 1 1 1" "PWR 1 1 1" "DWR 1 1 1" "RCU 1 1 1" "TUC 1 1 1" "PUW 1 1 1" "DUW 1 1 1"; do
		begin "$(limit 1800 rwmodel)" "$x" # up to 4 GB of memory each
	done
	begin "$(limit 1800 seatmodel)" 3 2 2
	begin "$(limit 1800 seatmodel)" 3 3 1
}
kills_commands() {
	begin "$(limit 1800 chaos)" "$(pick 400 10000)"
	begin "$(limit 300 chaos_tsan)" threads "$(pick 3 20)"
}
races_commands() {
	begin "$(limit 300 rules)"
	begin "$(limit 300 wakes)"
	begin "$(limit 600 order_race)" "$(pick 300 5000)"
	begin "$(limit 600 seat_race)" "$(pick 150 5000)" 4
	begin "$(limit 600 hostile)" "$(pick 500 10000)"
	begin "$(limit 600 latency)" "$(pick 20 300)"
}

# ThreadSanitizer of older compilers wants the memory laid out as it was when they were made.
run_one() { # number, command
	local status=0 began=$SECONDS fixed=()
	case $2 in *_tsan*) ! setarch -R true 2>/dev/null || fixed=(setarch -R) ;; esac
	# shellcheck disable=SC2086 # the command is words
	"${fixed[@]}" $2 </dev/null >"$scratch/$1.out" 2>&1 || status=$?
	local name=${2##*/}
	if [ "$status" -ne 0 ]; then
		[ "$status" -ne 124 ] || echo "no end in time" >>"$scratch/$1.out"
		printf 'FAILED (%s): %s\n' "$status" "$name" | cat - "$scratch/$1.out"
		echo "$status $name" >>"$scratch/failed"
	else
		printf '%s\n' "$(tail -n 1 "$scratch/$1.out")"
	fi
	echo "$((SECONDS - began)) $name" >>"$scratch/times"
}
export -f run_one
export scratch

targets=()
for part in "${parts[@]}"; do
	case $part in
	killstep | stopped) targets+=("$out/killstep") ;;
	models) targets+=(models) ;;
	kills) targets+=("$out/chaos" "$out/chaos_tsan") ;;
	races) for name in rules wakes order_race seat_race hostile latency; do targets+=("$out/$name"); done ;;
	esac
done
make -s -j "$jobs" -f "$root/tests/native/Makefile" OUT="$out" "${targets[@]}" &
wait $! # in the background: a signal ends a wait, but not a command in front

prove() { # part
	local began=$SECONDS commands=() command
	"$1_commands" >"$scratch/commands" || exit 4
	mapfile -t commands <"$scratch/commands"
	: >"$scratch/log"
	for command in "${!commands[@]}"; do printf '%s\0%s\0' "$command" "${commands[$command]}"; done |
		xargs -0 -n 2 -P "$jobs" bash -c 'run_one "$@"' prove | tee "$scratch/log" &
	wait $!
	case $1 in
	killstep | stopped) awk -v part="$1" 'function commas(n) { return n < 1000 ? n "" : commas(int(n / 1000)) sprintf(",%03d", n % 1000) }
		{ for (i = 2; i <= NF; i++) { if ($i ~ /^positions/) n += $(i - 1); if ($i == "wrong") w += $(i - 1) } }
		END { printf "%s: %s positions, %d wrong", part, commas(n), w }' "$scratch/log" ;;
	models) awk '{ for (i = 2; i <= NF; i++) if ($i ~ /^states/) n += $(i - 1) } END { printf "models: %d configurations, %.1f million states, every one right", NR, n / 1e6 }' "$scratch/log" ;;
	*) printf '%s: %s programs' "$1" "${#commands[@]}" ;;
	esac
	echo " ($((SECONDS - began)) s)"
}
for part in "${parts[@]}"; do prove "$part"; done
if [ -s "$scratch/failed" ]; then
	echo "prove: failed:" >&2
	sed 's/^[0-9]* /  /' "$scratch/failed" >&2
	grep -qv '^4 ' "$scratch/failed" || exit 4
	exit 1
fi
