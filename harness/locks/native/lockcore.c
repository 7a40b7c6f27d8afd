// The mutex: a robust, error-checking, process-shared pthread mutex, and beside it
// the words that say who holds it.  Only the holder writes them, and clears `owner`
// before it lets go, so the word never names a thread that does not hold the lock.

#include "lockcore.h"

#include <errno.h>
#include <string.h>

static enum hd_status status_of(int err)
{
	switch (err) {
	case 0:
		return HD_OK;
	case EOWNERDEAD:
		return HD_OWNER_DIED;
	case EBUSY:
		return HD_BUSY;
	case ETIMEDOUT:
		return HD_INTERRUPTED;
	case EDEADLK:
		return HD_SELF_DEADLOCK;
	case EPERM:
		return HD_NOT_OWNER;
	case ENOTRECOVERABLE:
		return HD_BROKEN;
	default:
		errno = err;
		return HD_SYSTEM;
	}
}

enum hd_status hd_mutex_init(struct hd_mutex *m, uint16_t class_id, uint32_t instance)
{
	pthread_mutexattr_t attr;
	int err = pthread_mutexattr_init(&attr);
	if (err)
		return status_of(err);
	memset(m, 0, sizeof *m);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	err = pthread_mutex_init(&m->os, &attr);
	pthread_mutexattr_destroy(&attr);
	m->class_id = class_id;
	m->kind = HD_MUTEX;
	m->instance = instance;
	return status_of(err);
}

static enum hd_status took(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m, uint32_t site, enum hd_status status)
{
	if (status == HD_OWNER_DIED) {
		// Our own flag says what the data is worth.  glibc's "not recoverable" state
		// is avoided: its trylock keeps such a mutex locked for the caller.
		pthread_mutex_consistent(&m->os);
		m->suspect = 1;
	}
	if (m->suspect == 2) {
		pthread_mutex_unlock(&m->os);
		return HD_BROKEN;
	}
	if (hd_push(a, s, hd_offset(a, m), m->class_id, HD_MUTEX, site) != HD_OK) {
		pthread_mutex_unlock(&m->os);
		return HD_FULL;
	}
	atomic_store_explicit(&m->site, site, memory_order_relaxed);
	atomic_store_explicit(&m->since, s->held[s->depth - 1].since, memory_order_relaxed);
	atomic_store_explicit(&m->acquired, m->acquired + 1, memory_order_relaxed);
	atomic_store_explicit(&m->owner, s->number, memory_order_release);
	return status;
}

// ordered: a blocking acquire is going to follow, so its place in the order counts.
// A try that fails is never a deadlock, and on one's own lock it merely fails.
enum hd_status hd_mutex_try(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m, uint32_t site, bool ordered)
{
	if (atomic_load_explicit(&m->owner, memory_order_relaxed) == s->number)
		return ordered ? HD_SELF_DEADLOCK : HD_BUSY;
	if (ordered && s->held_mask)
		if (hd_check_order(a, s, hd_offset(a, m), m->class_id, site) != HD_OK && (a->mode & HD_STRICT))
			return HD_ORDER;
	int err = pthread_mutex_trylock(&m->os);
	if (err == 0)
		return took(a, s, m, site, HD_OK);
	if (err == EOWNERDEAD)
		return took(a, s, m, site, HD_OWNER_DIED);
	if (err == EDEADLK)
		return ordered ? HD_SELF_DEADLOCK : HD_BUSY;
	if (err == EBUSY) {
		atomic_store_explicit(&m->contended, m->contended + 1, memory_order_relaxed);
		if (!ordered) {
			atomic_store_explicit(&s->failures, s->failures + 1, memory_order_relaxed);
			if (a->mode & HD_RECORD)
				hd_record(a, s, HD_EV_TRY_FAILED, hd_offset(a, m), site);
		}
	}
	return status_of(err);
}

static struct timespec timespec_of(uint64_t ns)
{
	struct timespec t = {(time_t)(ns / 1000000000ull), (long)(ns % 1000000000ull)};
	return t;
}

uint64_t hd_precise_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int lock_until(pthread_mutex_t *os, uint64_t until)
{
#ifdef __SANITIZE_THREAD__
	// This ThreadSanitizer does not know pthread_mutex_clocklock and would see
	// an unlock without a lock; the wall clock is good enough for its runs.
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t monotonic = hd_precise_now(), left = until > monotonic ? until - monotonic : 0;
	struct timespec t = timespec_of((uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec + left);
	return pthread_mutex_timedlock(os, &t);
#else
	struct timespec t = timespec_of(until);
	return pthread_mutex_clocklock(os, CLOCK_MONOTONIC, &t);
#endif
}

// Most holds are shorter than going to sleep and being woken again.  Only worth it
// while the holder runs on another processor: one of our own process may need the
// interpreter that we keep, and with several waiters the queue is too long.
#define SPINS 300

bool hd_mutex_spin(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m)
{
	uint32_t owner = atomic_load_explicit(&m->owner, memory_order_relaxed);
	if (!owner || owner > a->seat_count || m->waiters)
		return !owner;
	const struct hd_seat *holder = (struct hd_seat *)hd_at(a, a->seats) + (owner - 1);
	if (holder->pid == s->pid || holder->activity != HD_RUNNING)
		return false;
	for (int i = 0; i < SPINS; i++) {
		if (atomic_load_explicit(&m->owner, memory_order_relaxed) != owner)
			return true;
#if defined(__x86_64__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ volatile("yield");
#endif
	}
	return false;
}

// One slice of waiting.  The wait is published at the first call and withdrawn when
// it ends; on HD_INTERRUPTED the caller looks at signals and calls again (or gives
// up through hd_wait_end and `waiters`).
enum hd_status hd_mutex_wait(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m, uint32_t site, uint64_t deadline)
{
	uint64_t self = hd_offset(a, m);
	bool first = s->activity != HD_WAIT_MUTEX || s->wait_lock != self;
	if (first) {
		hd_wait_begin(s, HD_WAIT_MUTEX, self, site, deadline);
		atomic_fetch_add(&m->waiters, 1);
		if (a->mode & HD_RECORD)
			hd_record(a, s, HD_EV_WAIT, self, site);
	}
	uint64_t until = hd_precise_now() + HD_SLICE_NS;
	bool last = deadline && deadline <= until;
	int err = lock_until(&m->os, last ? deadline : until);
	if (err == ETIMEDOUT && !last)
		return HD_INTERRUPTED;
	atomic_fetch_sub(&m->waiters, 1);
	enum hd_status status = err == ETIMEDOUT ? HD_TIMED_OUT : status_of(err);
	if (err == 0 || err == EOWNERDEAD)
		status = took(a, s, m, site, status);
	hd_wait_end(s);
	return status;
}

enum hd_status hd_mutex_release(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m)
{
	if (atomic_load_explicit(&m->owner, memory_order_relaxed) != s->number)
		return HD_NOT_OWNER;
	if (a->mode & HD_RECORD)
		hd_record(a, s, HD_EV_RELEASE, hd_offset(a, m), 0);
	hd_pop(s, hd_offset(a, m), HD_MUTEX);
	if (m->suspect == 1)
		m->suspect = 2; // not repaired: nobody may trust the data again
	atomic_store_explicit(&m->owner, 0, memory_order_release);
	return status_of(pthread_mutex_unlock(&m->os));
}

// The new holder has repaired the data: the lock is as good as new.
enum hd_status hd_mutex_recover(struct hd_seat *s, struct hd_mutex *m)
{
	if (atomic_load(&m->owner) != s->number)
		return HD_NOT_OWNER;
	m->suspect = 0;
	return HD_OK;
}

// Releasing without hd_mutex_recover after HD_OWNER_DIED breaks the lock for ever:
// everybody who comes later gets HD_BROKEN.  That is what "abandon" means.
enum hd_status hd_mutex_abandon(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m)
{
	return hd_mutex_release(a, s, m);
}
