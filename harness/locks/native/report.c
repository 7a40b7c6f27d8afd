// Misuse that a watcher must see while the thread is still there.

#include "lockcore.h"

#include <string.h>

#define FREEZE_LIMIT_NS 3000000000ull // then the thread goes on: nobody is coming
#define WATCHED_NS 1000000000ull      // a beat older than this: nobody watches

static void wait_until_seen(struct hd_arena *a, struct hd_seat *s, struct hd_report *r)
{
	uint64_t start = hd_now();
	uint64_t beat = atomic_load(&a->watcher_beat);
	if (!(atomic_load(&a->mode) & HD_FREEZE) || !beat || start - beat > WATCHED_NS)
		return;
	uint32_t before = atomic_load(&s->activity);
	atomic_store(&s->activity, HD_REPORTING);
	atomic_fetch_add(&s->wait_seq, 1);
	struct timespec t = {0, 1000000};
	while (!atomic_load(&r->acked) && hd_now() - start < FREEZE_LIMIT_NS)
		nanosleep(&t, NULL);
	atomic_store(&s->activity, before);
	atomic_fetch_add(&s->wait_seq, 1);
}

// Old reports are overwritten when the table is full of newer ones: what matters is
// the first of each kind, and the watcher has taken that long before.
void hd_report(struct hd_arena *a, struct hd_seat *s, enum hd_report_kind kind, uint64_t lock_a, uint64_t lock_b,
	       uint32_t site_a, uint32_t site_b, const char *text)
{
	struct hd_report *table = hd_at(a, a->reports);
	struct hd_report *r = &table[atomic_fetch_add(&a->report_count, 1) % HD_REPORTS];
	atomic_store(&r->state, 1);
	atomic_store(&r->acked, 0);
	r->kind = kind;
	r->seat = s ? s->number : 0;
	r->when = hd_now();
	r->lock_a = lock_a;
	r->lock_b = lock_b;
	r->site_a = site_a;
	r->site_b = site_b;
	const struct hd_mutex *lock = hd_at(a, lock_a); // all lock records begin alike
	r->class_a = lock_a ? lock->class_id : 0;
	lock = hd_at(a, lock_b);
	r->class_b = lock_b ? lock->class_id : 0;
	memset(r->text, 0, sizeof r->text);
	strncpy(r->text, text, sizeof r->text - 1);
	atomic_store(&r->state, 2);
	if (s)
		wait_until_seen(a, s, r);
}
