// Which lock a thread asks for again and again without waiting for it.
//
// A loop around a try is a wait that no watcher can see: the thread runs.  What its last tries
// met stays in its seat until it gets that lock or fails at another one, so that a watcher
// can say which lock it polls, since when and how often.  Only the thread itself writes
// this; a reader takes the lock before and after the rest and believes it when both agree.
//
// A try that fails is a failure, and a thread that only fails goes round for ever.  Not every one is
// a step of such a round.  The same lock again is a wait (`spared`).  A lock that is got ends what was
// tried for it, and what was tried at others beside it with the same locks held (`spun` becomes
// spared): it goes through one of several doors, and the others need not open.  With locks held only one
// of those that it tried does so, and only while it keeps what it held at the tries: a thread that
// gives that back has failed and starts again, and two may make each other do so for ever.  With
// nothing held any lock will do: no thread was kept out meanwhile.  What is left over,
// failures - spared - spun, are failures for good.
//
// spun_depth is that of the first of the spun; one with more held, beside them, is for good at once.
// A kill between two of the stores leaves numbers of one who is dead.

#include "lockcore.h"

void hd_polled(struct hd_seat *s, uint64_t lock, uint32_t site)
{
	if (atomic_load_explicit(&s->polled_lock, memory_order_relaxed) == lock) {
		s->polled_site = site;
		s->polls++;
		return;
	}
	atomic_store_explicit(&s->polled_lock, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release); // no reader sees the new numbers under the old lock
	s->polled_since = hd_now();
	s->polled_site = site;
	s->polls = 1;
	s->first_poll = 0;
	atomic_store_explicit(&s->polled_lock, lock, memory_order_release);
}

static void add(_Atomic uint64_t *count, uint64_t more)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + more, memory_order_relaxed);
}

static uint64_t bit_of(uint64_t lock) { return 1ull << (lock / 64 & 63); }

// One that is spun: before the failure itself, so that a reader in between sees one too few, never one too many.
static void spin(struct hd_seat *s, uint64_t lock, uint32_t depth)
{
	if (!s->spun) {
		s->spun_locks = depth ? 0 : ~0ull;
		s->spun_depth = depth;
	}
	s->spun_locks |= bit_of(lock);
	s->first_poll = 2;
	atomic_store_explicit(&s->spun, s->spun + 1, memory_order_relaxed);
}

void hd_try_failed(struct hd_seat *s, uint64_t lock, uint32_t site)
{
	bool again = atomic_load_explicit(&s->polled_lock, memory_order_relaxed) == lock;
	uint32_t depth = atomic_load_explicit(&s->depth, memory_order_relaxed);
	hd_polled(s, lock, site);
	if (again)
		add(&s->spared, 1);
	else if (!s->spun || depth == s->spun_depth)
		spin(s, lock, depth);
	else
		s->first_poll = 1;
	add(&s->failures, 1);
}

static void none_spun(struct hd_seat *s, uint32_t first_poll)
{
	s->spun_depth = 0;
	if (s->first_poll == 2)
		s->first_poll = first_poll;
	atomic_store_explicit(&s->spun, 0, memory_order_relaxed);
}

void hd_got_after_polls(struct hd_seat *s, uint64_t lock)
{
	bool same = atomic_load_explicit(&s->polled_lock, memory_order_relaxed) == lock;
	if (same && s->first_poll == 1)
		add(&s->spared, 1);
	if (s->spun && s->spun_locks & bit_of(lock)) {
		add(&s->spared, s->spun);
		none_spun(s, 0);
	}
	if (same)
		atomic_store_explicit(&s->polled_lock, 0, memory_order_relaxed);
}

// A lock is given back that was held at the tries.
void hd_gave_after_polls(struct hd_seat *s) { none_spun(s, 1); }
