// Read/write lock with upgrade and downgrade.  State lies under `guard`, a robust
// mutex held for a few instructions; waiting happens on the futex `word`.
//
// Who holds it is written twice: as counts here and in the held stacks of the
// seats, both under guard.  The stacks are the truth: when a thread was killed the
// counts are made again from the seats that live.
//
// Normal readers queue behind waiting writers (or writers would starve); a reader
// that already owns what a writer's predecessor waits for asks to pass them.

#include "lockcore.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum hd_status hd_rw_init(struct hd_rwlock *l, uint16_t class_id, uint32_t instance)
{
	pthread_mutexattr_t attr;
	if (pthread_mutexattr_init(&attr))
		return HD_SYSTEM;
	memset(l, 0, sizeof *l);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	int err = pthread_mutex_init(&l->guard, &attr);
	pthread_mutexattr_destroy(&attr);
	l->class_id = class_id;
	l->kind = HD_WRITE;
	l->instance = instance;
	errno = err;
	return err ? HD_SYSTEM : HD_OK;
}

static uint32_t holds(const struct hd_seat *s, uint64_t lock)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < s->depth; i++)
		count += s->held[i].lock == lock;
	return count;
}

// Counts from the seats that are alive.  Called under guard.
static void recount(struct hd_arena *a, struct hd_rwlock *l)
{
	struct hd_seat *seats = hd_at(a, a->seats);
	uint64_t self = hd_offset(a, l);
	uint32_t readers = 0, writer = 0, queued = 0, upgrader = 0;
	for (uint32_t i = 0; i < a->seat_count; i++) {
		struct hd_seat *s = &seats[i];
		if (atomic_load(&s->live) != 2)
			continue;
		struct hd_held *h = hd_find_held(s, self);
		bool waits = atomic_load(&s->wait_lock) == self;
		if (!h && !waits)
			continue;
		if (hd_seat_dead(s)) {
			if (h)
				l->suspect = l->suspect ? l->suspect : 1;
			continue;
		}
		if (h && h->kind == HD_READ) // who reads again holds it more than once
			readers += holds(s, self);
		if (h && h->kind == HD_WRITE)
			writer = s->number;
		if (waits && s->activity == HD_WAIT_WRITE)
			queued++;
		if (waits && s->activity == HD_WAIT_UPGRADE)
			upgrader = s->number;
	}
	l->readers = readers;
	l->writer = writer;
	l->queued_writers = queued;
	l->upgrader = upgrader;
}

static void guard(struct hd_arena *a, struct hd_rwlock *l)
{
	if (pthread_mutex_lock(&l->guard) == EOWNERDEAD) {
		recount(a, l);
		pthread_mutex_consistent(&l->guard);
	}
}

static void unguard(struct hd_rwlock *l)
{
	pthread_mutex_unlock(&l->guard);
}

// Called under guard; the waiters test again for themselves.
static void moved(struct hd_rwlock *l)
{
	atomic_fetch_add(&l->word, 1);
	if (atomic_load(&l->waiters))
		syscall(SYS_futex, &l->word, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
}

static bool grantable(const struct hd_rwlock *l, uint8_t kind, bool pass)
{
	if (l->writer)
		return false;
	if (kind == HD_WRITE)
		return l->readers == 0;
	return pass || (l->queued_writers == 0 && l->upgrader == 0);
}

static enum hd_status grant(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint8_t kind, uint32_t site)
{
	if (l->suspect == 2)
		return HD_BROKEN;
	if (hd_push(a, s, hd_offset(a, l), l->class_id, kind, site) != HD_OK)
		return HD_FULL;
	if (kind == HD_READ) {
		l->readers++;
	} else {
		l->writer = s->number;
		l->site = site;
		atomic_store(&l->since, s->held[s->depth - 1].since);
	}
	l->acquired++;
	s->held[s->depth - 1].told = l->suspect != 0;
	return l->suspect ? HD_OWNER_DIED : HD_OK;
}

enum hd_status hd_rw_try(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint8_t kind, bool pass, uint32_t site, bool ordered)
{
	struct hd_held *mine = s->depth ? hd_find_held(s, hd_offset(a, l)) : NULL;
	// Reading again is safe only past the writers: behind a queued one it would
	// wait for somebody who waits for us.
	if (mine && !(kind == HD_READ && mine->kind == HD_READ && pass))
		return ordered ? HD_SELF_DEADLOCK : HD_BUSY;
	if (ordered && s->held_mask && !mine)
		if (hd_check_order(a, s, hd_offset(a, l), l->class_id, site) != HD_OK && (a->mode & HD_STRICT))
			return HD_ORDER;
	guard(a, l);
	enum hd_status status = grantable(l, kind, pass) ? grant(a, s, l, kind, site) : HD_BUSY;
	unguard(l);
	if (status == HD_BUSY && !ordered)
		atomic_store_explicit(&s->failures, s->failures + 1, memory_order_relaxed);
	return status;
}

// Sleep until word moves, the slice ends or the deadline comes.  HD_OK: test again.
static enum hd_status pause_on(struct hd_rwlock *l, uint32_t word, uint64_t slice_end, uint64_t deadline)
{
	uint64_t until = deadline && deadline < slice_end ? deadline : slice_end;
	struct timespec t = {(time_t)(until / 1000000000ull), (long)(until % 1000000000ull)};
	long r = syscall(SYS_futex, &l->word, FUTEX_WAIT_BITSET, word, &t, NULL, FUTEX_BITSET_MATCH_ANY);
	if (r < 0 && errno == EINTR)
		return HD_INTERRUPTED;
	if (r < 0 && errno == ETIMEDOUT)
		return deadline && hd_precise_now() >= deadline ? HD_TIMED_OUT : HD_INTERRUPTED;
	return HD_OK;
}

static void leave_queue(struct hd_rwlock *l, struct hd_seat *s, uint8_t kind)
{
	if (kind == HD_WRITE && l->queued_writers)
		l->queued_writers--;
	if (l->upgrader == s->number)
		l->upgrader = 0;
	if (l->waiters)
		l->waiters--;
	hd_wait_end(s);
}

enum hd_status hd_rw_wait(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint8_t kind, bool pass, uint32_t site, uint64_t deadline, bool first)
{
	uint64_t slice_end = hd_precise_now() + HD_SLICE_NS;
	for (;;) {
		guard(a, l);
		if (first) {
			hd_wait_begin(s, kind == HD_WRITE ? HD_WAIT_WRITE : HD_WAIT_READ, hd_offset(a, l), site, deadline);
			l->waiters++;
			if (kind == HD_WRITE)
				l->queued_writers++;
			if (a->mode & HD_RECORD)
				hd_record(a, s, HD_EV_WAIT, hd_offset(a, l), site);
		} else if (!grantable(l, kind, pass) && hd_precise_now() >= slice_end - 1000000) {
			recount(a, l); // somebody may have been killed in here
		}
		first = false;
		if (grantable(l, kind, pass)) {
			leave_queue(l, s, kind);
			enum hd_status status = grant(a, s, l, kind, site);
			unguard(l);
			return status;
		}
		uint32_t word = l->word;
		unguard(l);
		enum hd_status status = pause_on(l, word, slice_end, deadline);
		if (status == HD_OK)
			continue;
		if (status == HD_INTERRUPTED) {
			guard(a, l);
			recount(a, l);
			bool now = grantable(l, kind, pass);
			unguard(l);
			if (now)
				continue;
			return status;
		}
		hd_rw_cancel(a, s, l);
		return status;
	}
}

// HD_BUSY: another reader is already waiting to upgrade; we keep our read.  Two
// that waited for each other would wait for ever.
enum hd_status hd_rw_upgrade(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint32_t site, bool first)
{
	uint64_t slice_end = hd_precise_now() + HD_SLICE_NS;
	for (;;) {
		guard(a, l);
		struct hd_held *h = hd_find_held(s, hd_offset(a, l));
		if (!h || h->kind != HD_READ || (l->upgrader && l->upgrader != s->number)) {
			enum hd_status status = !h || h->kind != HD_READ ? HD_NOT_OWNER : HD_BUSY;
			unguard(l);
			return status;
		}
		if (l->readers == 1) {
			if (!first)
				leave_queue(l, s, HD_READ);
			l->readers = 0;
			l->writer = s->number;
			l->site = site;
			h->kind = HD_WRITE;
			h->site = site;
			h->since = hd_now();
			atomic_store(&l->since, h->since);
			unguard(l);
			return HD_OK;
		}
		if (first) {
			l->upgrader = s->number;
			l->waiters++;
			hd_wait_begin(s, HD_WAIT_UPGRADE, hd_offset(a, l), site, 0);
			first = false;
		}
		uint32_t word = l->word;
		unguard(l);
		if (pause_on(l, word, slice_end, 0) == HD_OK)
			continue;
		guard(a, l);
		recount(a, l);
		bool now = l->readers == 1;
		unguard(l);
		if (!now)
			return HD_INTERRUPTED;
	}
}

enum hd_status hd_rw_downgrade(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l)
{
	guard(a, l);
	struct hd_held *h = hd_find_held(s, hd_offset(a, l));
	if (!h || h->kind != HD_WRITE) {
		unguard(l);
		return HD_NOT_OWNER;
	}
	h->kind = HD_READ;
	l->writer = 0;
	l->readers++;
	moved(l);
	unguard(l);
	return HD_OK;
}

// The innermost hold of this thread.  Releasing a lock whose last holder died,
// without hd_rw recover before, breaks it for ever (as with the mutex).
enum hd_status hd_rw_release(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l)
{
	uint64_t self = hd_offset(a, l);
	guard(a, l);
	struct hd_held *h = hd_find_held(s, self);
	if (!h) {
		unguard(l);
		return HD_NOT_OWNER;
	}
	uint8_t kind = h->kind, told = h->told;
	if (a->mode & HD_RECORD)
		hd_record(a, s, HD_EV_RELEASE, self, 0);
	hd_pop(s, self, kind);
	if (kind == HD_WRITE)
		l->writer = 0;
	else if (l->readers)
		l->readers--;
	if (told && l->suspect == 1)
		l->suspect = 2;
	moved(l);
	unguard(l);
	return HD_OK;
}

void hd_rw_cancel(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l)
{
	guard(a, l);
	uint32_t what = s->activity;
	leave_queue(l, s, what == HD_WAIT_WRITE ? HD_WRITE : HD_READ);
	moved(l); // readers behind us may go now
	unguard(l);
}

enum hd_status hd_rw_recover(struct hd_seat *s, struct hd_arena *a, struct hd_rwlock *l)
{
	if (!hd_find_held(s, hd_offset(a, l)))
		return HD_NOT_OWNER;
	l->suspect = 0;
	return HD_OK;
}
