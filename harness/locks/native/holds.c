// Who holds what, concluded without a lock.
//
// The word decides, the row only says where.  A row is written before its word and outlives
// it, so a row alone proves nothing: it counts when the lock's word names this seat's whole
// id (number and generation), or, for a living reader, when its cell says READING.  A row with
// INTENT is a lock that is only asked for.  Everything is read by value, and believed when
// the seat's generation and the row are the same afterwards.

#include "holds.h"

static uint32_t generation_of(struct hd_seat *s)
{
	return atomic_load_explicit(&s->generation, memory_order_acquire);
}

// While a dead seat is being settled its generation is odd, and the old id is meant: as in seat.c.
static uint32_t id_of(const struct hd_seat *s, uint32_t generation)
{
	return (generation >> 1 << 9 | s->number) & HD_ID_MASK;
}

static bool names(_Atomic uint32_t *word, uint32_t id)
{
	return (atomic_load(word) & HD_ID_MASK) == id;
}

// A cell has no generation; that of a dead seat counts for nothing.
static bool reads(struct hd_rwlock *l, struct hd_seat *s)
{
	uint32_t at = s->number - 1;
	return at < HD_MAX_SEATS && (atomic_load(&l->cells[at / 32]) >> at % 32 * 2 & 3) == HD_READING && hd_seat_alive(s);
}

static bool granted_to(_Atomic uint32_t *word, uint32_t id) // until then it is a claim
{
	uint32_t v = atomic_load(word);
	return (v & HD_ID_MASK) == id && (v & HD_GRANTED);
}

static bool confirmed(struct hd_arena *a, struct hd_seat *s, uint32_t id, const struct hd_hold *h)
{
	if (h->kind == HD_MUTEX)
		return hd_fits(a, h->lock, sizeof(struct hd_mutex)) && names(&((struct hd_mutex *)hd_at(a, h->lock))->owner, id);
	if ((h->kind != HD_READ && h->kind != HD_WRITE) || !hd_fits(a, h->lock, sizeof(struct hd_rwlock)))
		return false;
	struct hd_rwlock *l = hd_at(a, h->lock);
	return granted_to(&l->writer, id) || granted_to(&l->upgrader, id) || (h->kind == HD_READ && reads(l, s));
}

// Another thread may write while we read: what was read is believed only if nothing moved.
#define BY_VALUE __attribute__((no_sanitize_thread))

BY_VALUE static bool row_by_value(struct hd_seat *s, uint32_t row, struct hd_hold *out)
{
	struct hd_held *h = &s->held[row];
	uint64_t lock = atomic_load_explicit(&h->lock, memory_order_acquire);
	*out = (struct hd_hold){lock, h->since, h->site, h->class_id, h->kind, h->owner_died};
	atomic_thread_fence(memory_order_acquire);
	return lock && atomic_load_explicit(&h->lock, memory_order_relaxed) == lock;
}

bool hd_holds(struct hd_arena *a, struct hd_seat *s, uint32_t row, struct hd_hold *out)
{
	uint32_t generation = generation_of(s);
	return row < HD_MAX_HELD && row_by_value(s, row, out) && !(out->kind & HD_INTENT) &&
	       confirmed(a, s, id_of(s, generation), out) && id_of(s, generation_of(s)) == id_of(s, generation);
}

// The seat's occupant as the holder by this row.  false: it is not the same occupant any more.
BY_VALUE static bool describe(struct hd_seat *s, uint32_t generation, const struct hd_hold *h, struct hd_holder *out)
{
	*out = (struct hd_holder){.seat = s->number, .pid = s->pid, .site = h->site, .since = h->since, .kind = h->kind & ~HD_INTENT};
	out->tid = atomic_load(&s->tid);
	for (size_t i = 0; i < sizeof out->role - 1; i++)
		out->role[i] = s->role[i];
	out->alive = hd_seat_alive(s);
	return generation_of(s) == generation;
}

bool hd_holder_in(struct hd_arena *a, struct hd_seat *s, uint64_t lock, struct hd_holder *out)
{
	uint32_t generation = generation_of(s);
	struct hd_hold h;
	for (uint32_t i = HD_MAX_HELD; i-- > 0;) // the innermost
		if (s->held[i].lock == lock && hd_holds(a, s, i, &h) && h.lock == lock)
			return describe(s, generation, &h, out);
	return false;
}

// The id's seat, whatever its row says: between the word and the row there are a few
// instructions, and a thread may die there.  The row, an intent too, says where and since when.
static bool holder_by_id(struct hd_arena *a, uint32_t id, uint64_t word, struct hd_holder *out)
{
	struct hd_seat *s = hd_seat_of(a, id);
	uint32_t generation = s ? generation_of(s) : 0;
	if (!s || id_of(s, generation) != (id & HD_ID_MASK))
		return false;
	struct hd_hold h, found = {0};
	for (uint32_t i = 0; i < HD_MAX_HELD; i++)
		if (row_by_value(s, i, &h) && word >= h.lock && word - h.lock < 24) // a lock word is one of the first of its record
			found = h;
	return describe(s, generation, &found, out);
}

bool hd_mutex_holder(struct hd_arena *a, struct hd_mutex *m, struct hd_holder *out)
{
	for (int tries = 0; tries < 8; tries++) { // it is passed on while we look: then the next one
		uint32_t id = atomic_load(&m->owner) & HD_ID_MASK;
		if (!id)
			return false;
		if (holder_by_id(a, id, hd_offset(a, &m->owner), out) && names(&m->owner, id))
			return true;
	}
	return false;
}

bool hd_rw_holder(struct hd_arena *a, struct hd_rwlock *l, struct hd_holder *out)
{
	bool found = false;
	for (uint32_t i = 1; i <= a->seat_count; i++) {
		struct hd_holder h;
		if (!hd_holder_in(a, hd_seat_of(a, i), hd_offset(a, l), &h) || (h.kind == HD_READ && found))
			continue;
		*out = h;
		found = true;
		if (h.kind == HD_WRITE)
			break;
	}
	return found;
}

static _Thread_local struct { struct hd_arena *arena; uint64_t word; struct hd_holder who; bool known; } dead;

void hd_note_dead(struct hd_arena *a, const void *word, uint32_t id)
{
	dead.arena = a;
	dead.word = hd_offset(a, word);
	dead.known = (id & HD_ID_MASK) && holder_by_id(a, id, dead.word, &dead.who);
}

const struct hd_holder *hd_dead_before(struct hd_arena *a, uint64_t lock, uint64_t size)
{
	return dead.known && dead.arena == a && dead.word >= lock && dead.word - lock < size ? &dead.who : NULL;
}
