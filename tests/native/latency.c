// What a killed holder costs the one that waits, and how much each gets under contention.
//
//   latency KILLS [fair]     fair: who gets how much, 3 s each
//
// The figures are printed, not judged: a loaded machine may miss any bound.  Judged is who is
// told, and with "fair" that each gets something.
#include "prove.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum take { READ, WRITE, MUTEX, PASS };
static struct { _Atomic int ready, stop, told; _Atomic uint64_t got, count[8], longest[8]; } *shared;
static enum take held, wanted;

static enum hd_status take(enum take what) { return what == MUTEX ? acquire(m, 0) : enter(what == WRITE ? HD_WRITE : HD_READ, what == PASS, 0); }

static void give(enum take what, enum hd_status status)
{
	if (what == MUTEX)
		repair_and_release(m, status);
	else
		repair_and_leave(status);
}

static void holder(void)
{
	take(held);
	atomic_store(&shared->ready, 1);
	for (;;)
		pause();
}

static void waiter(void)
{
	enum hd_status status = take(wanted);
	shared->got = hd_precise_now();
	shared->told += status == HD_OWNER_DIED;
	give(wanted, status);
	hd_leave_seat(arena);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static bool kills(const char *name, enum take of, enum take by, unsigned after_us, int rounds)
{
	static const enum hd_activity waits[] = {HD_WAIT_READ, HD_WAIT_WRITE, HD_WAIT_MUTEX, HD_WAIT_READ};
	uint64_t *times = calloc((size_t)rounds, sizeof *times);
	held = of, wanted = by, shared->told = 0;
	for (int i = 0; i < rounds; i++) {
		shared->ready = 0;
		pid_t dies = start(holder);
		await_word(&shared->ready, 1, "the lock is held");
		pid_t waits_for_it = start(waiter);
		await_activity(waits_for_it, waits[by]);
		usleep(after_us); // how long it has waited: what is measured, not a condition
		uint64_t at = hd_precise_now();
		kill(dies, SIGKILL);
		finish(waits_for_it), finish(dies);
		times[i] = shared->got > at ? shared->got - at : 0;
	}
	qsort(times, (size_t)rounds, sizeof *times, by_size);
	int expected = of == READ ? 0 : rounds;
	printf("%-46s median %.3f ms, p99 %.3f ms, worst %.3f ms; told %d of %d\n", name, (double)times[rounds / 2] / 1e6, (double)times[rounds * 99 / 100] / 1e6,
	       (double)times[rounds - 1] / 1e6, shared->told, rounds);
	free(times);
	return shared->told == expected;
}

static int number;
static enum take what;

static void loop(void)
{
	me();
	atomic_fetch_add(&shared->ready, 1);
	while (!shared->stop) {
		uint64_t began = hd_precise_now();
		enum hd_status status = take(what);
		uint64_t took = hd_precise_now() - began;
		if (took > shared->longest[number])
			shared->longest[number] = took;
		for (volatile int k = 0; k < 2000; k++)
			;
		give(what, status);
		shared->count[number]++;
	}
}

static bool fair(const char *name, const char *who) // W writer, R reader, P passing reader, M mutex
{
	pid_t pids[8];
	bool each = true;
	memset(shared, 0, sizeof *shared);
	int n = (int)strlen(who);
	for (number = 0; number < n; number++) {
		what = who[number] == 'W' ? WRITE : who[number] == 'M' ? MUTEX : who[number] == 'P' ? PASS : READ;
		pids[number] = start(loop);
	}
	sleep(3); // how much is done in it, not a condition
	shared->stop = 1;
	printf("%-28s", name);
	for (int i = 0; i < n; i++) {
		finish(pids[i]);
		printf(" %c %lu (longest wait %.0f ms)", who[i], (unsigned long)shared->count[i], (double)shared->longest[i] / 1e6);
		each &= shared->count[i] > 0;
	}
	puts("");
	return each;
}

int main(int argc, char **argv)
{
	int rounds = number_argument(argc, argv, 1, 100);
	bool right = true;
	shared = shared_memory(sizeof *shared);
	fresh_arena(8);
	right &= kills("reader killed, writer has waited 0.3 ms", READ, WRITE, 300, rounds);
	right &= kills("reader killed, writer has waited 20 ms", READ, WRITE, 20000, rounds);
	right &= kills("writer killed, reader has waited 20 ms", WRITE, READ, 20000, rounds);
	right &= kills("writer killed, writer has waited 20 ms", WRITE, WRITE, 20000, rounds);
	right &= kills("mutex holder killed, waited for 20 ms", MUTEX, MUTEX, 20000, rounds);
	if (argc > 2) {
		right &= fair("3 writers, 1 reader", "WWWR") && fair("3 readers, 1 writer", "RRRW");
		right &= fair("3 passing readers, 1 writer", "PPPW") && fair("3 on a mutex", "MMM");
	}
	printf("latency: 5 x %d kills of a holder, %s\n", rounds, right ? "each next one is told, or not, as it must be" : "WRONG");
	return !right;
}
