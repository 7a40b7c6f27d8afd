// No thread that sleeps depends on the end of its slice: built with slices of a minute
// (HD_SLICE_NS), every wakeup that is dropped is a gate that is not reached.
//
// One sleeps - it has published its wait and the kernel says it sleeps -, another does what
// must wake it: gives the lock, gives up its claim, dies.
#include "rwlock_cells.h"
#include "wakes.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

struct shared *shared;
pid_t sleepers[3];
int sleeper_count;

static int first_number(pid_t pid, const char *file, const char *format, char *state)
{
	char path[64];
	int number = -1;
	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	FILE *f = fopen(path, "r");
	if (f && fscanf(f, format, state ? (void *)state : (void *)&number) != 1)
		number = -1;
	if (f)
		fclose(f);
	return number;
}

// For good: a wait for a lock begins with a plain sleep of 2 ms, which would repair what is to be
// seen.  Where the kernel has no futex_waitv, or does not say, any sleep must do.
static bool asleep(pid_t pid)
{
	char state = 0;
	first_number(pid, "stat", "%*d (%*[^)]) %c", &state);
	bool plain = syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) < 0 && errno != EINVAL;
	int call = first_number(pid, "syscall", "%d", NULL);
	return state == 'S' && (plain || call < 0 || call == SYS_futex_waitv || waits_as(pid, HD_SLEEPING));
}

static enum hd_activity activity;
static bool all_asleep(void)
{
	for (int i = 0; i < sleeper_count; i++)
		if (!waits_as(sleepers[i], activity) || !asleep(sleepers[i]))
			return false;
	return true;
}

static void sleepers_start(void (*body)(void), int count, enum hd_activity what)
{
	activity = what;
	for (sleeper_count = 0; sleeper_count < count; sleeper_count++)
		sleepers[sleeper_count] = start(body);
	await(all_asleep, "all of them sleep");
}

bool sleepers_are_done(const char *what)
{
	bool right = true;
	await_word(&shared->done, sleeper_count, what);
	for (int i = 0; i < sleeper_count; i++)
		right &= finish(sleepers[i]) == 0;
	return right;
}

static void got(enum hd_status status)
{
	if (status == HD_OWNER_DIED)
		atomic_fetch_add(&shared->told, 1);
	if (in_lock(status))
		atomic_fetch_add(&shared->done, 1);
}

static void lock_mutex(struct hd_mutex *mutex)
{
	enum hd_status status = acquire(mutex, 0);
	got(status);
	repair_and_release(mutex, status);
}

static void lock_m(void) { lock_mutex(m); }
static void lock_one_each(void) { lock_mutex(sleeper_count ? m2 : m); }

static void lock_rw(uint8_t kind)
{
	enum hd_status status = enter(kind, false, 0);
	got(status);
	repair_and_leave(status);
}

static void read_it(void) { lock_rw(HD_READ); }
static void write_it(void) { lock_rw(HD_WRITE); }

static void upgrade_it(void)
{
	enum hd_status status = enter(HD_READ, false, 0);
	for (bool first = true; in_lock(status) && (status = hd_rw_upgrade(arena, me(), l, 0, first)) == HD_INTERRUPTED; first = false)
		;
	got(status);
	hd_rw_release(arena, me(), l);
}

static void hold(void (*take)(void), pid_t *holder) // in a process that can be killed
{
	atomic_store(&shared->stage, 0);
	*holder = start(take);
	await_word(&shared->stage, 1, "another holds it");
}

static void stay(void)
{
	atomic_store(&shared->stage, 1);
	for (;;)
		pause();
}

static void keep_m(void) { acquire(m, 0), stay(); }
static void keep_m_and_m2(void) { acquire(m, 0), acquire(m2, 0), stay(); }
static void keep_read(void) { enter(HD_READ, false, 0), stay(); }
static void keep_write(void) { enter(HD_WRITE, false, 0), stay(); }
static void keep_upgraded(void) { enter(HD_READ, false, 0), hd_rw_upgrade(arena, me(), l, 0, true), stay(); }

static void claim_then_give_up(void) // a writer behind a reader, with a time limit
{
	atomic_store(&shared->stage, 1);
	enter(HD_WRITE, false, 300);
}

// --- the lock is given
void begin(void)
{
	while (arena && hd_find_held(me(), hd_offset(arena, l))) // what a downgrade has left
		hd_rw_release(arena, me(), l);
	fresh_arena(8);
	memset(shared, 0, sizeof *shared);
}

// A signal makes it look again: then it has waited too long, and queues up.
static bool first_is_set(void)
{
	if (!atomic_load(&m->first))
		kill(sleepers[0], SIGUSR1);
	return atomic_load(&m->first) != 0;
}

static void nothing(int unused) { (void)unused; }

static bool mutex_given(int sleepers_there, bool queued)
{
	begin();
	acquire(m, 0);
	sleepers_start(lock_m, sleepers_there, HD_WAIT_MUTEX);
	if (queued) {
		await(first_is_set, "one has waited too long and queues");
		await(all_asleep, "all of them sleep again");
	}
	hd_mutex_release(arena, me(), m);
	return sleepers_are_done("the mutex that was given is taken") && !shared->told;
}

static bool mutex_of_one_soon(void) { return mutex_given(1, false); }
static bool mutex_of_three_soon(void) { return mutex_given(3, false); }
static bool mutex_of_two_queued(void) { return mutex_given(2, true); }

static bool rw_given(uint8_t kind, void (*sleeper)(void), int count, enum hd_activity what)
{
	begin();
	enter(kind, false, 0);
	sleepers_start(sleeper, count, what);
	hd_rw_release(arena, me(), l);
	return sleepers_are_done("the read/write lock that was given is taken") && !shared->told;
}

static bool writer_to_readers(void) { return rw_given(HD_WRITE, read_it, 2, HD_WAIT_READ); }
static bool writer_to_writers(void) { return rw_given(HD_WRITE, write_it, 2, HD_WAIT_WRITE); }
static bool reader_to_writers(void) { return rw_given(HD_READ, write_it, 2, HD_WAIT_WRITE); }
static bool reader_to_upgrader(void) { return rw_given(HD_READ, upgrade_it, 1, HD_WAIT_UPGRADE); }

static void upgrade_when_told(void)
{
	enter(HD_READ, false, 0);
	atomic_store(&shared->stage, 1);
	await_word(&shared->stage, 2, "a writer is giving the lock");
	for (bool first = true; hd_rw_upgrade(arena, me(), l, 0, first) == HD_INTERRUPTED; first = false)
		;
	atomic_fetch_add(&shared->done, 1);
	hd_rw_release(arena, me(), l);
}

// An upgrader that was let in waits until the one that lets in is done.
static bool giver_to_upgrader(void)
{
	begin();
	sleeper_count = 1;
	sleepers[0] = start(upgrade_when_told);
	await_word(&shared->stage, 1, "it reads");
	l->writer = me()->id | HD_GRANTED;
	atomic_store(&shared->stage, 2);
	activity = HD_WAIT_UPGRADE;
	await(all_asleep, "the upgrader sleeps");
	hd_rw_give_writer(arena, l, true);
	return sleepers_are_done("the upgrader is told that the lock has been given");
}

static bool downgrade_lets_readers_in(void)
{
	begin();
	enter(HD_WRITE, false, 0);
	sleepers_start(read_it, 2, HD_WAIT_READ);
	hd_rw_downgrade(arena, me(), l);
	return sleepers_are_done("readers are in after downgrade()");
}

static bool upgraded(bool down)
{
	begin();
	enter(HD_READ, false, 0);
	hd_rw_upgrade(arena, me(), l, 0, true);
	sleepers_start(read_it, 2, HD_WAIT_READ);
	if (down)
		hd_rw_downgrade(arena, me(), l);
	else
		hd_rw_release(arena, me(), l);
	return sleepers_are_done("readers are in after the upgraded one");
}

static bool upgraded_released(void) { return upgraded(false); }
static bool upgraded_downgraded(void) { return upgraded(true); }

static bool upgraded_to_writer(void)
{
	begin();
	enter(HD_READ, false, 0);
	hd_rw_upgrade(arena, me(), l, 0, true);
	sleepers_start(write_it, 2, HD_WAIT_WRITE);
	hd_rw_release(arena, me(), l);
	return sleepers_are_done("writers are in after the upgraded one");
}

static pid_t claimer;
static bool claimer_waits(void) { return waits_as(claimer, HD_WAIT_WRITE) && (l->writer & HD_ID_MASK); }

static bool claim_given_up(bool killed)
{
	begin();
	enter(HD_READ, false, 0);
	claimer = start(killed ? write_it : claim_then_give_up);
	await(claimer_waits, "a writer claims");
	sleepers_start(read_it, 2, HD_WAIT_READ);
	if (killed)
		kill(claimer, SIGKILL);
	finish(claimer);
	return sleepers_are_done("readers are in when the claim has been given up") && !shared->told;
}

static bool claim_timed_out(void) { return claim_given_up(false); }
static bool claimer_killed(void) { return claim_given_up(true); }

static void pass_it(void)
{
	enum hd_status status = enter(HD_READ, true, 0);
	got(status);
	repair_and_leave(status);
}

static bool passing_reader_passes_a_claim(void)
{
	begin();
	enter(HD_READ, false, 0);
	claimer = start(write_it);
	await(claimer_waits, "a writer claims");
	sleeper_count = 1;
	sleepers[0] = start(pass_it);
	bool right = sleepers_are_done("a passing reader is in beside a claim");
	hd_rw_release(arena, me(), l);
	return right && finish(claimer) == 0;
}

// --- the holder dies
static bool holder_dies(void (*keep)(void), void (*sleeper)(void), int count, enum hd_activity what, int told)
{
	pid_t holder;
	begin();
	hold(keep, &holder);
	sleepers_start(sleeper, count, what);
	end(holder);
	return sleepers_are_done("they have what the dead one held") && shared->told == told;
}

static bool mutex_holder_dies(void) { return holder_dies(keep_m, lock_m, 2, HD_WAIT_MUTEX, 1); }
static bool holder_of_two_dies(void) { return holder_dies(keep_m_and_m2, lock_one_each, 2, HD_WAIT_MUTEX, 2); } // the kernel wakes one
static bool reader_dies(void) { return holder_dies(keep_read, write_it, 2, HD_WAIT_WRITE, 0); }
static bool writer_dies_before_readers(void) { return holder_dies(keep_write, read_it, 3, HD_WAIT_READ, 1); }
static bool writer_dies_before_writers(void) { return holder_dies(keep_write, write_it, 2, HD_WAIT_WRITE, 1); }
static bool upgraded_dies_before_readers(void) { return holder_dies(keep_upgraded, read_it, 2, HD_WAIT_READ, 1); }
static bool upgraded_dies_before_writer(void) { return holder_dies(keep_upgraded, write_it, 1, HD_WAIT_WRITE, 1); }

// --- channels
static void sleep_on_channel(void)
{
	hd_wait_begin(me(), HD_SLEEPING, hd_offset(arena, c), 0, 0);
	hd_channel_register(arena, me(), c, c->seq);
	while (hd_channel_wait(arena, me(), c, 0) == HD_INTERRUPTED)
		;
	hd_channel_unregister(arena, me(), c);
	atomic_fetch_add(&shared->done, 1);
}

static bool wakeup_wakes_all(void)
{
	begin();
	sleepers_start(sleep_on_channel, 3, HD_SLEEPING);
	hd_channel_wake(arena, me(), c, 0, true);
	return sleepers_are_done("wakeup has woken all three") && !c->asleep[0];
}

static bool wakeup_one_wakes_one(void)
{
	bool right = true;
	begin();
	sleepers_start(sleep_on_channel, 3, HD_SLEEPING);
	for (int i = 1; i <= 3; i++) {
		hd_channel_wake(arena, me(), c, 0, false);
		await_word(&shared->done, i, "each wakeup_one has woken one");
		right &= __builtin_popcountll(c->asleep[0]) == 3 - i;
	}
	return right && sleepers_are_done("all are awake");
}

static bool wakeup_one_passes_the_dead_over(void)
{
	begin();
	sleepers_start(sleep_on_channel, 2, HD_SLEEPING);
	end(sleepers[0]);
	sleepers[0] = sleepers[1];
	sleeper_count = 1;
	hd_channel_wake(arena, me(), c, 0, false);
	return sleepers_are_done("wakeup_one has passed over the dead sleeper");
}

#define CASE(f) {#f, f}
static const struct { const char *name; bool (*holds)(void); } cases[] = {
	CASE(mutex_of_one_soon), CASE(mutex_of_three_soon), CASE(mutex_of_two_queued), CASE(writer_to_readers), CASE(writer_to_writers), CASE(reader_to_writers),
	CASE(reader_to_upgrader), CASE(giver_to_upgrader), CASE(downgrade_lets_readers_in), CASE(upgraded_released), CASE(upgraded_downgraded), CASE(upgraded_to_writer),
	CASE(passing_reader_passes_a_claim), CASE(at_once), CASE(a_claim_that_opens_again_calls), CASE(claim_timed_out), CASE(claimer_killed), CASE(mutex_holder_dies), CASE(holder_of_two_dies), CASE(reader_dies), CASE(writer_dies_before_readers),
	CASE(writer_dies_before_writers), CASE(upgraded_dies_before_readers), CASE(upgraded_dies_before_writer), CASE(wakeup_wakes_all),
	CASE(wakeup_one_wakes_one), CASE(wakeup_one_passes_the_dead_over),
};

int main(void)
{
	int count = sizeof cases / sizeof *cases, wrong = 0;
	shared = shared_memory(sizeof *shared);
	struct sigaction look_again = {.sa_handler = nothing}; // without SA_RESTART
	sigaction(SIGUSR1, &look_again, NULL);
	for (int i = 0; i < count; i++) {
		fprintf(stderr, "%s\n", cases[i].name); // what it was at when a gate was not reached
		if (!cases[i].holds()) {
			printf("wakes: wrong: %s (done %d, told %d)\n", cases[i].name, shared->done, shared->told);
			wrong++;
		}
	}
	printf("wakes: %d ways of waking a sleeper, slices of %.0f s: %d wrong\n", count, (double)HD_SLICE_NS / 1e9, wrong);
	return wrong != 0;
}
