// What a thread holds and asks for: the rows of its seat.

#include "lockcore.h"

static uint32_t depth_of(const struct hd_seat *s)
{
	uint32_t depth = atomic_load_explicit(&s->depth, memory_order_relaxed);
	return depth < HD_MAX_HELD ? depth : HD_MAX_HELD;
}

// Rows never move, so that any thread may read one by value: the lock before and after.
struct hd_held *hd_push(struct hd_arena *a, struct hd_seat *s, uint64_t lock, uint16_t class_id, uint8_t kind, uint32_t site)
{
	uint32_t depth = depth_of(s), at = depth;
	if (depth == HD_MAX_HELD) // only then a row in the middle that was given up early is used again
		for (at = 0; at < HD_MAX_HELD && s->held[at].lock; at++)
			;
	if (at == HD_MAX_HELD)
		return NULL;
	(void)a;
	struct hd_held *h = &s->held[at];
	h->since = hd_now();
	h->site = site;
	h->class_id = class_id;
	h->kind = kind;
	h->owner_died = 0;
	atomic_store_explicit(&h->lock, lock, memory_order_release);
	if (at == depth)
		atomic_store_explicit(&s->depth, depth + 1, memory_order_release);
	return h;
}

void hd_got(struct hd_arena *a, struct hd_seat *s, struct hd_held *h, uint8_t kind)
{
	h->kind = kind;
	hd_polled_got(s, h->lock);
	s->held_mask |= 1ull << hd_class_of(h->class_id);
	s->taken_mask |= 1ull << hd_class_of(h->class_id);
	atomic_store_explicit(&s->progress, s->progress + 1, memory_order_relaxed);
	if (atomic_load_explicit(&a->mode, memory_order_relaxed) & HD_RECORD)
		hd_record(a, s, HD_EV_ACQUIRE, h->lock, h->site);
}

struct hd_held *hd_find_held(struct hd_seat *s, uint64_t lock)
{
	for (uint32_t i = depth_of(s); i-- > 0;)
		if (s->held[i].lock == lock && !(s->held[i].kind & HD_INTENT))
			return &s->held[i];
	return NULL;
}

struct hd_held *hd_find_intent(struct hd_seat *s, uint64_t lock)
{
	for (uint32_t i = depth_of(s); i-- > 0;)
		if (s->held[i].lock == lock && (s->held[i].kind & HD_INTENT))
			return &s->held[i];
	return NULL;
}

// Locks need not be released in reverse order; the usual case is the top.
void hd_pop(struct hd_seat *s, struct hd_held *h)
{
	uint32_t depth = depth_of(s);
	atomic_store_explicit(&h->lock, 0, memory_order_release);
	if (depth == 1 && h == s->held) { // the usual case
		s->held_mask = 0;
		atomic_store_explicit(&s->depth, 0, memory_order_release);
		hd_polled_gave(s, 0);
		return;
	}
	while (depth && !atomic_load_explicit(&s->held[depth - 1].lock, memory_order_relaxed))
		depth--;
	uint64_t mask = 0;
	for (uint32_t i = 0; i < depth; i++)
		if (s->held[i].lock && !(s->held[i].kind & HD_INTENT))
			mask |= 1ull << hd_class_of(s->held[i].class_id);
	s->held_mask = mask;
	hd_polled_gave(s, (uint32_t)(h - s->held));
	atomic_store_explicit(&s->depth, depth, memory_order_release);
}
