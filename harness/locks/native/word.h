// Lock words and sleeping on them: word.c, for the locks only.

#ifndef HANGDOG_WORD_H
#define HANGDOG_WORD_H

#include "lockcore.h"

enum hd_take { HD_TAKEN, HD_TAKEN_SUSPECT, HD_NOT_TAKEN };
enum hd_take hd_word_take(struct hd_arena *a, _Atomic uint32_t *word, _Atomic uint32_t *first, uint32_t id, bool slept, bool always_suspect);
// Both sleep at most until `until` and may return early.  true: a signal ended it.  Then the caller
// looks at its word once more (what was got meanwhile is got) and returns HD_INTERRUPTED.
bool hd_word_sleep(struct hd_arena *a, _Atomic uint32_t *word, _Atomic uint32_t *first, uint32_t id, uint64_t until);
bool hd_sleep_on(_Atomic uint32_t *word, uint32_t value, struct hd_seat *blocker, uint32_t bits, uint64_t until);
bool hd_word_queue_up(struct hd_arena *a, _Atomic uint32_t *first, uint32_t id); // waited too long; true: goes first from now on
void hd_word_unqueue(_Atomic uint32_t *word, _Atomic uint32_t *first, uint32_t id);
void hd_wake(_Atomic uint32_t *word, int how_many, uint32_t bits);
// rest: what stays in the word (SUSPECT when the data is still in doubt).
static inline void hd_word_give(_Atomic uint32_t *word, _Atomic uint32_t *first, uint32_t rest)
{
	uint32_t old = atomic_exchange(word, rest);
	if (atomic_load(first))
		hd_wake(word, 0x7fffffff, ~0u); // it may be any of them
	else if (old & HD_WAITERS)
		hd_wake(word, 1, ~0u);
}
// When a wait that begins now comes back to look again: any process may write the header.
static inline uint64_t hd_slice_end(struct hd_arena *a)
{
	uint64_t ns = atomic_load_explicit(&a->slice_ns, memory_order_relaxed);
	return hd_precise_now() + (ns && ns <= HD_SLICE_MAX_NS ? ns : HD_SLICE_NS);
}
#define HD_PATIENCE_NS 10000000ull // then a waiter queues up and is not overtaken any more

#endif
