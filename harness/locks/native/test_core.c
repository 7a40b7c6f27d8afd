// The core's own test: no Python, real processes and threads.  Runs under ASan and
// UBSan, under TSan, and under valgrind (ci/native.sh).

#include "lockcore.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEATS 16
static struct hd_arena *arena;
static uint16_t class_a, class_b;

static struct hd_arena *new_arena(void)
{
	uint64_t size = hd_fixed_size(SEATS) + 65536;
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert(base != MAP_FAILED);
	static uint64_t boot = 1;
	assert(hd_format(base, size, "test", SEATS, boot++) == HD_OK);
	arena = base;
	class_a = (uint16_t)hd_declare_class(arena, "a", 10, 0);
	class_b = (uint16_t)hd_declare_class(arena, "b", 20, 0);
	assert(hd_sit(arena, "main"));
	return arena;
}

static struct hd_mutex *new_mutex(uint16_t class_id, uint32_t instance)
{
	struct hd_mutex *m = hd_at(arena, hd_allocate(arena, sizeof *m, 64));
	assert(hd_mutex_init(m, class_id, instance) == HD_OK);
	return m;
}

static struct hd_seat *me(void)
{
	struct hd_seat *s = hd_me(arena);
	return s ? s : hd_sit(arena, "worker");
}

static enum hd_status acquire(struct hd_mutex *m)
{
	enum hd_status status = hd_mutex_try(arena, me(), m, 0, true);
	while (status == HD_BUSY || status == HD_INTERRUPTED)
		status = hd_mutex_wait(arena, me(), m, 0, 0);
	return status;
}

static void test_a_dead_holder_stays_named_and_the_next_is_told(void)
{
	struct hd_mutex *m = new_mutex(class_a, 1);
	pid_t child = fork();
	assert(child >= 0);
	if (child == 0) {
		assert(acquire(m) == HD_OK);
		_exit(0);
	}
	assert(waitpid(child, NULL, 0) == child);
	struct hd_seat *seats = hd_at(arena, arena->seats);
	assert(m->owner && seats[m->owner - 1].pid == (uint32_t)child);
	assert(hd_seat_dead(&seats[m->owner - 1]));
	assert(acquire(m) == HD_OWNER_DIED);
	assert(m->owner == me()->number);
	assert(hd_mutex_recover(me(), m) == HD_OK);
	assert(hd_mutex_release(arena, me(), m) == HD_OK);
	assert(acquire(m) == HD_OK);
	assert(hd_mutex_release(arena, me(), m) == HD_OK);
	puts("dead holder: named, told, recovered");
}

static void test_an_abandoned_lock_is_broken_for_ever(void)
{
	struct hd_mutex *m = new_mutex(class_a, 2);
	pid_t child = fork();
	if (child == 0) {
		acquire(m);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	assert(acquire(m) == HD_OWNER_DIED);
	assert(hd_mutex_abandon(arena, me(), m) == HD_OK);
	assert(acquire(m) == HD_BROKEN);
	assert(me()->depth == 0);
	puts("abandoned: broken");
}

static void test_misuse_is_refused(void)
{
	struct hd_mutex *m = new_mutex(class_a, 3);
	assert(hd_mutex_release(arena, me(), m) == HD_NOT_OWNER);
	assert(acquire(m) == HD_OK);
	assert(acquire(m) == HD_SELF_DEADLOCK);
	assert(hd_mutex_try(arena, me(), m, 0, false) == HD_BUSY); // a try on one's own lock merely fails
	assert(hd_mutex_release(arena, me(), m) == HD_OK);
	puts("misuse: refused");
}

static void test_both_orders_are_reported_before_anything_hangs(void)
{
	struct hd_mutex *a = new_mutex(class_a, 4), *b = new_mutex(class_b, 5);
	uint32_t before = arena->report_count;
	acquire(a), acquire(b);
	hd_mutex_release(arena, me(), a), hd_mutex_release(arena, me(), b); // not in reverse order: legal
	assert(arena->report_count == before);
	acquire(b), acquire(a);
	hd_mutex_release(arena, me(), a), hd_mutex_release(arena, me(), b);
	assert(arena->report_count == before + 1);
	struct hd_report *r = (struct hd_report *)hd_at(arena, arena->reports) + before;
	assert(r->kind == HD_REPORT_ORDER && r->lock_a == hd_offset(arena, b) && r->lock_b == hd_offset(arena, a));
	puts("order: reported once");
}

struct count {
	struct hd_mutex *m;
	struct hd_rwlock *l;
	long plain;
};

static void *add(void *arg)
{
	struct count *c = arg;
	for (int i = 0; i < 2000; i++) {
		assert(acquire(c->m) == HD_OK);
		c->plain++; // TSan would see a lock that does not exclude
		hd_mutex_release(arena, me(), c->m);
	}
	return NULL;
}

static void *read_or_write(void *arg)
{
	struct count *c = arg;
	for (int i = 0; i < 500; i++) {
		uint8_t kind = i % 4 ? HD_READ : HD_WRITE;
		enum hd_status status = hd_rw_try(arena, me(), c->l, kind, false, 0, true);
		for (bool first = true; status == HD_BUSY || status == HD_INTERRUPTED; first = false)
			status = hd_rw_wait(arena, me(), c->l, kind, false, 0, 0, first);
		assert(status == HD_OK);
		if (kind == HD_WRITE)
			c->plain++;
		else
			assert(c->plain >= 0);
		hd_rw_release(arena, me(), c->l);
	}
	return NULL;
}

static long run_threads(void *(*body)(void *), struct count *c)
{
	pthread_t t[4];
	c->plain = 0;
	for (int i = 0; i < 4; i++)
		assert(pthread_create(&t[i], NULL, body, c) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	return c->plain;
}

static void test_threads_exclude_each_other_and_give_their_seats_back(void)
{
	struct count c = {.m = new_mutex(class_a, 6)};
	c.l = hd_at(arena, hd_allocate(arena, sizeof *c.l, 64));
	assert(hd_rw_init(c.l, class_b, 1) == HD_OK);
	assert(run_threads(add, &c) == 8000);
	assert(run_threads(read_or_write, &c) == 500);
	assert(c.l->readers == 0 && c.l->writer == 0 && c.l->queued_writers == 0 && c.l->waiters == 0);
	struct hd_seat *seats = hd_at(arena, arena->seats);
	int taken = 0;
	for (int i = 0; i < SEATS; i++)
		taken += seats[i].live == 2 && !hd_seat_dead(&seats[i]); // the dead keep theirs
	assert(taken == 1);
	puts("threads: exclusive, seats back");
}

static void test_a_killed_reader_and_a_killed_queued_writer_do_not_block(void)
{
	struct hd_rwlock *l = hd_at(arena, hd_allocate(arena, sizeof *l, 64));
	hd_rw_init(l, class_b, 2);
	int ready[2];
	assert(pipe(ready) == 0);
	pid_t reader = fork();
	if (reader == 0) {
		assert(hd_rw_try(arena, me(), l, HD_READ, false, 0, true) == HD_OK);
		assert(write(ready[1], "r", 1) == 1);
		pause();
	}
	char c;
	assert(read(ready[0], &c, 1) == 1);
	pid_t writer = fork();
	if (writer == 0) {
		for (bool first = true;; first = false)
			hd_rw_wait(arena, me(), l, HD_WRITE, false, 0, 0, first);
	}
	while (!l->queued_writers)
		usleep(1000);
	kill(writer, SIGKILL), kill(reader, SIGKILL);
	waitpid(writer, NULL, 0), waitpid(reader, NULL, 0);
	enum hd_status status = hd_rw_try(arena, me(), l, HD_WRITE, false, 0, true);
	for (bool first = true; status == HD_BUSY || status == HD_INTERRUPTED; first = false)
		status = hd_rw_wait(arena, me(), l, HD_WRITE, false, 0, 0, first);
	assert(status == HD_OWNER_DIED);
	assert(hd_rw_recover(me(), arena, l) == HD_OK);
	assert(hd_rw_release(arena, me(), l) == HD_OK);
	assert(hd_rw_try(arena, me(), l, HD_READ, false, 0, true) == HD_OK);
	assert(hd_rw_release(arena, me(), l) == HD_OK);
	close(ready[0]), close(ready[1]);
	puts("killed reader and writer: counted out");
}

static void test_no_wakeup_is_lost(void)
{
	struct hd_channel *c = hd_at(arena, hd_allocate(arena, sizeof *c, 64));
	struct hd_mutex *m = new_mutex(class_a, 7);
	_Atomic uint32_t *turn = hd_at(arena, hd_allocate(arena, 64, 64));
	hd_channel_init(c, class_a, 1);
	pid_t child = fork();
	for (uint32_t round = 0; round < 2000; round++) {
		uint32_t mine = child ? 0 : 1;
		acquire(m);
		while (*turn % 2 != mine) {
			uint32_t intent = c->seq;
			atomic_fetch_add(&c->waiters, 1);
			hd_mutex_release(arena, me(), m);
			enum hd_status status = HD_INTERRUPTED;
			while (status == HD_INTERRUPTED)
				status = hd_channel_wait(arena, me(), c, intent, c->singles, 0);
			atomic_fetch_sub(&c->waiters, 1);
			acquire(m);
		}
		(*turn)++;
		hd_channel_wake(arena, me(), c, 0, true);
		hd_mutex_release(arena, me(), m);
	}
	if (child == 0)
		_exit(0);
	int status;
	waitpid(child, &status, 0);
	assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert(*turn == 4000 && c->waiters == 0);
	puts("channel: 4000 turns");
}

static void test_claims_stay_packed(void)
{
	struct hd_seat *s = me();
	for (uint64_t i = 1; i <= HD_MAX_CLAIMS; i++)
		assert(hd_claim(s, i, 0) == HD_OK);
	assert(hd_claim(s, 999, 0) == HD_FULL);
	assert(hd_claim(s, 1, 0) == HD_OK); // again: counted, takes no place
	assert(hd_unclaim(s, 1) == HD_OK && s->claims[0].address == 1);
	for (uint64_t i = 1; i <= HD_MAX_CLAIMS; i++)
		assert(hd_unclaim(s, i) == HD_OK);
	assert(hd_unclaim(s, 1) == HD_NOT_OWNER && !s->claims[0].address);
	puts("claims: packed");
}

int main(void)
{
	alarm(120); // a test that hangs is a failure, not a wait
	new_arena();
	test_a_dead_holder_stays_named_and_the_next_is_told();
	test_an_abandoned_lock_is_broken_for_ever();
	test_misuse_is_refused();
	test_both_orders_are_reported_before_anything_hangs();
	test_threads_exclude_each_other_and_give_their_seats_back();
	test_a_killed_reader_and_a_killed_queued_writer_do_not_block();
	test_no_wakeup_is_lost();
	test_claims_stay_packed();
	puts("ok");
	return 0;
}
