// Random SIGKILLs of processes with two threads each, on every lock, with not one seat more
// than can be alive.
//
//   chaos KILLS              counts who is stuck, told nothing, refused, or without a seat
//   chaos threads SECONDS    no thread is killed: the same work for ThreadSanitizer
//
// Every section of a lock writes two words, one after the other: a half-done pair that is
// seen without OWNER_DIED is a death that was swallowed.  Who is told notes of whom: the same death
// of the same holder is told once.  The thread that has made a report finds it whole.
#include "holds.h"
#include "prove.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES 3
#define MUTEXES 2
#define TOLD 64  // the last deaths that were told of each lock
#define PAUSE 40 // kills between two pauses, in which every thread must move
#ifdef __SANITIZE_THREAD__
#define DATA // a race on it is to be seen
#else
#define DATA volatile
#endif

static struct shared {
	_Atomic uint64_t operations[PROCESSES][2];
	_Atomic uint32_t doing[PROCESSES][2], stop;
	_Atomic uint32_t told, told_twice, half_done, refused, no_seat, broken, false_self_deadlock, reports, lost, torn;
	struct { uint64_t who[TOLD], next; } told_of[MUTEXES + 1]; // pid, tid; written by who holds the lock alone
	DATA uint64_t first[MUTEXES + 1], second[MUTEXES + 1]; // the last pair belongs to the rwlock
} *shared;

static __thread unsigned seed;
static unsigned draw(unsigned n) { return (unsigned)rand_r(&seed) % n; }

static void dally(void)
{
	for (unsigned i = draw(200); i--;)
		__asm__ volatile("");
	if (!draw(40))
		usleep(draw(300));
}

static void count(enum hd_status status)
{
	atomic_fetch_add(status == HD_BROKEN ? &shared->broken : status == HD_SELF_DEADLOCK ? &shared->false_self_deadlock : &shared->refused, 1);
}

// In the section of pair i.  Only a writer or the holder of a mutex changes it.
static void change(int i)
{
	if (shared->first[i] != shared->second[i])
		atomic_fetch_add(&shared->half_done, 1);
	shared->first[i]++;
	dally();
	shared->second[i]++;
}

static void look(int i)
{
	uint64_t seen = shared->first[i];
	bool whole = seen == shared->second[i];
	dally();
	if (!whole || shared->first[i] != seen || shared->second[i] != seen)
		atomic_fetch_add(&shared->half_done, 1);
}

// Of a dead one whose seat is another's by now only the doubt is left: not known, not counted.
static void note_of_whom(int i)
{
	const struct hd_holder *dead = i == MUTEXES ? hd_dead_before(arena, hd_offset(arena, l), sizeof *l) : hd_dead_before(arena, hd_offset(arena, i ? m2 : m), sizeof *m);
	uint64_t who = dead ? (uint64_t)dead->pid << 32 | dead->tid : 0;
	for (int k = 0; k < TOLD && who; k++)
		if (shared->told_of[i].who[k] == who)
			atomic_fetch_add(&shared->told_twice, 1);
	if (who)
		shared->told_of[i].who[shared->told_of[i].next++ % TOLD] = who;
}

static void repair(int i)
{
	atomic_fetch_add(&shared->told, 1);
	note_of_whom(i);
	shared->second[i] = shared->first[i];
}

static void use_mutex(struct hd_seat *s, int i)
{
	struct hd_mutex *mutex = i ? m2 : m;
	enum hd_status status = acquire(mutex, draw(4) ? 0 : 1);
	if (status == HD_TIMED_OUT)
		return;
	if (!in_lock(status)) {
		count(status);
		return;
	}
	if (status == HD_OWNER_DIED) {
		repair(i);
		hd_mutex_recover(s, mutex);
	}
	change(i);
	hd_mutex_release(arena, s, mutex);
}

static bool go_in(struct hd_seat *s, uint8_t kind, bool pass, int ms)
{
	enum hd_status status = enter(kind, pass, ms);
	if (status == HD_OWNER_DIED) {
		repair(MUTEXES);
		hd_rw_recover(s, arena, l);
	} else if (status != HD_OK && status != HD_TIMED_OUT) {
		count(status);
	}
	return in_lock(status);
}

static void use_as_told(struct hd_seat *s) // one who was told as reader holds it alone
{
	if (hd_find_held(s, hd_offset(arena, l))->kind == HD_WRITE)
		change(MUTEXES);
	else
		look(MUTEXES);
}

static void read_it(struct hd_seat *s, bool pass, int ms)
{
	if (go_in(s, HD_READ, pass, ms)) {
		use_as_told(s);
		hd_rw_release(arena, s, l);
	}
}

static void write_it(struct hd_seat *s, int ms, bool downgrade)
{
	if (!go_in(s, HD_WRITE, false, ms))
		return;
	change(MUTEXES);
	if (downgrade) {
		hd_rw_downgrade(arena, s, l);
		look(MUTEXES);
	}
	hd_rw_release(arena, s, l);
}

static void upgrade_it(struct hd_seat *s)
{
	if (!go_in(s, HD_READ, false, 0))
		return;
	use_as_told(s);
	if (hd_find_held(s, hd_offset(arena, l))->kind == HD_READ) {
		enum hd_status status = hd_rw_upgrade(arena, s, l, 0, true);
		for (int i = 0; status == HD_INTERRUPTED && i < 50; i++)
			status = hd_rw_upgrade(arena, s, l, 0, false);
		if (status == HD_OK)
			change(MUTEXES);
		else if (status == HD_INTERRUPTED)
			hd_rw_cancel(arena, s, l);
		else if (status != HD_BUSY)
			count(status);
	}
	hd_rw_release(arena, s, l);
}

static void sleep_a_little(struct hd_seat *s)
{
	uint64_t deadline = in_ms(2);
	enum hd_status status = hd_channel_register(arena, s, c, c->seq);
	if (status == HD_FULL)
		count(status);
	for (status = status == HD_OK ? HD_INTERRUPTED : status; status == HD_INTERRUPTED;)
		status = hd_channel_wait(arena, s, c, deadline);
	hd_channel_unregister(arena, s, c);
}

// A row by value, as a watcher reads it: believed when its number is the same afterwards.
// Whole is: all that one author wrote, which follows from its key.
__attribute__((no_sanitize_thread)) static bool row_of(uint32_t number, struct hd_report *out)
{
	struct hd_report *row = (struct hd_report *)hd_at(arena, arena->reports) + number % HD_REPORTS;
	if (atomic_load(&row->state) != number + 1)
		return false;
	out->site_a = row->site_a, out->site_b = row->site_b, out->kind = row->kind;
	for (size_t i = 0; i < sizeof out->text; i++)
		out->text[i] = ((volatile char *)row->text)[i];
	return atomic_load(&row->state) == number + 1;
}

static bool whole(const struct hd_report *r)
{
	char text[32];
	snprintf(text, sizeof text, "key %u", r->site_a);
	return r->site_b == ~r->site_a && r->kind == HD_REPORT_PANIC && !strncmp(r->text, text, sizeof text);
}

static void report_it(struct hd_seat *s)
{
	char text[32];
	struct hd_report r;
	uint32_t key = atomic_fetch_add(&shared->reports, 1), begun = atomic_load(&arena->report_count);
	snprintf(text, sizeof text, "key %u", key);
	hd_report(arena, s, HD_REPORT_PANIC, 0, 0, key, ~key, text);
	bool found = false;
	for (uint32_t number = begun; number != atomic_load(&arena->report_count); number++)
		if (row_of(number, &r)) {
			found |= r.site_a == key;
			atomic_fetch_add(&shared->torn, !whole(&r));
		}
	atomic_fetch_add(&shared->lost, !found);
}

static void one_of(struct hd_seat *s, unsigned which)
{
	switch (which) {
	case 0: case 1: case 2: use_mutex(s, 0); break;
	case 3: use_mutex(s, 1); break;
	case 4: read_it(s, false, 0); break;
	case 5: read_it(s, true, 0); break;
	case 6: upgrade_it(s); break;
	case 7: write_it(s, 0, draw(2)); break;
	case 8: write_it(s, 1 + (int)draw(3), false); break;
	case 9: read_it(s, false, 1); break;
	case 10: if (!draw(20)) sleep_a_little(s); break;
	case 11: hd_channel_wake(arena, s, c, 0, draw(2)); break;
	case 12: if (!draw(100)) report_it(s); break; // so few that no row is used again while its author is late
	}
}

static void work(int process, int thread)
{
	seed = (unsigned)getpid() * 31 + (unsigned)thread * 7 + 1;
	struct hd_seat *s = hd_sit(arena, "worker");
	for (uint64_t until = in_ms(10000); !s && hd_precise_now() < until; s = hd_sit(arena, "worker"))
		usleep(500); // the killed one may still be on its way out
	if (!s) {
		atomic_fetch_add(&shared->no_seat, 1);
		return;
	}
	while (!shared->stop) {
		unsigned which = draw(13);
		shared->doing[process][thread] = which;
		one_of(s, which);
		atomic_fetch_add(&shared->operations[process][thread], 1);
	}
}

static int my_process;
static void *second_thread(void *unused) { (void)unused, work(my_process, 1); return NULL; }

static void process(void)
{
	pthread_t thread;
	alarm(0); // ends with the main process
	assert(pthread_create(&thread, NULL, second_thread, NULL) == 0);
	work(my_process, 0);
	pthread_join(thread, NULL);
}

static pid_t start_process(int i)
{
	my_process = i;
	atomic_store(&shared->operations[i][0], 0);
	atomic_store(&shared->operations[i][1], 0);
	return start(process);
}

static uint64_t seen[PROCESSES][2];
static bool all_have_moved(void)
{
	bool moved = true;
	for (int i = 0; i < PROCESSES; i++)
		for (int t = 0; t < 2; t++)
			moved &= shared->operations[i][t] != seen[i][t];
	return moved;
}

static void pause_for_progress(void)
{
	memcpy(seen, (void *)shared->operations, sizeof seen);
	uint64_t deadline = in_ms(GATE_S * 1000);
	while (!all_have_moved() && hd_precise_now() < deadline)
		usleep(200);
	if (all_have_moved())
		return;
	for (int i = 0; i < PROCESSES; i++)
		for (int t = 0; t < 2; t++)
			printf("thread %d.%d does %u, %s\n", i, t, shared->doing[i][t], shared->operations[i][t] == seen[i][t] ? "STUCK" : "moves");
	printf("writer %x upgrader %x first %x cells %lx; owner %x first %x\n", l->writer, l->upgrader, l->first, (unsigned long)l->cells[0], m->owner, m->first);
	exit(1);
}

static void last_one(void) // takes everything when all are dead
{
	struct hd_seat *s = me();
	int missed = !s;
	for (int i = 0; s && i < 2; i++) {
		enum hd_status status = acquire(i ? m2 : m, 10000);
		missed += !in_lock(status);
		repair_and_release(i ? m2 : m, status);
	}
	enum hd_status status = enter(HD_WRITE, false, 10000);
	repair_and_leave(status);
	_exit(missed + !in_lock(status));
}

static int kills(int wanted)
{
	pid_t pids[PROCESSES];
	uint64_t total = 0;
	srand(1);
	for (int i = 0; i < PROCESSES; i++)
		pids[i] = start_process(i);
	for (int done = 1; done <= wanted; done++) {
		usleep((unsigned)(1000 + rand() % 5000));
		int i = rand() % PROCESSES;
		end(pids[i]);
		total += shared->operations[i][0] + shared->operations[i][1];
		pids[i] = start_process(i);
		if (done % PAUSE == 0)
			pause_for_progress();
	}
	pause_for_progress();
	for (int i = 0; i < PROCESSES; i++)
		end(pids[i]);
	int missed = finish(start(last_one));
	printf("chaos: %d kills, %lu operations, %u reports, told %u; told twice %u, seen half done untold %u, broken %u, false self-deadlock %u, refused %u, no seat %u, report lost %u, torn %u, not to be had afterwards %d\n",
	       wanted, (unsigned long)total, shared->reports, shared->told, shared->told_twice, shared->half_done, shared->broken, shared->false_self_deadlock,
	       shared->refused, shared->no_seat, shared->lost, shared->torn, missed);
	return missed || shared->told_twice || shared->half_done || shared->broken || shared->false_self_deadlock || shared->refused || shared->no_seat || shared->lost ||
	       shared->torn;
}

static void *as_thread(void *arg)
{
	int k = (int)(intptr_t)arg;
	work(k / 2, k % 2);
	return NULL;
}

static int threads(int seconds)
{
	pthread_t all[2 * PROCESSES];
	uint64_t total = 0;
	for (int k = 0; k < 2 * PROCESSES; k++)
		assert(pthread_create(&all[k], NULL, as_thread, (void *)(intptr_t)k) == 0);
	sleep((unsigned)seconds); // how much is done, not a condition
	shared->stop = 1;
	for (int k = 0; k < 2 * PROCESSES; k++) {
		pthread_join(all[k], NULL);
		total += shared->operations[k / 2][k % 2];
	}
	printf("threads: %lu operations, half done %u, told %u, refused %u\n", (unsigned long)total, shared->half_done, shared->told, shared->refused + shared->broken + shared->false_self_deadlock);
	return shared->half_done || shared->told || shared->refused || shared->broken || shared->false_self_deadlock || shared->lost || shared->torn || !total;
}

int main(int argc, char **argv)
{
	fresh_arena(2 * PROCESSES + 1);
	shared = shared_memory(sizeof *shared);
	return argc > 1 && !strcmp(argv[1], "threads") ? threads(number_argument(argc, argv, 2, 5)) : kills(number_argument(argc, argv, 1, 1000));
}
