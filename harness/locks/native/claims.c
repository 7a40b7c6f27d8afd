// "Others wait for me" marks that are not locks, and who changed a word last.

#include "lockcore.h"

enum hd_status hd_claim(struct hd_seat *s, uint64_t address, uint32_t site)
{
	struct hd_claim *empty = NULL;
	for (int i = 0; i < HD_MAX_CLAIMS; i++) {
		struct hd_claim *c = &s->claims[i];
		uint64_t at = atomic_load_explicit(&c->address, memory_order_relaxed);
		if (at == address) {
			c->count++;
			return HD_OK;
		}
		if (!at) { // claims are kept packed: nothing lies behind a gap
			empty = c;
			break;
		}
	}
	if (!empty)
		return HD_FULL;
	empty->since = hd_now();
	empty->site = site;
	empty->count = 1;
	atomic_store_explicit(&empty->address, address, memory_order_release);
	return HD_OK;
}

enum hd_status hd_unclaim(struct hd_seat *s, uint64_t address)
{
	int found = -1, last = -1;
	for (int i = 0; i < HD_MAX_CLAIMS && s->claims[i].address; i++) {
		if (s->claims[i].address == address)
			found = i;
		last = i;
	}
	if (found < 0)
		return HD_NOT_OWNER;
	if (--s->claims[found].count)
		return HD_OK;
	if (found != last) {
		struct hd_claim *to = &s->claims[found], *from = &s->claims[last];
		to->since = from->since;
		to->site = from->site;
		to->count = from->count;
		atomic_store_explicit(&to->address, from->address, memory_order_release);
	}
	atomic_store_explicit(&s->claims[last].address, 0, memory_order_release);
	return HD_OK;
}

// The address goes last and is cleared first: a reader that finds it before and after
// has read what belongs to it.
void hd_changed(struct hd_seat *s, uint64_t address, uint32_t site, uint32_t outer)
{
	struct hd_change *c = &s->changes[(address * 0x9e3779b97f4a7c15ull) >> 32 & (HD_CHANGES - 1)];
	atomic_store_explicit(&c->address, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&c->when, hd_precise_now(), memory_order_relaxed);
	atomic_store_explicit(&c->site, site, memory_order_relaxed);
	atomic_store_explicit(&c->outer, outer, memory_order_relaxed);
	atomic_store_explicit(&c->step, s->operation ? s->steps + 1 : 0, memory_order_relaxed);
	atomic_store_explicit(&c->address, address, memory_order_release);
}
