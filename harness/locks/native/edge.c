// Rows of the order graph: which threads took two locks in this order, how, and under what.

#include "order.h"

struct hd_edge *hd_class_edge(struct hd_arena *a, uint32_t from, uint32_t to)
{
	return (struct hd_edge *)hd_at(a, a->edges) + hd_class_of(from) * HD_MAX_CLASSES + hd_class_of(to);
}

uint64_t hd_key(uint64_t from, uint64_t to)
{
	return (from | to) >> 35 ? 0 : from >> 3 << 32 | to >> 3;
}

#define HD_PROBES 64u

static struct hd_edge *place(struct hd_arena *a, uint64_t to, uint32_t number)
{
	uint64_t h = to * 0x9e3779b97f4a7c15ull >> 40;
	return (struct hd_edge *)hd_at(a, a->instances) + (h + number) % HD_INSTANCES;
}

struct hd_edge *hd_instance_row(struct hd_arena *a, uint64_t to, uint32_t number)
{
	struct hd_edge *e = place(a, to, number);
	return number < HD_PROBES && atomic_load(&e->key) ? e : NULL;
}

// One exchange makes the row.  Its facts are still "no taking yet" then, and a search
// does not go through a row that has no kind: killed here, it says nothing.
struct hd_edge *hd_instance_edge(struct hd_arena *a, uint64_t from, uint64_t to)
{
	uint64_t key = hd_key(from, to);
	for (uint32_t i = 0; key && i < HD_PROBES; i++) {
		struct hd_edge *e = place(a, to, i);
		uint64_t known = atomic_load(&e->key);
		if (known == key || (!known && (atomic_compare_exchange_strong(&e->key, &known, key) || known == key)))
			return e;
	}
	return NULL;
}

static uint64_t lock_of(uint64_t gate) { return gate & ~7ull; }

static uint64_t not_yet_there(const struct hd_edge *e, uint32_t before, const uint64_t *around, uint32_t count)
{
	for (uint32_t k = 0; k < count; k++) {
		bool there = false;
		for (uint32_t i = 0; i < before; i++)
			there |= lock_of(atomic_load(&e->gates[i])) == lock_of(around[k]);
		if (!there)
			return around[k];
	}
	return HD_NO_GATE;
}

// The gate after a taking under `around`: the same, only shared, or none.
static uint64_t remains(uint64_t gate, const uint64_t *around, uint32_t count)
{
	for (uint32_t k = 0; k < count; k++)
		if (lock_of(around[k]) == lock_of(gate))
			return gate | (around[k] & HD_SHARED);
	return HD_NO_GATE;
}

// Every taking passes every place.  The first one at an empty place puts a lock of its
// own there (or none); all others strike what they did not hold.  A place never gets
// another lock, so in the end it names one that all held, or none; killed between two
// places, the later ones are a little too strong, and the next taking passes them.
static bool narrow(struct hd_edge *e, const uint64_t *around, uint32_t count)
{
	bool open = true;
	for (uint32_t i = 0; i < HD_GATES; i++) {
		uint64_t gate = atomic_load(&e->gates[i]);
		if (!gate) {
			uint64_t own = not_yet_there(e, i, around, count);
			if (atomic_compare_exchange_strong(&e->gates[i], &gate, own))
				gate = own;
		}
		while (gate != HD_NO_GATE) {
			uint64_t rest = remains(gate, around, count);
			if (rest == gate || atomic_compare_exchange_strong(&e->gates[i], &gate, rest)) {
				gate = rest;
				break;
			}
		}
		open &= gate == HD_NO_GATE;
	}
	return open;
}

void hd_edge_thread(struct hd_edge *e, uint32_t id)
{
	for (uint32_t i = 0; i < HD_EDGE_THREADS; i++) {
		uint32_t known = atomic_load(&e->threads[i]);
		if (known == id || (!known && atomic_compare_exchange_strong(&e->threads[i], &known, id)))
			return;
	}
	if (!(atomic_load(&e->flags) & HD_EDGE_MANY))
		atomic_fetch_or(&e->flags, HD_EDGE_MANY);
}

// The kind last: a search passes over a row without kinds, so it never meets a row
// whose gates and threads are not yet filled in.
bool hd_edge_add(struct hd_edge *e, uint32_t id, uint32_t kind, const uint64_t *around, uint32_t count)
{
	bool open = narrow(e, around, count);
	hd_edge_thread(e, id);
	if (!(atomic_load(&e->kinds) & kind))
		atomic_fetch_or(&e->kinds, kind);
	return open;
}
