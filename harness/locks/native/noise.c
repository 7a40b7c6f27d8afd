// Seeded delays at the places where they pay.

#include "lockcore.h"

#include <sched.h>

// How likely a seat with this speed is late.  Seats of speed 0 overtake all others for a while,
// as with random priorities that change at random points.
static uint32_t chance_of(const struct hd_seat *s, uint32_t chance)
{
	const uint32_t chances[] = {0, chance / 4, chance, 65536};
	return chances[s->noise_speed & 3];
}

// xorshift64*: good enough to choose which seat is late, and one word of state.
void hd_noise(struct hd_arena *a, struct hd_seat *s, enum hd_noise_place place)
{
	uint32_t chance = a->noise_chance[place];
	if (!chance)
		return;
	uint64_t x = s->random ? s->random : 1;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	s->random = x;
	uint64_t r = x * 0x2545f4914f6cdd1dull;
	if (a->noise_turn) {
		if (!s->noise_left) {
			s->noise_left = 1 + (uint32_t)(r >> 44) % (2 * a->noise_turn);
			s->noise_speed = r >> 42 & 3;
		}
		s->noise_left--;
		chance = chance_of(s, chance);
	}
	if ((r >> 16 & 0xffff) >= chance)
		return;
	if (!a->noise_sleep_ns || (r >> 40 & 3) == 0) {
		sched_yield();
		return;
	}
	struct timespec t = {0, (long)(a->noise_sleep_ns % 1000000000u)};
	nanosleep(&t, NULL);
}
