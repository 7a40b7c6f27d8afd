// killstep: operations of the mutex.
#include "killstep.h"

#include <unistd.h>

static void once(struct hd_seat *s)
{
	hd_mutex_try(arena, s, m, 0, true);
	hd_mutex_release(arena, s, m);
}

static void die_inside(void) { acquire(m, 100); }
static void let_one_die(void) { finish(start(die_inside)); }

static void repair(struct hd_seat *s)
{
	hd_mutex_try(arena, s, m, 0, true);
	record->repaired = 1;
	hd_mutex_recover(s, m);
	hd_mutex_release(arena, s, m);
}

static void let_go_unrepaired(struct hd_seat *s)
{
	hd_mutex_try(arena, s, m, 0, true);
	record->let_go = 1;
	hd_mutex_abandon(arena, s, m);
}

static void break_it(void) { m->suspect = 2; }
static void take_it(struct hd_seat *s) { hd_mutex_try(arena, s, m, 0, true); }

static void two(struct hd_seat *s)
{
	hd_mutex_try(arena, s, m, 0, true);
	hd_mutex_try(arena, s, m2, 0, true);
	hd_mutex_release(arena, s, m); // not in reverse order: a gap in the rows
	hd_mutex_release(arena, s, m2);
}

static void hold(void) { acquire(m, 100); }
static void wait_3_ms(struct hd_seat *s) { (void)s, acquire(m, 3); }
static bool give(void) { return hd_mutex_release(arena, me(), m) == HD_OK; }

static void wait_and_cancel(struct hd_seat *s)
{
	if (hd_mutex_try(arena, s, m, 0, true) == HD_BUSY && hd_mutex_wait(arena, s, m, 0, in_ms(12)) == HD_INTERRUPTED)
		hd_mutex_cancel(arena, s, m);
}

static void hold_until_it_waits(void)
{
	acquire(m, 100);
	record->go = 1;
	await_word(&record->go, 2, "the victim goes for the mutex");
	usleep(1000); // only how far the victim gets before the mutex is given, not a condition
	hd_mutex_release(arena, me(), m);
}

static void start_holder(void)
{
	other = start(hold_until_it_waits);
	await_word(&record->go, 1, "another holds the mutex");
}

static void say_go(void)
{
	me();
	record->go = 2;
}

static void wait_for_it(struct hd_seat *s)
{
	acquire(m, 5000);
	hd_mutex_release(arena, s, m);
}

static bool holder_is_done(void)
{
	int status = finish(other);
	other = 0;
	return status == 0 && !record->told;
}

static void wait_for_the_victim(void)
{
	enum hd_status status = acquire(m, 20000);
	if (status == HD_OWNER_DIED)
		record->told = 1;
	repair_and_release(m, status);
	record->woken = in_lock(status);
}

static void start_waiter(void)
{
	other = start(wait_for_the_victim);
	await_activity(other, HD_WAIT_MUTEX);
}

static void take_before(void) { acquire(m, 100); }
static void release_it(struct hd_seat *s) { hd_mutex_release(arena, s, m); }

static bool waiter_got_it(void)
{
	finish(other);
	other = 0;
	return record->woken && record->told <= 1;
}

const struct operation lock_operations[] = {
	{"mutex: acquire, release", .run = once},
	{"mutex of a dead holder: told, recover, release", .prepare = let_one_die, .run = repair, .told = ON_M},
	{"mutex of a dead holder: told, released unrepaired", .prepare = let_one_die, .run = let_go_unrepaired, .told = ON_M, .broken = ON_M},
	{"mutex: broken, taken", .prepare = break_it, .run = take_it, .broken = ON_M, .broken_before = true},
	{"two mutexes, released out of order", .run = two},
	{"mutex: waits 3 ms for a living holder", .prepare = hold, .run = wait_3_ms, .after = give},
	{"mutex: queues up behind a living holder, gives up", .prepare = hold, .run = wait_and_cancel, .after = give},
	{"mutex: waits, the holder gives it", .prepare = start_holder, .before = say_go, .run = wait_for_it, .after = holder_is_done},
	{"mutex: release, another waits", .before = take_before, .run = release_it, .meanwhile = start_waiter, .after = waiter_got_it},
};
const int lock_operation_count = sizeof lock_operations / sizeof *lock_operations;
