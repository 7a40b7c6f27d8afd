// Inside the read/write lock: cells, and who looks at them.  Only rwlock*.c include this;
// the rules that they keep are at the top of rwlock.c.

#ifndef HANGDOG_RWLOCK_CELLS_H
#define HANGDOG_RWLOCK_CELLS_H

#include "holds.h"
#include "lockcore.h"
#include "word.h"

#define ALL_BITS 0xffffffffu

// If the holder of this word is dead: was it inside, or had another thread died before it?
static inline bool in_doubt(uint32_t v)
{
	return (v & HD_SUSPECT) || (v & (HD_GRANTED | HD_CLOSED)) == (HD_GRANTED | HD_CLOSED);
}

// --- cells
static inline _Atomic uint64_t *word_of(struct hd_rwlock *l, uint32_t seat, uint32_t *shift)
{
	seat = (seat - 1) & HD_SEAT_MASK; // its own row may be damaged: some cell, but one that is there
	*shift = seat % 32 * 2;
	return &l->cells[seat / 32];
}

static inline enum hd_cell cell(struct hd_rwlock *l, uint32_t seat)
{
	uint32_t shift;
	_Atomic uint64_t *w = word_of(l, seat, &shift);
	return (enum hd_cell)(atomic_load(w) >> shift & 3);
}

static inline void cell_read(struct hd_rwlock *l, uint32_t seat) // from NOT_READING
{
	uint32_t shift;
	_Atomic uint64_t *w = word_of(l, seat, &shift);
	atomic_fetch_or(w, (uint64_t)HD_READING << shift);
}

static inline void cell_flip(struct hd_rwlock *l, uint32_t seat) // READING to WANTS: no other thread touches a READING
{
	uint32_t shift;
	_Atomic uint64_t *w = word_of(l, seat, &shift);
	atomic_fetch_xor(w, 3ull << shift);
}

static inline void cell_clear(struct hd_rwlock *l, uint32_t seat)
{
	uint32_t shift;
	_Atomic uint64_t *w = word_of(l, seat, &shift);
	atomic_fetch_and(w, ~(3ull << shift));
}

static inline bool cell_retry(struct hd_rwlock *l, uint32_t seat) // WANTS to READING; false: a giver has done so
{
	uint32_t shift;
	_Atomic uint64_t *w = word_of(l, seat, &shift);
	uint64_t v = atomic_load(w);
	do {
		if ((v >> shift & 3) == HD_READING)
			return false;
	} while (!atomic_compare_exchange_weak(w, &v, v ^ 3ull << shift));
	return true;
}

// --- looking at one another
static inline void leave_note(struct hd_rwlock *l) // a cell is not READING any more
{
	if (atomic_load(&l->writer) || atomic_load(&l->upgrader)) {
		atomic_fetch_add(&l->drain, 1);
		hd_wake(&l->drain, 0x7fffffff, ALL_BITS);
	}
}

static inline void call_readers(struct hd_rwlock *l)
{
	atomic_fetch_add(&l->phase, 1);
	hd_wake(&l->phase, 0x7fffffff, ALL_BITS);
}

static inline bool other_readers(struct hd_arena *a, struct hd_rwlock *l, uint32_t seat) // in, or waiting
{
	uint32_t shift;
	_Atomic uint64_t *mine = word_of(l, seat, &shift);
	for (uint32_t i = 0; i * 32 < a->seat_count; i++)
		if (atomic_load(&l->cells[i]) & ~(&l->cells[i] == mine ? 3ull << shift : 0))
			return true;
	return false;
}

static inline bool any_wants(struct hd_arena *a, struct hd_rwlock *l)
{
	for (uint32_t i = 0; i * 32 < a->seat_count; i++)
		if (atomic_load(&l->cells[i]) & 0x5555555555555555ull)
			return true;
	return false;
}

// 0, or the word that keeps this reader out.  The upgrader first: doubt moves from there
// into `writer` (close_and_look), and must not be missed on its way.
static inline uint32_t blocker(struct hd_rwlock *l, bool pass, _Atomic uint32_t **where)
{
	const uint32_t stops = pass ? HD_CLOSED | HD_GRANTED | HD_SUSPECT : ~0u;
	uint32_t w = atomic_load(&l->upgrader);
	*where = &l->upgrader;
	if (w & stops)
		return w;
	w = atomic_load(&l->writer);
	*where = &l->writer;
	return w & stops ? w : 0;
}

static inline bool mine(const struct hd_seat *s, _Atomic uint32_t *word)
{
	return (atomic_load_explicit(word, memory_order_relaxed) & HD_ID_MASK) == s->id;
}

// --- rwlock_claim.c
// NULL: granted.  Otherwise the seat that is in the way.  `word` is writer or upgrader and names s already.
struct hd_seat *hd_rw_close_and_look(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, _Atomic uint32_t *word);
void hd_rw_give_writer(struct hd_arena *a, struct hd_rwlock *l, bool inside); // inside: it was granted
bool hd_rw_clear_away(struct hd_rwlock *l, _Atomic uint32_t *where, uint32_t v); // a dead holder; true: look again

#endif
