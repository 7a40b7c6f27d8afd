// The segment itself: header, fixed tables, and a heap that only grows.

#include "lockcore.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

uint64_t hd_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static uint64_t round_up(uint64_t n, uint64_t align)
{
	return (n + align - 1) & ~(align - 1);
}

// One place decides where the fixed tables lie; hd_fixed_size and hd_format agree.
static uint64_t place(struct hd_arena *a, uint32_t seat_count)
{
	uint64_t at = round_up(sizeof(struct hd_arena), 4096);
#define PLACE(field, bytes) do { a->field = at; at = round_up(at + (bytes), 64); } while (0)
	PLACE(seats, (uint64_t)seat_count * sizeof(struct hd_seat));
	PLACE(classes, HD_MAX_CLASSES * sizeof(struct hd_class));
	PLACE(order, HD_MAX_CLASSES * sizeof(uint64_t));
	PLACE(edges, (uint64_t)HD_MAX_CLASSES * HD_MAX_CLASSES * sizeof(struct hd_edge));
	PLACE(sites, HD_SITES * sizeof(struct hd_site));
	PLACE(names, HD_NAMES * sizeof(struct hd_name));
	PLACE(reports, HD_REPORTS * sizeof(struct hd_report));
	PLACE(directory, HD_DIRECTORY * sizeof(struct hd_entry));
#undef PLACE
	return round_up(at, 4096);
}

uint64_t hd_fixed_size(uint32_t seat_count)
{
	struct hd_arena scratch;
	return place(&scratch, seat_count);
}

// base is zero-filled.  The magic is written last: a reader that sees it sees all.
enum hd_status hd_format(void *base, uint64_t size, const char *name, uint32_t seat_count, uint64_t boot_id)
{
	struct hd_arena *a = base;
	if (size < hd_fixed_size(seat_count))
		return HD_FULL;
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	a->version = HD_VERSION;
	a->size = size;
	a->boot_id = boot_id;
	a->created = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
	a->creator = (uint32_t)getpid();
	a->seat_count = seat_count;
	strncpy(a->name, name, sizeof a->name - 1);
	atomic_store(&a->heap_next, place(a, seat_count));
	atomic_store(&a->class_count, 1); // class 0 means "no class"
	struct hd_seat *seats = hd_at(a, a->seats);
	for (uint32_t i = 0; i < seat_count; i++)
		seats[i].number = i + 1;
	atomic_thread_fence(memory_order_release);
	memcpy(a->magic, HD_MAGIC, sizeof a->magic);
	return HD_OK;
}

uint64_t hd_allocate(struct hd_arena *a, uint64_t bytes, uint64_t align)
{
	uint64_t old = atomic_load(&a->heap_next), start;
	do {
		start = round_up(old, align);
		if (start > a->size || bytes > a->size - start)
			return 0;
	} while (!atomic_compare_exchange_weak(&a->heap_next, &old, start + bytes));
	return start;
}
