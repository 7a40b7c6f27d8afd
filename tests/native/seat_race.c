// Several sit down at once on a table whose rows all belong to the dead: no seat twice, and
// a seat for each.
//
//   seat_race ROUNDS [PROCESSES]
#include "prove.h"

#include <stdio.h>
#include <string.h>

#define MOST 8
static struct { _Atomic int ready, go, sat, done; uint32_t seat[MOST], id[MOST]; } *shared;
static int number;

static void dead(void) { acquire(number ? m : m2, 100); } // ends with it held

static void newcomer(void)
{
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->go))
		;
	struct hd_seat *s = hd_sit(arena, "newcomer");
	shared->seat[number] = s ? s->number : 0;
	shared->id[number] = s ? s->id : 0;
	atomic_fetch_add(&shared->sat, 1);
	await_word(&shared->done, 1, "all have sat down");
}

static int round_of(int processes) // how many share a seat, or have none
{
	pid_t pids[MOST];
	int bad = 0;
	fresh_arena((uint32_t)processes + 1); // the main process has one
	memset(shared, 0, sizeof *shared);
	for (number = 0; number < processes; number++)
		finish(start(dead));
	for (number = 0; number < processes; number++)
		pids[number] = start(newcomer);
	await_word(&shared->ready, processes, "all are ready");
	atomic_store(&shared->go, 1);
	await_word(&shared->sat, processes, "all have tried to sit down");
	for (int i = 0; i < processes; i++) {
		bad += !shared->seat[i] || hd_id_dead(arena, shared->id[i]);
		for (int k = 0; k < i; k++)
			bad += shared->seat[i] == shared->seat[k];
	}
	atomic_store(&shared->done, 1);
	for (int i = 0; i < processes; i++)
		bad += finish(pids[i]) != 0;
	return bad;
}

int main(int argc, char **argv)
{
	int rounds = number_argument(argc, argv, 1, 500), processes = number_argument(argc, argv, 2, 4), bad = 0;
	shared = shared_memory(sizeof *shared);
	for (int i = 0; i < rounds; i++)
		bad += round_of(processes < MOST ? processes : MOST) != 0;
	printf("seat_race: %d rounds of %d at once on the seats of the dead: a seat twice, dead or missing %d\n", rounds, processes, bad);
	return bad != 0;
}
