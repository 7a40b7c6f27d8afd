// Two or three processes and nobody else, in every mixture, as they meet: a wakeup that is lost in
// a race stops them all, since their slices are of a minute.
#include "wakes.h"
#include "rwlock_cells.h"

#include <stddef.h>

#define TURNS 800 // of each

static const char *what_each_does;
static void one_turn(char what)
{
	enum hd_status status = HD_OK;
	if (what == 'M') {
		repair_and_release(m, acquire(m, 0));
	} else if (what == 'U') {
		enter(HD_READ, false, 0);
		for (bool first = true; (status = hd_rw_upgrade(arena, me(), l, 0, first)) == HD_INTERRUPTED; first = false)
			;
		hd_rw_release(arena, me(), l);
	} else {
		status = enter(what == 'R' || what == 'P' ? HD_READ : HD_WRITE, what == 'P', 0);
		if (what == 'D')
			hd_rw_downgrade(arena, me(), l);
		repair_and_leave(status);
	}
}

static void ball(char what) // thrown by one to the other over the channel, to all or to one
{
	int mine = sleeper_count;
	for (int i = 0; i < TURNS; i++) {
		for (;;) {
			uint32_t intent = c->seq;
			if (atomic_load(&shared->stage) % 2 == mine)
				break;
			enum hd_status status = hd_channel_register(arena, me(), c, intent);
			for (status = status == HD_OK ? HD_INTERRUPTED : status; status == HD_INTERRUPTED;)
				status = hd_channel_wait(arena, me(), c, 0);
			hd_channel_unregister(arena, me(), c);
		}
		atomic_fetch_add(&shared->stage, 1);
		hd_channel_wake(arena, me(), c, 0, what == 'A');
	}
}

static void in_turn(void)
{
	char what = what_each_does[sleeper_count];
	me();
	if (what == 'A' || what == 'O')
		ball(what);
	else
		for (int i = 0; i < TURNS; i++)
			one_turn(what);
	atomic_fetch_add(&shared->done, 1);
}

bool at_once(void)
{
	static const char *const together[] = {"MM", "MMM", "RW", "WW", "PW", "UW", "UR", "DR", "RRW", "RWW", "PWW", "UDR", "AA", "OO"};
	bool right = true;
	for (size_t i = 0; i < sizeof together / sizeof *together; i++) {
		begin();
		what_each_does = together[i];
		for (sleeper_count = 0; together[i][sleeper_count]; sleeper_count++)
			sleepers[sleeper_count] = start(in_turn);
		right &= sleepers_are_done(together[i]);
	}
	return right;
}

// A claimer closes for a moment, to look; who came to pass meanwhile sleeps, and must be called when it opens
// again.  Here: one that reads now and then, one that wants, and we close and look until we met the first.
static void read_now_and_then(void)
{
	uint32_t seat = me()->number;
	atomic_store(&shared->stage, 1);
	for (;;) {
		cell_read(l, seat);
		cell_clear(l, seat);
	}
}

static uint32_t phase;
static bool met(void)
{
	l->writer = me()->id;
	hd_rw_close_and_look(arena, me(), l, &l->writer);
	return l->phase != phase;
}

bool a_claim_that_opens_again_calls(void)
{
	begin();
	l->cells[0] = (uint64_t)HD_WANTS << 2 * 7; // of the last seat
	phase = l->phase;
	pid_t reader = start(read_now_and_then);
	await_word(&shared->stage, 1, "another reads now and then");
	await(met, "the claim that opens again calls who wants");
	end(reader);
	l->writer = 0;
	return true;
}
