// What a thread waits for, as a watcher reads it.

#include "lockcore.h"

void hd_wait_begin(struct hd_seat *s, enum hd_activity what, uint64_t lock, uint32_t site, uint64_t deadline)
{
	s->wait_since = hd_precise_now(); // a wait is slow anyway
	s->wait_site = site;
	s->wait_deadline = deadline;
	atomic_store(&s->wait_lock, lock);
	atomic_store(&s->activity, (uint32_t)what);
	atomic_fetch_add(&s->wait_seq, 1);
}

void hd_wait_end(struct hd_seat *s)
{
	atomic_store(&s->activity, HD_RUNNING);
	atomic_store(&s->wait_lock, 0);
	s->predicate_op = HD_NO_PREDICATE;
	s->wait_guard = 0;
	s->wait_message = 0;
	atomic_fetch_add(&s->wait_seq, 1);
}

// A signal handler of the program runs in the middle of a wait and may wait itself.
struct hd_wait hd_wait_save(struct hd_seat *s)
{
	struct hd_wait w = {s->wait_lock, s->wait_since, s->wait_deadline, s->wait_guard, s->predicate_address, s->predicate_value,
			    s->activity, s->wait_site, s->wait_message, s->wait_intent, s->predicate_size, s->predicate_op, s->wait_seq};
	return w;
}

void hd_wait_restore(struct hd_seat *s, const struct hd_wait *w)
{
	if (s->wait_seq == w->seq)
		return; // nothing has waited
	s->wait_guard = w->guard;
	s->wait_message = w->message;
	s->wait_intent = w->intent;
	s->predicate_address = w->address;
	s->predicate_value = w->value;
	s->predicate_size = w->size;
	s->predicate_op = w->op;
	hd_wait_begin(s, (enum hd_activity)w->activity, w->lock, w->site, w->deadline);
	s->wait_since = w->since;
}
