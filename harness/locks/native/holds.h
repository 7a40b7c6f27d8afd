// What another thread may conclude from a lock word and the rows of a seat.

#ifndef HANGDOG_HOLDS_H
#define HANGDOG_HOLDS_H

#include "lockcore.h"

struct hd_hold { uint64_t lock, since; uint32_t site; uint16_t class_id; uint8_t kind, owner_died; }; // a row by value

struct hd_holder { // who holds a lock, by value
	uint32_t seat, pid, tid, site;
	uint64_t since; // coarse monotonic ns
	char role[32];
	uint8_t kind;   // hd_kind
	bool alive;
};

// True: row number `row` of the seat is a lock that its occupant holds (or held when it died).
bool hd_holds(struct hd_arena *a, struct hd_seat *s, uint32_t row, struct hd_hold *out);
bool hd_holder_in(struct hd_arena *a, struct hd_seat *s, uint64_t lock, struct hd_holder *out); // s holds this lock
bool hd_mutex_holder(struct hd_arena *a, struct hd_mutex *m, struct hd_holder *out); // false: free
bool hd_rw_holder(struct hd_arena *a, struct hd_rwlock *l, struct hd_holder *out);   // the writer, else a living reader

// Called before a dead holder's place is taken: afterwards nothing says who it was.
void hd_note_dead(struct hd_arena *a, const void *word, uint32_t id);
const struct hd_holder *hd_dead_before(struct hd_arena *a, uint64_t lock, uint64_t size); // NULL: not known any more

#endif
