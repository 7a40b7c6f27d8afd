// a->b and b->a for the first time at the same moment: at least one side reports.
//
//   order_race ROUNDS
#include "prove.h"

#include <assert.h>
#include <stdio.h>

static _Atomic int ready, go;
struct side { struct hd_mutex *holds, *wants; uint16_t wanted_class; };

static void *take_both(void *arg)
{
	const struct side *side = arg;
	struct hd_seat *s = me();
	hd_mutex_try(arena, s, side->holds, 0, true);
	atomic_fetch_add(&ready, 1);
	while (!atomic_load(&go))
		;
	hd_check_order(arena, s, hd_offset(arena, side->wants), side->wanted_class, 0);
	hd_mutex_release(arena, s, side->holds);
	return NULL;
}

int main(int argc, char **argv)
{
	int rounds = number_argument(argc, argv, 1, 1000), missed = 0, both = 0;
	for (int i = 0; i < rounds; i++) {
		fresh_arena(4);
		struct hd_class *classes = hd_at(arena, arena->classes);
		classes[class_a].flags = classes[class_b].flags = 0;
		struct side sides[2] = {{m, m2, class_b}, {m2, m, class_a}};
		pthread_t threads[2];
		atomic_store(&ready, 0), atomic_store(&go, 0);
		for (int k = 0; k < 2; k++)
			assert(pthread_create(&threads[k], NULL, take_both, &sides[k]) == 0);
		await_word(&ready, 2, "both threads hold their first");
		atomic_store(&go, 1);
		for (int k = 0; k < 2; k++)
			pthread_join(threads[k], NULL);
		missed += !reported_any();
		both += arena->report_count == 2;
	}
	printf("order_race: %d rounds of a->b and b->a at once: never reported %d, by both sides %d\n", rounds, missed, both);
	return missed != 0;
}
