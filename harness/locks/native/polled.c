// Which lock a thread asks for again and again without waiting for it.
//
// A loop around a try is a wait that nobody sees: the thread runs.  What its last tries
// met stays in its seat until it gets that lock or fails at another one, so that a watcher
// can say which lock it polls, since when and how often.  Only the thread itself writes
// this; a reader takes the lock before and after the rest and believes it when both agree.

#include "lockcore.h"

void hd_polled(struct hd_seat *s, uint64_t lock, uint32_t site)
{
	if (atomic_load_explicit(&s->polled_lock, memory_order_relaxed) == lock) {
		s->polled_site = site;
		s->polls++;
		return;
	}
	atomic_store_explicit(&s->polled_lock, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release); // nobody sees the new numbers under the old lock
	s->polled_since = hd_now();
	s->polled_site = site;
	s->polls = 1;
	atomic_store_explicit(&s->polled_lock, lock, memory_order_release);
}
