// Events: the last ones of every seat, in a ring.

#include "lockcore.h"

void hd_record(struct hd_arena *a, struct hd_seat *s, uint32_t kind, uint64_t object, uint32_t site)
{
	(void)a;
	// The history of a page is put together from points of several threads: within one tick of the
	// coarse clock their order would be lost.  The exact clock is never behind the coarse one.
	struct hd_event e = {kind == HD_EV_POINT ? hd_precise_now() : hd_now(), object, site, kind};
	uint32_t next = atomic_load_explicit(&s->ring_next, memory_order_relaxed);
	s->ring[next % HD_RING] = e;
	atomic_store_explicit(&s->ring_next, next + 1, memory_order_release);
	if (kind != HD_EV_POINT)
		return;
	next = atomic_load_explicit(&s->points_next, memory_order_relaxed);
	s->points[next % HD_POINTS] = e;
	atomic_store_explicit(&s->points_next, next + 1, memory_order_release);
}
