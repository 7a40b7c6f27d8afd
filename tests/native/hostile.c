// A damaged arena is refused, or used without harm: no signal, no hang.
//
//   hostile ROUNDS
#include "prove.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static unsigned seed = 7;
static uint64_t draw(uint64_t n) { return (uint64_t)rand_r(&seed) % n; }

static void die_holding(void) { acquire(m, 100), enter(HD_READ, false, 100); }

static void use(void)
{
	alarm(20);
	struct hd_seat *s = hd_sit(arena, "user");
	if (!s)
		_exit(0);
	acquire(m, 20), acquire(m2, 20);
	for (int i = 0; i < 2; i++)
		repair_and_leave(enter(i ? HD_WRITE : HD_READ, i, 20));
	hd_channel_register(arena, s, c, c->seq);
	hd_channel_wait(arena, s, c, in_ms(1));
	hd_channel_unregister(arena, s, c);
	hd_channel_wake(arena, s, c, 0, false), hd_channel_wake(arena, s, c, 0, true);
	hd_mutex_release(arena, s, m), hd_mutex_release(arena, s, m2);
	hd_declare_class(arena, "new", 0, 0), hd_intern_site(arena, "file", 1, "function"), hd_intern_name(arena, "name");
	hd_check_sleep(arena, s, 0, 0);
	hd_report(arena, s, HD_REPORT_PANIC, hd_offset(arena, m), hd_offset(arena, l), 0, 0, "text");
	hd_leave_seat(arena);
}

struct area { uint64_t from, to; };

static void damage(const struct area *area)
{
	for (uint64_t n = 1 + draw(8); n--;) {
		uint64_t at = area->from + draw(area->to - area->from);
		if (draw(3)) {
			((unsigned char *)arena)[at] = (unsigned char)draw(256);
			continue;
		}
		uint64_t value = draw(2) ? ~0ull >> draw(64) : draw(1u << 31) << 33 | draw(1u << 31);
		memcpy((char *)arena + (at & ~7ull), &value, sizeof value);
	}
}

int main(int argc, char **argv)
{
	int rounds = number_argument(argc, argv, 1, 1000), refused = 0, used = 0, signalled = 0, hung = 0;
	fresh_arena(4);
	hd_leave_seat(arena);
	finish(start(die_holding));
	struct area areas[] = {
		{0, offsetof(struct hd_arena, refusal)},
		{offsetof(struct hd_arena, mode), sizeof(struct hd_arena)},
		{arena->seats, arena->seats + 2048},
		{arena->seats, arena->seats + 4 * sizeof(struct hd_seat)},
		{arena->classes, arena->classes + 256},
		{hd_offset(arena, m), hd_offset(arena, l) + sizeof *l},
		{hd_offset(arena, c), hd_offset(arena, c) + sizeof *c},
	};
	char *good = malloc(arena_size);
	memcpy(good, arena, arena_size);
	for (int i = 0; i < rounds; i++) {
		memcpy(arena, good, arena_size);
		unsigned area = (unsigned)draw(sizeof areas / sizeof *areas);
		damage(&areas[area]);
		if (hd_check(arena, arena_size) != HD_OK) {
			refused++;
			continue;
		}
		int status = finish(start(use));
		hung += status == 100 + SIGALRM;
		signalled += status > 100 && status != 100 + SIGALRM;
		used += status <= 100;
		if (status > 100)
			printf("  signal %d after round %d, area %u\n", status - 100, i, area);
	}
	free(good);
	printf("hostile: %d damaged arenas: %d refused, %d used without harm, %d ended by a signal, %d hung\n", rounds, refused, used, signalled, hung);
	return signalled || hung;
}
