// Can a ring of takings hold each other for ever?  Only when they can all be under way
// at once: each by a thread of its own, no two under one lock that excludes the other,
// and at every lock of the ring the one that asks must wait for the one that holds it.

#include "order.h"

#define LONGEST 8u     // edges of a ring
#define BUDGET 20000u  // edges looked at; then the rest is passed over (missed, never false)
#define REACHABLE 256u // locks of one class, looked at before a search

struct step { // the edge from -> (the step before)'s from
	struct hd_edge *e;
	uint64_t from;
	uint32_t kind; // number of the bit
};

struct search { // goes backwards: from what the first edge holds to what it asks for
	struct hd_arena *a;
	bool instances;
	uint64_t target;
	uint32_t used, limit, budget;
	struct step steps[LONGEST];
	enum hd_cycle best;
};

static uint32_t class_of_node(const struct search *q, uint64_t node)
{
	if (!q->instances)
		return (uint32_t)node;
	return hd_fits(q->a, node, sizeof(struct hd_mutex)) ? hd_class_of(((const struct hd_mutex *)hd_at(q->a, node))->class_id) : 0;
}

static struct hd_edge *writers(const struct search *q, uint64_t node)
{
	uint32_t c = class_of_node(q, node);
	return hd_class_edge(q->a, c, c);
}

static bool both_read(const struct step *asks, const struct step *holds)
{
	return holds->kind >= HD_WANTS_KINDS && asks->kind % HD_WANTS_KINDS != HD_WANT_WRITE;
}

// Two that read do not wait for each other, unless a writer queues up between them; a reader
// that asked to pass writers goes past a queued one.
static bool waits(const struct search *q, const struct step *asks, const struct step *holds, uint64_t node)
{
	if (!both_read(asks, holds))
		return true;
	return asks->kind % HD_WANTS_KINDS == HD_WANT_READ && atomic_load(&writers(q, node)->threads[0]);
}

static bool gated(const struct hd_edge *e, const struct hd_edge *other)
{
	for (uint32_t i = 0; i < HD_GATES; i++)
		for (uint32_t k = 0; k < HD_GATES; k++) {
			uint64_t one = atomic_load(&e->gates[i]), two = atomic_load(&other->gates[k]);
			if (one >> 3 && one >> 3 == two >> 3 && !(one & two & HD_SHARED))
				return true;
		}
	return false;
}

// A thread for each, no thread twice.
static bool each_its_own(struct hd_edge *const *rows, uint32_t count, uint32_t *taken, uint32_t used)
{
	if (!count)
		return true;
	if (atomic_load(&rows[0]->flags) & HD_EDGE_MANY)
		return each_its_own(rows + 1, count - 1, taken, used);
	for (uint32_t i = 0; i < HD_EDGE_THREADS; i++) {
		uint32_t id = atomic_load(&rows[0]->threads[i]);
		bool free = id != 0;
		for (uint32_t k = 0; k < used; k++)
			free &= taken[k] != id;
		if (!free)
			continue;
		taken[used] = id;
		if (each_its_own(rows + 1, count - 1, taken, used + 1))
			return true;
	}
	return false;
}

static enum hd_cycle judge(const struct search *q)
{
	struct hd_edge *rows[2 * LONGEST];
	uint32_t taken[2 * LONGEST], count = 0;
	for (uint32_t i = 0; i < q->used; i++) {
		const struct step *holds = &q->steps[i], *asks = &q->steps[(i + 1) % q->used];
		rows[count++] = holds->e;
		if (both_read(asks, holds)) // the writer that waits there is a thread of its own
			rows[count++] = writers(q, holds->from);
	}
	return each_its_own(rows, count, taken, 0) ? HD_CYCLE_CERTAIN : HD_CYCLE_ONE_THREAD;
}

static void backwards(struct search *q);

static void over(struct search *q, struct hd_edge *e, uint64_t from)
{
	const struct step *last = &q->steps[q->used - 1];
	uint32_t kinds = atomic_load(&e->flags) & HD_EDGE_BAD ? 0 : atomic_load(&e->kinds);
	for (uint32_t i = 0; i < q->used && kinds; i++)
		if (q->steps[i].from == from || gated(e, q->steps[i].e))
			return;
	for (uint32_t kind = 0; kinds >> kind && q->budget && q->best != HD_CYCLE_CERTAIN; kind++) {
		struct step next = {e, from, kind};
		q->budget--;
		if (!(kinds >> kind & 1) || !waits(q, &next, last, last->from))
			continue;
		q->steps[q->used++] = next;
		if (from != q->target) {
			if (q->used < q->limit)
				backwards(q);
		} else if (q->used == q->limit && waits(q, &q->steps[0], &next, from)) {
			enum hd_cycle found = judge(q);
			q->best = found > q->best ? found : q->best;
		}
		q->used--;
	}
}

static void backwards(struct search *q)
{
	uint64_t node = q->steps[q->used - 1].from;
	if (q->instances) {
		struct hd_edge *e;
		for (uint32_t i = 0; (e = hd_instance_row(q->a, node, i)); i++)
			if (hd_key_to(atomic_load(&e->key)) == node)
				over(q, e, hd_key_from(atomic_load(&e->key)));
		return;
	}
	const _Atomic uint64_t *tried = hd_at(q->a, q->a->tried);
	for (uint64_t todo = atomic_load(&tried[node]); todo; todo &= todo - 1) {
		uint32_t from = (uint32_t)__builtin_ctzll(todo);
		over(q, hd_class_edge(q->a, from, (uint32_t)node), from);
	}
}

// Is there any way at all?  Nearly always not, and that is cheap to know.
static bool classes_reach(struct hd_arena *a, uint64_t from, uint64_t to)
{
	const _Atomic uint64_t *tried = hd_at(a, a->tried);
	uint64_t seen = 0, todo = atomic_load(&tried[from]);
	while (todo) {
		uint32_t c = (uint32_t)__builtin_ctzll(todo);
		if (c == to)
			return true;
		seen |= 1ull << c;
		todo = (todo | atomic_load(&tried[c])) & ~seen;
	}
	return false;
}

static bool instances_reach(struct hd_arena *a, uint64_t from, uint64_t to)
{
	uint64_t nodes[REACHABLE] = {from};
	uint32_t count = 1;
	for (uint32_t at = 0; at < count; at++) {
		struct hd_edge *e;
		for (uint32_t i = 0; (e = hd_instance_row(a, nodes[at], i)); i++) {
			uint64_t key = atomic_load(&e->key), next = hd_key_from(key);
			if (hd_key_to(key) != nodes[at])
				continue;
			if (next == to)
				return true;
			uint32_t k = 0;
			while (k < count && nodes[k] != next)
				k++;
			if (k == count && count < REACHABLE)
				nodes[count++] = next;
		}
	}
	return false;
}

enum hd_cycle hd_cycle_through(struct hd_arena *a, struct hd_edge *e, uint64_t from, uint64_t to, bool instances)
{
	if (!(instances ? instances_reach(a, from, to) : classes_reach(a, from, to)))
		return HD_CYCLE_NONE;
	struct search q = {.a = a, .instances = instances, .target = to, .budget = BUDGET};
	uint32_t kinds = atomic_load(&e->kinds);
	for (q.limit = 2; q.limit <= LONGEST && q.best != HD_CYCLE_CERTAIN; q.limit++) // the shortest first
		for (uint32_t kind = 0; kinds >> kind && q.best != HD_CYCLE_CERTAIN; kind++)
			if (kinds >> kind & 1) {
				q.steps[0] = (struct step){e, from, kind};
				q.used = 1;
				backwards(&q);
			}
	return q.best;
}
