#!/usr/bin/env bash
# The C core on its own: built without Python.h, run under the sanitizers.
#
#   ci/native.sh [asan|tsan|valgrind]...     default: asan tsan
#
# Every harness/locks/native/test_*.c that has a main() becomes one program,
# linked with the whole core (all *.c but binding_*.c); the other test_*.c are
# helpers and go into each of them.  Builds in a directory of its own, removed on
# exit.  Exit: 0 clean, 1 something was found, 2 usage, 4 this machine cannot.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
native=$root/harness/locks/native
cc=${CC:-gcc}
limit=${NATIVE_LIMIT:-300} # seconds for one program; a hang is a finding too
flags=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -g -O1 -fno-omit-frame-pointer -pthread "-I$native")

cannot() { # fact, command
	printf 'native: %s\n  try: %s\n' "$1" "$2" >&2
	exit 4
}

for kind in "$@"; do
	case $kind in
	asan | tsan | valgrind) ;;
	*)
		printf 'native: unknown kind %q\n  try: ci/native.sh asan tsan valgrind\n' "$kind" >&2
		exit 2
		;;
	esac
done
[ $# -gt 0 ] || set -- asan tsan

command -v "$cc" >/dev/null || cannot "there is no C compiler ($cc)" "apt-get install gcc"
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

core=() programs=() helpers=()
shopt -s nullglob
for source in "$native"/*.c; do
	case $(basename "$source") in
	binding_*) ;;
	test_*) if grep -qE '(^|[^a-z_])main *\(' "$source"; then programs+=("$source"); else helpers+=("$source"); fi ;;
	*) core+=("$source") ;;
	esac
done
[ ${#core[@]} -gt 0 ] && [ ${#programs[@]} -gt 0 ] || {
	printf 'native: no core or no test program in %s\n  try: git status harness/locks/native\n' "$native" >&2
	exit 1
}

# The compiler may be there without the runtime that its option needs.
require_runtime() { # option
	printf 'int main(void) { return 0; }\n' >"$build/probe.c"
	"$cc" "$1" -o "$build/probe" "$build/probe.c" 2>"$build/probe.err" ||
		cannot "$cc cannot link with $1: $(tail -n 1 "$build/probe.err")" "apt-get install gcc libc6-dev"
}

compile_all() { # kind, flags...
	local kind=$1 object
	shift
	local objects=() pids=()
	mkdir -p "$build/$kind"
	for source in "${core[@]}" "${helpers[@]}" "${programs[@]}"; do
		object=$build/$kind/$(basename "$source" .c).o
		"$cc" "${flags[@]}" "$@" -c -o "$object" "$source" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid"; done
	for source in "${core[@]}" "${helpers[@]}"; do
		objects+=("$build/$kind/$(basename "$source" .c).o")
	done
	for source in "${programs[@]}"; do
		object=$build/$kind/$(basename "$source" .c)
		"$cc" "${flags[@]}" "$@" -o "$object" "$object.o" "${objects[@]}"
	done
}

run_one() { # command...
	# 124 is timeout's own answer
	timeout --foreground --kill-after=10 "$limit" "$@" </dev/null >"$build/out" 2>&1
}

# ThreadSanitizer of older compilers needs the address space laid out as it was
# when they were made.  Kernels that randomize more bits make it refuse at start,
# before main: then fix the layout, or where that is forbidden draw another one.
run_tsan() { # program
	local status=0 try
	run_one "$1" || status=$?
	for try in 1 2 3 4 5 6 7 8 9 10; do
		[ "$status" -ne 0 ] && grep -q "unexpected memory mapping" "$build/out" || return "$status"
		status=0
		if setarch -R true 2>/dev/null; then
			run_one setarch -R "$1" || status=$?
		else
			run_one "$1" || status=$?
		fi
	done
	cannot "ThreadSanitizer does not accept this kernel's memory layout ($try tries)" "sudo sysctl vm.mmap_rnd_bits=28"
}

check() { # kind, how...
	local kind=$1 program status
	shift
	for source in "${programs[@]}"; do
		program=$build/$kind/$(basename "$source" .c)
		status=0
		"$@" "$program" || status=$?
		if [ "$status" -ne 0 ]; then
			cat "$build/out"
			[ "$status" -eq 124 ] && echo "native: no end within $limit s"
			printf 'native: %s failed under %s (status %s)\n  try: ci/native.sh %s\n' \
				"$(basename "$program")" "$kind" "$status" "$kind" >&2
			exit 1
		fi
		printf 'native: %-8s %-24s %s\n' "$kind" "$(basename "$program")" "$(tail -n 1 "$build/out")"
	done
}

for kind in "$@"; do
	case $kind in
	asan)
		require_runtime -fsanitize=address,undefined
		compile_all asan -fsanitize=address,undefined -fno-sanitize-recover=all
		export ASAN_OPTIONS=${ASAN_OPTIONS:-halt_on_error=1:detect_stack_use_after_return=1}
		export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
		check asan run_one
		;;
	tsan)
		require_runtime -fsanitize=thread
		compile_all tsan -fsanitize=thread
		# Its own deadlock detector is off: these tests take locks in both orders on
		# purpose.  A fork of a process with threads is what the core is for.
		export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:detect_deadlocks=0:die_after_fork=0}
		check tsan run_tsan
		;;
	valgrind)
		command -v valgrind >/dev/null || cannot "there is no valgrind" "apt-get install valgrind libc6-dbg"
		compile_all valgrind
		check valgrind run_one valgrind -q --error-exitcode=99 --leak-check=full --trace-children=yes
		;;
	esac
done
