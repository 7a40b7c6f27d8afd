// Misuse that a watcher must see while the thread is still there.
//
// A row carries the number of its report (+1), written last.  A watcher that finds an
// older number there passes on and comes back for a while: a thread that was killed in the
// middle does not hide what comes after it.

#include "lockcore.h"

#include <string.h>

#define WATCHER_LIMIT_NS 3000000000ull // then the thread goes on: no watcher is coming
#define WATCHED_NS 1000000000ull      // a beat older than this: there is no watcher

// Set by a binding that must let go of something (an interpreter) while a thread waits here.
void *(*hd_let_go)(void);
void (*hd_take_back)(void *);

static void wait_until_seen(struct hd_arena *a, struct hd_seat *s, struct hd_report *r, uint32_t number)
{
	uint64_t start = hd_now();
	uint64_t beat = atomic_load(&a->watcher_beat);
	if (!(atomic_load(&a->mode) & HD_WAIT_FOR_WATCHER) || !beat || start - beat > WATCHED_NS)
		return;
	uint32_t before = atomic_load(&s->activity);
	atomic_store(&s->activity, HD_REPORTING);
	atomic_fetch_add(&s->wait_seq, 1);
	void *held = hd_let_go ? hd_let_go() : NULL;
	struct timespec t = {0, 1000000};
	while (atomic_load(&r->acked) != number + 1 && atomic_load(&r->state) == number + 1 && hd_now() - start < WATCHER_LIMIT_NS) {
		uint64_t latest = atomic_load(&a->watcher_beat);
		if (latest < start && hd_now() - start > WATCHED_NS)
			break; // it has not looked once since: the watcher is gone
		nanosleep(&t, NULL);
	}
	if (held)
		hd_take_back(held);
	atomic_store(&s->activity, before);
	atomic_fetch_add(&s->wait_seq, 1);
}

static uint32_t class_at(struct hd_arena *a, uint64_t lock)
{
	return hd_fits(a, lock, sizeof(struct hd_mutex)) ? ((const struct hd_mutex *)hd_at(a, lock))->class_id : 0;
}

// Old reports are overwritten when the table is full of newer ones: what matters is
// the first of each kind, and the watcher has taken that long before.
void hd_report_told(struct hd_arena *a, struct hd_seat *s, enum hd_report_kind kind, uint64_t lock_a, uint64_t lock_b,
		    uint32_t site_a, uint32_t site_b, const char *text, const struct hd_told *told)
{
	struct hd_report *table = hd_at(a, a->reports);
	uint32_t number = atomic_fetch_add(&a->report_count, 1);
	struct hd_report *r = &table[number % HD_REPORTS];
	atomic_store(&r->state, 0);
	atomic_store(&r->acked, 0);
	r->kind = kind;
	r->seat = s ? s->number : 0;
	r->when = hd_now();
	r->lock_a = lock_a;
	r->lock_b = lock_b;
	r->site_a = site_a;
	r->site_b = site_b;
	r->class_a = class_at(a, lock_a); // all lock records begin alike
	r->class_b = lock_b ? class_at(a, lock_b) : told->class_b;
	r->mistake = told->mistake;
	r->step = told->step;
	r->size = (uint32_t)(told->size < sizeof r->details ? told->size : sizeof r->details);
	if (r->size)
		memcpy(r->details, told->details, r->size);
	memset(r->text, 0, sizeof r->text);
	strncpy(r->text, text, sizeof r->text - 1);
	atomic_store(&r->state, number + 1);
	if (s)
		wait_until_seen(a, s, r, number);
}

void hd_report(struct hd_arena *a, struct hd_seat *s, enum hd_report_kind kind, uint64_t lock_a, uint64_t lock_b,
	       uint32_t site_a, uint32_t site_b, const char *text)
{
	struct hd_told nothing = {0};
	hd_report_told(a, s, kind, lock_a, lock_b, site_a, site_b, text, &nothing);
}
