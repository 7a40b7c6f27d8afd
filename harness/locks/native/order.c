// Lock classes, which was taken under which, and the tables of names and sites.

#include "lockcore.h"

#include <stdio.h>
#include <string.h>

static uint64_t hash_text(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3ull;
	return h;
}

#define HASH_START 0xcbf29ce484222325ull

// A slot is claimed by state 0 -> 1, filled, and published by 2.  A claimer that was
// killed half-way leaves a 1; others pass over such a slot after a short wait.
static bool published(_Atomic uint32_t *state)
{
	for (int i = 0; i < 10000; i++)
		if (atomic_load(state) == 2)
			return true;
	return false;
}

uint32_t hd_intern_site(struct hd_arena *a, const char *file, uint32_t line, const char *function)
{
	struct hd_site *table = hd_at(a, a->sites);
	uint64_t h = hash_text(hash_text(HASH_START, file) + line, function) | 1;
	for (uint32_t i = 0; i < 64; i++) {
		uint32_t at = (uint32_t)((h + i) % (HD_SITES - 1)) + 1; // 0 means "unknown"
		struct hd_site *t = &table[at];
		uint32_t state = 0;
		if (atomic_compare_exchange_strong(&t->state, &state, 1)) {
			size_t length = strlen(file), room = sizeof t->file - 1;
			t->hash = h;
			t->line = line;
			strncpy(t->file, length > room ? file + (length - room) : file, room);
			strncpy(t->function, function, sizeof t->function - 1);
			atomic_store(&t->state, 2);
			return at;
		}
		if (published(&t->state) && t->hash == h)
			return at;
	}
	return 0;
}

uint32_t hd_intern_name(struct hd_arena *a, const char *text)
{
	struct hd_name *table = hd_at(a, a->names);
	uint64_t h = hash_text(HASH_START, text) | 1;
	for (uint32_t i = 0; i < 64; i++) {
		uint32_t at = (uint32_t)((h + i) % (HD_NAMES - 1)) + 1;
		struct hd_name *t = &table[at];
		uint32_t state = 0;
		if (atomic_compare_exchange_strong(&t->state, &state, 1)) {
			t->hash = h;
			strncpy(t->text, text, sizeof t->text - 1);
			atomic_store(&t->state, 2);
			return at;
		}
		if (published(&t->state) && t->hash == h)
			return at;
	}
	return 0;
}

int hd_declare_class(struct hd_arena *a, const char *name, uint32_t rank, uint32_t flags)
{
	struct hd_class *table = hd_at(a, a->classes);
	for (;;) {
		uint32_t count = atomic_load(&a->class_count);
		for (uint32_t i = 1; i < count; i++)
			if (!strncmp(table[i].name, name, sizeof table[i].name - 1))
				return (int)i;
		if (count == HD_MAX_CLASSES)
			return -1;
		if (!atomic_compare_exchange_strong(&a->class_count, &count, count + 1))
			continue;
		struct hd_class *c = &table[count];
		c->rank = rank;
		c->flags = flags;
		strncpy(c->name, name, sizeof c->name - 1);
		return (int)count;
	}
}

static void lock_name(struct hd_arena *a, uint64_t lock, uint16_t class_id, char *out, size_t room)
{
	struct hd_class *c = (struct hd_class *)hd_at(a, a->classes) + class_id;
	const struct hd_mutex *m = hd_at(a, lock); // all lock records begin alike
	snprintf(out, room, "%.39s[%u]", c->name, m->instance);
}

static void violation(struct hd_arena *a, struct hd_seat *s, const struct hd_held *held, uint64_t lock,
		      uint16_t class_id, uint32_t site, const char *why)
{
	char text[192], first[64], second[64];
	lock_name(a, held->lock, held->class_id, first, sizeof first);
	lock_name(a, lock, class_id, second, sizeof second);
	snprintf(text, sizeof text, "holds %s and takes %s: %s", first, second, why);
	hd_report(a, s, HD_REPORT_ORDER, held->lock, lock, held->site, site, text);
}

// Objects of a chain class nest along one link: from a held lock, following the
// links, the wanted lock must be reached.  The links of held records are stable.
static bool along_chain(struct hd_arena *a, const struct hd_class *c, uint64_t from, uint64_t to)
{
	for (int steps = 0; steps < 4; steps++) {
		uint64_t link;
		memcpy(&link, (char *)hd_at(a, from) + c->chain_delta, sizeof link);
		uint32_t slot = (uint32_t)link;
		if (!slot || c->chain_table + (slot + 1) * c->chain_stride > a->size)
			return false;
		from = c->chain_table + slot * c->chain_stride + c->chain_lock;
		if (from == to)
			return true;
	}
	return false;
}

static enum hd_status same_class(struct hd_arena *a, struct hd_seat *s, uint64_t lock, uint16_t class_id, uint32_t site)
{
	struct hd_class *c = (struct hd_class *)hd_at(a, a->classes) + class_id;
	if (c->flags & HD_NEST)
		return HD_OK;
	for (uint32_t i = 0; i < s->depth; i++) {
		struct hd_held *h = &s->held[i];
		if (h->class_id != class_id)
			continue;
		if ((c->flags & HD_CHAIN) && c->chain_stride && along_chain(a, c, h->lock, lock))
			continue;
		struct hd_edge *e = (struct hd_edge *)hd_at(a, a->edges) + class_id * HD_MAX_CLASSES + class_id;
		bool known = e->from_site == h->site && e->to_site == site;
		e->from_site = h->site;
		e->to_site = site;
		e->seat = s->number;
		e->when = hd_now();
		e->count++;
		if (!known)
			violation(a, s, h, lock, class_id, site,
				  c->flags & HD_CHAIN ? "not in chain order" : "two of one class that may not nest");
		return HD_ORDER;
	}
	return HD_OK;
}

// Is `to` known to be taken (directly or through others) before `from`?
static bool reaches(const _Atomic uint64_t *order, uint32_t from, uint32_t to)
{
	uint64_t seen = 0, todo = order[to];
	while (todo) {
		uint32_t c = (uint32_t)__builtin_ctzll(todo);
		if (c == from)
			return true;
		seen |= 1ull << c;
		todo = (todo | order[c]) & ~seen;
	}
	return false;
}

static enum hd_status new_edge(struct hd_arena *a, struct hd_seat *s, struct hd_held *h, uint64_t lock, uint16_t class_id, uint32_t site)
{
	_Atomic uint64_t *order = hd_at(a, a->order);
	struct hd_class *classes = hd_at(a, a->classes);
	struct hd_edge *e = (struct hd_edge *)hd_at(a, a->edges) + h->class_id * HD_MAX_CLASSES + class_id;
	uint32_t above = classes[h->class_id].rank, below = classes[class_id].rank;
	bool against = above && below && above >= below;
	bool cycle = !against && reaches(order, class_id, h->class_id);
	uint64_t old = atomic_fetch_or(&order[class_id], 1ull << h->class_id);
	if (old & 1ull << h->class_id)
		return HD_OK; // somebody was faster, and reported if there was a reason
	e->from_site = h->site;
	e->to_site = site;
	e->seat = s->number;
	e->when = hd_now();
	e->count++;
	if (!against && !cycle)
		return HD_OK;
	violation(a, s, h, lock, class_id, site, against ? "against rank" : "elsewhere they are taken the other way round");
	return HD_ORDER;
}

// order[c] has a bit for every class that was held while c was taken.  Usually all
// are known: one load and one test.
enum hd_status hd_check_order(struct hd_arena *a, struct hd_seat *s, uint64_t lock, uint16_t class_id, uint32_t site)
{
	const _Atomic uint64_t *order = hd_at(a, a->order);
	uint64_t bit = 1ull << class_id, held = s->held_mask;
	enum hd_status status = HD_OK;
	if (held & bit)
		status = same_class(a, s, lock, class_id, site);
	held &= ~bit;
	if ((atomic_load_explicit(&order[class_id], memory_order_relaxed) & held) == held)
		return status;
	for (uint32_t i = 0; i < s->depth; i++) {
		struct hd_held *h = &s->held[i];
		if (h->class_id == class_id || (order[class_id] >> h->class_id & 1))
			continue;
		if (new_edge(a, s, h, lock, class_id, site) != HD_OK)
			status = HD_ORDER;
	}
	return status;
}

// Before a sleep or a blocking call: only locks whose class allows it may be held.
enum hd_status hd_check_sleep(struct hd_arena *a, struct hd_seat *s, uint64_t except, uint32_t site)
{
	struct hd_class *classes = hd_at(a, a->classes);
	for (uint32_t i = 0; i < s->depth; i++) {
		struct hd_held *h = &s->held[i];
		if (h->lock == except || (classes[h->class_id].flags & HD_MAY_SLEEP))
			continue;
		char text[192], name[64];
		lock_name(a, h->lock, h->class_id, name, sizeof name);
		snprintf(text, sizeof text, "sleeps while it holds %s", name);
		hd_report(a, s, HD_REPORT_SLEEP_HOLDING, h->lock, 0, h->site, site, text);
		return HD_ORDER;
	}
	return HD_OK;
}
