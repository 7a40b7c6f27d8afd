// Tables of names: lock classes, sites, and what a program calls its operations.

#include "lockcore.h"

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

// The last slot is kept for all that do not fit: an operation without a name would count as none.
static uint32_t one_name_too_many(struct hd_name *table)
{
	struct hd_name *t = &table[HD_NAMES - 1];
	if (atomic_load(&t->state) != 2) {
		strncpy(t->text, "(more names than fit)", sizeof t->text - 1); // the same for every process, so no claim
		atomic_store(&t->state, 2);
	}
	return HD_NAMES - 1;
}

uint32_t hd_intern_name(struct hd_arena *a, const char *text)
{
	struct hd_name *table = hd_at(a, a->names);
	uint64_t h = hash_text(HASH_START, text) | 1;
	for (uint32_t i = 0; i < 64; i++) {
		uint32_t at = (uint32_t)((h + i) % (HD_NAMES - 2)) + 1;
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
	return one_name_too_many(table);
}

// c1 hash 0 -> h   c2 name, rank and flags   c3 state 2   c4 class_count
// The claim c1 carries the name: two that declare one class at once claim one row, and the
// number is known to both.  A thread that finds a row of its name incomplete completes it
// and does not wait: its claimer may be stopped, or was killed.  The bytes of the name are
// the same whichever thread writes them; rank and flags are one word, and the first to write it decides.
// Killed after c1 or c2: the row has no name yet, and no lock has its number.  The next one that
// declares the name completes it; until then the row is passed over by those that declare others
// and by readers (state).  Killed after c3: class_count leaves the row out until any thread
// declares this class or one behind it.  Rows are claimed in order, so there are no gaps.
static void complete(struct hd_class *c, const char *cut, uint32_t rank, uint32_t flags)
{
	uint64_t words[sizeof c->name / 8], none = 0, rule;
	uint32_t both[2] = {rank, flags};
	memcpy(words, cut, sizeof words);
	for (uint32_t i = 0; i < sizeof c->name / 8; i++)
		atomic_store_explicit(&c->name_words[i], words[i], memory_order_relaxed);
	memcpy(&rule, both, sizeof rule);
	atomic_compare_exchange_strong(&c->rule, &none, rule);
	atomic_store(&c->state, 2);
}

int hd_declare_class(struct hd_arena *a, const char *name, uint32_t rank, uint32_t flags)
{
	struct hd_class *table = hd_at(a, a->classes);
	char cut[sizeof table->name] = {0};
	strncpy(cut, name, sizeof cut - 1);
	uint64_t h = hash_text(HASH_START, cut) | 1;
	for (uint32_t i = 1; i < HD_MAX_CLASSES; i++) {
		struct hd_class *c = &table[i];
		uint64_t known = 0;
		if (!atomic_compare_exchange_strong(&c->hash, &known, h) && known != h)
			continue;
		if (atomic_load(&c->state) != 2)
			complete(c, cut, rank, flags);
		if (strncmp(c->name, cut, sizeof c->name)) // another name with this hash
			continue;
		uint32_t count = atomic_load(&a->class_count);
		while (count <= i && !atomic_compare_exchange_weak(&a->class_count, &count, i + 1))
			;
		return (int)i;
	}
	return -1;
}
