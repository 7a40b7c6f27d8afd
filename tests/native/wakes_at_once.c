// Two or three processes and no other thread, in every mixture, as they meet: a wakeup that is lost in
// a race stops them all, since their slices are of a minute.
#include "wakes.h"
#include "rwlock_cells.h"

#include <signal.h>
#include <stddef.h>
#include <sys/time.h>
#include <unistd.h>

#define TURNS 1500 // of each

static const char *what_each_does;
static void dally(int turn) // so that the others come while it is held, and sometimes fall asleep
{
	if (turn % 16 == 0)
		usleep(20);
	for (volatile int k = turn * 37 % 400; k--;)
		;
}

static void one_turn(char what, int turn)
{
	enum hd_status status = HD_OK;
	if (what == 'M') {
		status = acquire(m, 0);
		dally(turn);
		repair_and_release(m, status);
	} else if (what == 'U') {
		enter(HD_READ, false, 0);
		for (bool first = true; (status = hd_rw_upgrade(arena, me(), l, 0, first)) == HD_INTERRUPTED; first = false)
			;
		dally(turn);
		hd_rw_release(arena, me(), l);
	} else {
		status = enter(what == 'R' || what == 'P' ? HD_READ : HD_WRITE, what == 'P', 0);
		dally(turn);
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
	atomic_fetch_add(&shared->woken, 1);
	await_word(&shared->told, 1, "all are there");
	if (what == 'A' || what == 'O')
		ball(what);
	else
		for (int i = 0; i < TURNS; i++)
			one_turn(what, i);
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
		await_word(&shared->woken, sleeper_count, "all are there");
		atomic_store(&shared->told, 1);
		right &= sleepers_are_done(together[i]);
	}
	return right;
}

// A claimer closes for a moment, to look; who came to pass meanwhile sleeps, and must be called when it opens
// again.  A signal is what comes between its two looks here: it lets another read, or not.
static uint32_t reader;
static void read_or_not(int unused)
{
	(void)unused;
	atomic_fetch_xor(&l->cells[0], (uint64_t)HD_READING << 2 * (reader - 1));
}

static void live(void)
{
	me();
	atomic_store(&shared->stage, 1);
	for (;;)
		pause();
}

bool a_claim_that_opens_again_calls(void)
{
	begin();
	pid_t pid = start(live);
	await_word(&shared->stage, 1, "another lives");
	reader = seat_of_process(pid)->number;
	atomic_fetch_or(&l->cells[0], (uint64_t)HD_WANTS << 2 * 7); // of the last seat
	struct sigaction flips = {.sa_handler = read_or_not};
	sigaction(SIGALRM, &flips, NULL);
	struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
	setitimer(ITIMER_REAL, &often, NULL);
	uint32_t phase = l->phase;
	uint64_t until = in_ms(GATE_S * 1000);
	while (l->phase == phase && hd_precise_now() < until) {
		l->writer = me()->id;
		hd_rw_close_and_look(arena, me(), l, &l->writer);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	end(pid);
	bool right = l->phase != phase && l->writer == me()->id; // open again: not CLOSED
	l->writer = 0;
	return right;
}
