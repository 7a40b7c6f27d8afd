// Which lock a thread asks for again and again without waiting for it.
//
// A loop around a try is a wait that no watcher can see: the thread runs.  What its last tries
// met stays in its seat until it gets that lock or fails at another one, so that a watcher
// can say which lock it polls, since when and how often.  Only the thread itself writes
// this; a reader takes the lock before and after the rest and believes it when both agree.
//
// A try that fails is a failure, and a thread that only fails goes round for ever.  Not every one is
// a step of such a round.  The same lock again is a wait (`spared`).  A lock that is got ends what was
// tried for it, and with nothing held also what was tried at others: no thread was kept out meanwhile
// (`spun` becomes spared).  What is left over, failures - spared - spun, are failures for good.
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
	s->poll_counts = 0;
	atomic_store_explicit(&s->polled_lock, lock, memory_order_release);
}

static void add(_Atomic uint64_t *count, uint64_t more)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + more, memory_order_relaxed);
}

void hd_try_failed(struct hd_seat *s, uint64_t lock, uint32_t site)
{
	bool again = atomic_load_explicit(&s->polled_lock, memory_order_relaxed) == lock;
	hd_polled(s, lock, site);
	if (again) // before the failure itself: a reader in between sees one too few, never one too many
		add(&s->spared, 1);
	else if (s->held_mask)
		s->poll_counts = 1;
	else
		atomic_store_explicit(&s->spun, s->spun + 1, memory_order_relaxed);
	add(&s->failures, 1);
}

void hd_got_after_polls(struct hd_seat *s, uint64_t lock)
{
	uint32_t over = s->spun;
	bool same = atomic_load_explicit(&s->polled_lock, memory_order_relaxed) == lock;
	if (same)
		over += s->poll_counts;
	add(&s->spared, over);
	atomic_store_explicit(&s->spun, 0, memory_order_relaxed);
	if (same)
		atomic_store_explicit(&s->polled_lock, 0, memory_order_relaxed);
}
