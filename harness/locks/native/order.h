// What order.c, edge.c and cycle.c share, and how the read/write lock tells its wants and writers.
//
// An edge a -> b says: b was asked for, by a wait without limit, while a was held.  Rows
// between classes lie in a square; rows between two locks of one class in a small hash
// table that forgets what it has no room for.  A row only ever grows weaker: fewer gates,
// more threads, more kinds.  So whatever a search reads was true of some taking, and a
// row that two threads write at once is as if one had come after the other.
//
// Invariant of a search: a thread that changes a row looks for a cycle afterwards (all of it
// sequentially consistent).  Of two changes that close a cycle together, the later one
// in that order is seen together with the earlier: at least one thread finds the cycle.

#ifndef HANGDOG_ORDER_H
#define HANGDOG_ORDER_H

#include "lockcore.h"

enum hd_want { HD_WANT_WRITE = 0, HD_WANT_READ = 1, HD_WANT_PASS = 2 }; // PASS: reads past queued writers
#define HD_WANTS_KINDS 3u
#define HD_NO_GATE 1ull // of a row's gates: nothing here any more.  0: no taking yet
#define HD_SHARED 2ull  // beside a gate's offset: some taking held it for reading only

enum hd_edge_flags {
	HD_EDGE_BAD = 1,   // closed a cycle, or is against rank: no search goes through it
	HD_EDGE_TOLD = 2,  // and the report is out
	HD_EDGE_NOTED = 4, // the note is out: a cycle, but of one thread so far
	HD_EDGE_TIMED = 8, // was (also) taken by waits with a limit, which hold no thread for ever
	HD_EDGE_MANY = 16, // more threads than there is room for
};

static inline uint32_t hd_kind_bit(bool held_for_reading, uint32_t want) { return 1u << ((held_for_reading ? HD_WANTS_KINDS : 0) + want); }

// A writer that may queue up without limit: from then on two readings can wait for each other.
static inline void hd_writes(struct hd_arena *a, struct hd_seat *s, uint64_t lock, uint16_t class_id, uint32_t site)
{
	if (!(s->known[hd_class_of(class_id)] >> hd_class_of(class_id) & 1))
		hd_first_write(a, s, lock, class_id, site);
}

// --- edge.c
struct hd_edge *hd_class_edge(struct hd_arena *a, uint32_t from, uint32_t to);
// Rows of one inner lock lie one behind the other, at most HD_PROBES from its own place.
struct hd_edge *hd_instance_edge(struct hd_arena *a, uint64_t from, uint64_t to); // makes one; NULL: no room
struct hd_edge *hd_instance_row(struct hd_arena *a, uint64_t to, uint32_t number); // NULL: no more
uint64_t hd_key(uint64_t from, uint64_t to); // 0: lies too far out
static inline uint64_t hd_key_from(uint64_t key) { return key >> 32 << 3; }
static inline uint64_t hd_key_to(uint64_t key) { return (key & 0xffffffffu) << 3; }
// Adds one taking.  around: the locks held, offset | HD_SHARED, the edge's outer one last.
// True: no gate is left.
bool hd_edge_add(struct hd_edge *e, uint32_t id, uint32_t kind, const uint64_t *around, uint32_t count);
void hd_edge_thread(struct hd_edge *e, uint32_t id);

// --- cycle.c
enum hd_cycle { HD_CYCLE_NONE, HD_CYCLE_ONE_THREAD, HD_CYCLE_CERTAIN };
// Cycles through e, which leads from one class (instances: one lock) to another.
enum hd_cycle hd_cycle_through(struct hd_arena *a, struct hd_edge *e, uint64_t from, uint64_t to, bool instances);

#endif
