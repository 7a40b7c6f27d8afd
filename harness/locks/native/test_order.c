// Both orders for the first time at the same moment: at least one of the two reports it.

#include "lockcore.h"

#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

#define ROUNDS 500

struct side {
	struct hd_arena *a;
	struct hd_mutex *first, *second;
	pthread_barrier_t *both;
};

static void *take(void *argument)
{
	struct side *side = argument;
	struct hd_seat *s = hd_sit(side->a, "side");
	assert(s && hd_mutex_try(side->a, s, side->first, 0, HD_UNTIMED) == HD_OK);
	pthread_barrier_wait(side->both); // each has its first one and asks for the other's
	hd_check_order(side->a, s, hd_offset(side->a, side->second), side->second->class_id, 0);
	assert(hd_mutex_release(side->a, s, side->first) == HD_OK);
	return NULL;
}

static struct hd_mutex *made(struct hd_arena *a, int class_id, uint32_t instance)
{
	struct hd_mutex *m = hd_at(a, hd_allocate(a, sizeof *m, 64));
	assert(hd_mutex_init(m, (uint16_t)class_id, instance) == HD_OK);
	return m;
}

static void round_of(uint64_t boot_id, bool one_class)
{
	uint64_t size = hd_fixed_size(4) + 65536;
	struct hd_arena *a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert(a != MAP_FAILED && hd_format(a, size, "order", 4, boot_id) == HD_OK);
	int one = hd_declare_class(a, "one", 0, 0), two = one_class ? one : hd_declare_class(a, "two", 0, 0);
	pthread_barrier_t both;
	pthread_barrier_init(&both, NULL, 2);
	struct hd_mutex *m = made(a, one, 0), *n = made(a, two, 1);
	struct side sides[2] = {{a, m, n, &both}, {a, n, m, &both}};
	pthread_t threads[2];
	for (int i = 0; i < 2; i++)
		assert(!pthread_create(&threads[i], NULL, take, &sides[i]));
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert(a->report_count == 1 || a->report_count == 2);
	const struct hd_report *r = hd_at(a, a->reports);
	assert(r->kind == HD_REPORT_ORDER);
	pthread_barrier_destroy(&both);
	munmap(a, size);
}

int main(void)
{
	for (int i = 0; i < ROUNDS; i++)
		round_of((uint64_t)i + 1, i % 2);
	printf("order: %d inversions at once, each reported\n", ROUNDS);
	return 0;
}
