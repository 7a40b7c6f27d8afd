// Read/write lock: claiming to be the only one, giving that back, and what a dead one left.

#include "rwlock_cells.h"

// A living seat other than `me` that reads; NULL: none.
static struct hd_seat *reader_in(struct hd_arena *a, struct hd_rwlock *l, uint32_t me)
{
	for (uint32_t i = 0; i * 32 < a->seat_count; i++) {
		uint64_t v = atomic_load(&l->cells[i]) & 0xaaaaaaaaaaaaaaaaull;
		for (; v; v &= v - 1) {
			uint32_t seat = i * 32 + (uint32_t)__builtin_ctzll(v) / 2 + 1;
			struct hd_seat *s = seat == me ? NULL : hd_seat_of(a, seat);
			if (s && hd_seat_alive(s))
				return s;
		}
	}
	return NULL;
}

// --- claiming to be the only one: `word` is writer or upgrader and names us already
// NULL: granted.  Otherwise the seat that is in the way.
struct hd_seat *hd_rw_close_and_look(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, _Atomic uint32_t *word)
{
	if (word == &l->upgrader) {
		uint32_t w = atomic_load(&l->writer);
		if ((w & HD_GRANTED) && !hd_id_dead(a, w))
			return hd_seat_of(a, w); // it is letting others in (rule 2)
	}
	struct hd_seat *other = reader_in(a, l, s->number);
	if (other)
		return other;
	if (word == &l->writer) {
		for (uint32_t u; (u = atomic_load(&l->upgrader));) {
			if (!hd_id_dead(a, u))
				return hd_seat_of(a, u); // it has just begun: its cell says so by now
			if (in_doubt(u)) { // it died inside: now our word says so
				hd_note_dead(a, &l->upgrader, u);
				atomic_fetch_or(word, HD_SUSPECT);
			}
			atomic_compare_exchange_strong(&l->upgrader, &u, 0); // only we do this
		}
	}
	atomic_fetch_or(word, HD_CLOSED); // from here on no reader gets in, passing or not
	other = reader_in(a, l, s->number);
	if (!other) {
		atomic_fetch_or(word, HD_GRANTED);
		return NULL;
	}
	atomic_fetch_and(word, ~HD_CLOSED);
	if (any_wants(a, l))
		call_readers(l); // those that pass
	return other;
}

// Give `writer` back; inside: it was granted.
void hd_rw_give_writer(struct hd_arena *a, struct hd_rwlock *l, bool inside)
{
	uint32_t w = inside ? atomic_fetch_and(&l->writer, ~HD_CLOSED) : atomic_load(&l->writer);
	// From here on the death of this thread leaves no new doubt about the data.
	bool doubt = (w & HD_SUSPECT) && l->suspect != 2, let_in = false;
	for (uint32_t i = 0; inside && i * 32 < a->seat_count; i++) {
		uint64_t v = atomic_load(&l->cells[i]);
		while (v & 0x5555555555555555ull) {
			uint64_t wants = v & 0x5555555555555555ull;
			let_in = true;
			if (atomic_compare_exchange_weak(&l->cells[i], &v, v ^ (wants | wants << 1)))
				break;
		}
	}
	hd_word_give(&l->writer, &l->first, doubt ? HD_SUSPECT : 0);
	if (atomic_load(&l->upgrader)) { // one of those may wait for the end of this
		atomic_fetch_add(&l->drain, 1);
		hd_wake(&l->drain, 0x7fffffff, ALL_BITS);
	}
	if (let_in || any_wants(a, l)) // the second look: those that saw us still there
		call_readers(l);
}

// --- what a dead holder left
// Called by a thread that `v`, read from *where, keeps out.  true: look again; false: the data
// is in doubt, and the caller must claim `writer`: only the one that gets it is told.
bool hd_rw_clear_away(struct hd_rwlock *l, _Atomic uint32_t *where, uint32_t v)
{
	if (in_doubt(v))
		return false;
	if (atomic_compare_exchange_strong(where, &v, 0)) {
		if (v & HD_WAITERS)
			hd_wake(where, 0x7fffffff, ALL_BITS);
		call_readers(l);
	}
	return true;
}

void hd_rw_estate(struct hd_rwlock *l, uint32_t seat)
{
	uint32_t v = atomic_load(&l->upgrader);
	if ((v & HD_ID_MASK) && (v & HD_SEAT_MASK) == seat) // the next one to claim carries it into its own word
		atomic_compare_exchange_strong(&l->upgrader, &v, in_doubt(v) ? HD_SUSPECT : 0);
	v = atomic_load(&l->writer);
	while ((v & HD_ID_MASK) && (v & HD_SEAT_MASK) == seat)
		if (atomic_compare_exchange_weak(&l->writer, &v, in_doubt(v) ? HD_SUSPECT : 0))
			break;
	cell_clear(l, seat);
	v = atomic_load(&l->first);
	if ((v & HD_SEAT_MASK) == seat)
		atomic_compare_exchange_strong(&l->first, &v, 0);
	atomic_fetch_add(&l->drain, 1);
	hd_wake(&l->drain, 0x7fffffff, ALL_BITS);
	hd_wake(&l->writer, 0x7fffffff, ALL_BITS);
	call_readers(l);
}
