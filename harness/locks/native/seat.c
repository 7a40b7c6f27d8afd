// Seats: the arena's row for one thread of execution.  Only the thread that sits
// there writes it; everybody may read it at any time.

#include "lockcore.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARENAS_PER_THREAD 16

_Thread_local struct hd_tls hd_tls;
static _Thread_local struct hd_tls mine[ARENAS_PER_THREAD];
static pthread_key_t at_thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

// Arenas that are mapped in this process.  A thread that ends after its arena was
// unmapped must not look into it.
#define OPEN_ARENAS 512
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct { struct hd_arena *arena; uint32_t times; } open_arenas[OPEN_ARENAS];

static void count_open(struct hd_arena *a, int change)
{
	pthread_mutex_lock(&open_lock);
	int slot = -1;
	for (int i = 0; i < OPEN_ARENAS; i++) {
		if (open_arenas[i].arena == a) {
			slot = i;
			break;
		}
		if (slot < 0 && !open_arenas[i].arena)
			slot = i;
	}
	if (slot >= 0) {
		open_arenas[slot].arena = a;
		open_arenas[slot].times += (uint32_t)change;
		if (!open_arenas[slot].times)
			open_arenas[slot].arena = NULL;
	}
	pthread_mutex_unlock(&open_lock);
}

void hd_opened(struct hd_arena *a) { count_open(a, 1); }
void hd_closed(struct hd_arena *a) { count_open(a, -1); }

static bool is_open(struct hd_arena *a)
{
	for (int i = 0; i < OPEN_ARENAS; i++)
		if (open_arenas[i].arena == a)
			return true;
	return false;
}

// A proper end gives the seat back.  With locks held it stays: the holder is dead,
// and the seat is the evidence.
static void thread_ends(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&open_lock);
	for (int i = 0; i < ARENAS_PER_THREAD; i++) {
		struct hd_tls *t = &mine[i];
		if (t->arena && is_open(t->arena) && t->arena->boot_id == t->boot_id && t->seat->live == 2 && !t->seat->depth)
			atomic_store(&t->seat->live, 3);
	}
	pthread_mutex_unlock(&open_lock);
}

// The child of a fork is a new thread of execution: it holds nothing of its
// parent's and must not write into its parent's seat.
static void child_of_fork(void)
{
	memset(mine, 0, sizeof mine);
	memset(&hd_tls, 0, sizeof hd_tls);
	pthread_setspecific(at_thread_end, NULL);
	pthread_mutex_init(&open_lock, NULL); // another thread may have had it
}

static void setup(void)
{
	pthread_key_create(&at_thread_end, thread_ends);
	pthread_atfork(NULL, NULL, child_of_fork);
}

// /proc text -> state and start time (fields 3 and 22); the name in field 2 may
// hold blanks and brackets, so counting begins behind the last ')'.
static bool read_stat(const char *path, char *state, uint64_t *started)
{
	char text[1024];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	char *p = strrchr(text, ')');
	if (!p || !p[1])
		return false;
	*state = p[2];
	p += 2;
	for (int field = 3; field < 22 && p; field++)
		p = strchr(p + 1, ' ');
	*started = p ? strtoull(p, NULL, 10) : 0;
	return true;
}

// Dead: its thread is gone or a zombie, or the pid belongs to somebody else now.
bool hd_seat_dead(const struct hd_seat *s)
{
	char path[64], state = 0;
	uint64_t started = 0;
	if (s->live != 2)
		return false;
	snprintf(path, sizeof path, "/proc/%u/stat", s->pid);
	if (!read_stat(path, &state, &started) || started != s->started)
		return true;
	snprintf(path, sizeof path, "/proc/%u/task/%u/stat", s->pid, s->tid);
	return !read_stat(path, &state, &started) || state == 'Z' || state == 'X';
}

static bool try_take(struct hd_seat *s)
{
	uint32_t old = atomic_load(&s->live);
	if (old == 2 && !(hd_seat_dead(s) && atomic_load(&s->depth) == 0))
		return false;
	return old != 1 && atomic_compare_exchange_strong(&s->live, &old, 1);
}

static void fill(struct hd_arena *a, struct hd_seat *s, const char *role)
{
	uint32_t number = s->number;
	uint32_t wait_seq = s->wait_seq; // never goes back: a watcher compares it
	size_t skip = offsetof(struct hd_seat, pid);
	memset((char *)s + skip, 0, sizeof *s - skip);
	s->number = number;
	atomic_store(&s->wait_seq, wait_seq + 2);
	s->pid = (uint32_t)getpid();
	s->tid = (uint32_t)gettid();
	char state;
	read_stat("/proc/self/stat", &state, &s->started);
	s->seated = hd_now();
	s->stack_fd = -1;
	s->random = (a->noise_seed + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)number << 32;
	strncpy(s->role, role, sizeof s->role - 1);
	atomic_store(&s->live, 2);
}

static void remember(struct hd_arena *a, struct hd_seat *s)
{
	struct hd_tls t = {a, s, a->boot_id};
	hd_tls = t;
	int slot = -1;
	for (int i = 0; i < ARENAS_PER_THREAD; i++) {
		if (mine[i].arena == a) {
			slot = i;
			break;
		}
		if (slot < 0 && !mine[i].arena)
			slot = i;
	}
	mine[slot < 0 ? (int)(a->boot_id % ARENAS_PER_THREAD) : slot] = t;
	pthread_setspecific(at_thread_end, &mine);
}

// Takes a free seat, or the one this thread has already (then it only changes the
// role).  First pass: never used or properly left; second: left by the dead.
struct hd_seat *hd_sit(struct hd_arena *a, const char *role)
{
	pthread_once(&once, setup);
	struct hd_seat *s = hd_me(a);
	if (s) {
		memset(s->role, 0, sizeof s->role);
		strncpy(s->role, role, sizeof s->role - 1);
		return s;
	}
	struct hd_seat *seats = hd_at(a, a->seats);
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t i = 0; i < a->seat_count; i++) {
			uint32_t live = atomic_load(&seats[i].live);
			if ((pass == 0 && live == 2) || live == 1 || !try_take(&seats[i]))
				continue;
			fill(a, &seats[i], role);
			remember(a, &seats[i]);
			return &seats[i];
		}
	return NULL;
}

struct hd_seat *hd_my_seat_slow(struct hd_arena *a)
{
	for (int i = 0; i < ARENAS_PER_THREAD; i++)
		if (mine[i].arena == a && mine[i].boot_id == a->boot_id) {
			hd_tls = mine[i];
			return mine[i].seat;
		}
	return NULL;
}

void hd_leave(struct hd_arena *a)
{
	struct hd_seat *s = hd_me(a);
	if (!s)
		return;
	for (int i = 0; i < ARENAS_PER_THREAD; i++)
		if (mine[i].arena == a)
			memset(&mine[i], 0, sizeof mine[i]);
	memset(&hd_tls, 0, sizeof hd_tls);
	atomic_store(&s->live, 3);
}

void hd_record(struct hd_arena *a, struct hd_seat *s, uint32_t kind, uint64_t object, uint32_t site)
{
	(void)a;
	// Points are what a journey through several threads is put together from: within one tick
	// of the coarse clock their order would be lost.  It never lies behind the coarse one.
	struct hd_event e = {kind == HD_EV_POINT ? hd_precise_now() : hd_now(), object, site, kind};
	uint32_t next = atomic_load_explicit(&s->ring_next, memory_order_relaxed);
	s->ring[next % HD_RING] = e;
	atomic_store_explicit(&s->ring_next, next + 1, memory_order_release);
	if (kind != HD_EV_POINT)
		return;
	next = atomic_load_explicit(&s->points_next, memory_order_relaxed);
	s->points[next % HD_POINTS] = e;
	atomic_store_explicit(&s->points_next, next + 1, memory_order_release);
}

enum hd_status hd_push(struct hd_arena *a, struct hd_seat *s, uint64_t lock, uint16_t class_id, uint8_t kind, uint32_t site)
{
	uint32_t depth = atomic_load_explicit(&s->depth, memory_order_relaxed);
	if (depth == HD_MAX_HELD)
		return HD_FULL;
	struct hd_held *h = &s->held[depth];
	h->lock = lock;
	h->since = hd_now();
	h->site = site;
	h->class_id = class_id;
	h->kind = kind;
	h->told = 0;
	s->held_mask |= 1ull << class_id;
	s->taken_mask |= 1ull << class_id;
	atomic_store_explicit(&s->depth, depth + 1, memory_order_release);
	atomic_store_explicit(&s->progress, s->progress + 1, memory_order_relaxed);
	if (atomic_load_explicit(&a->mode, memory_order_relaxed) & HD_RECORD)
		hd_record(a, s, HD_EV_ACQUIRE, lock, site);
	return HD_OK;
}

struct hd_held *hd_find_held(struct hd_seat *s, uint64_t lock)
{
	for (uint32_t i = s->depth; i-- > 0;)
		if (s->held[i].lock == lock)
			return &s->held[i];
	return NULL;
}

// Locks need not be released in reverse order; the usual case is the top.
enum hd_status hd_pop(struct hd_seat *s, uint64_t lock, uint8_t kind)
{
	uint32_t depth = atomic_load_explicit(&s->depth, memory_order_relaxed);
	for (uint32_t i = depth; i-- > 0;) {
		if (s->held[i].lock != lock || (kind && s->held[i].kind != kind))
			continue;
		for (uint32_t k = i; k + 1 < depth; k++)
			s->held[k] = s->held[k + 1];
		atomic_store_explicit(&s->depth, depth - 1, memory_order_release);
		uint64_t mask = 0;
		for (uint32_t k = 0; k + 1 < depth; k++)
			mask |= 1ull << s->held[k].class_id;
		s->held_mask = mask;
		return HD_OK;
	}
	return HD_NOT_OWNER;
}

void hd_wait_begin(struct hd_seat *s, enum hd_activity what, uint64_t lock, uint32_t site, uint64_t deadline)
{
	s->wait_since = hd_precise_now(); // a wait is slow anyway
	s->wait_site = site;
	s->wait_deadline = deadline;
	atomic_store(&s->wait_lock, lock);
	atomic_store(&s->activity, (uint32_t)what);
	atomic_fetch_add(&s->wait_seq, 1);
}

void hd_wait_end(struct hd_seat *s)
{
	atomic_store(&s->activity, HD_RUNNING);
	atomic_store(&s->wait_lock, 0);
	s->predicate_op = HD_NO_PREDICATE;
	s->wait_guard = 0;
	s->wait_message = 0;
	atomic_fetch_add(&s->wait_seq, 1);
}

enum hd_status hd_claim(struct hd_seat *s, uint64_t address, uint32_t site)
{
	struct hd_claim *empty = NULL;
	for (int i = 0; i < HD_MAX_CLAIMS; i++) {
		struct hd_claim *c = &s->claims[i];
		uint64_t at = atomic_load_explicit(&c->address, memory_order_relaxed);
		if (at == address) {
			c->count++;
			return HD_OK;
		}
		if (!at) { // claims are kept packed: nothing lies behind a gap
			empty = c;
			break;
		}
	}
	if (!empty)
		return HD_FULL;
	empty->since = hd_now();
	empty->site = site;
	empty->count = 1;
	atomic_store_explicit(&empty->address, address, memory_order_release);
	return HD_OK;
}

enum hd_status hd_unclaim(struct hd_seat *s, uint64_t address)
{
	int found = -1, last = -1;
	for (int i = 0; i < HD_MAX_CLAIMS && s->claims[i].address; i++) {
		if (s->claims[i].address == address)
			found = i;
		last = i;
	}
	if (found < 0)
		return HD_NOT_OWNER;
	if (--s->claims[found].count)
		return HD_OK;
	if (found != last) {
		struct hd_claim *to = &s->claims[found], *from = &s->claims[last];
		to->since = from->since;
		to->site = from->site;
		to->count = from->count;
		atomic_store_explicit(&to->address, from->address, memory_order_release);
	}
	atomic_store_explicit(&s->claims[last].address, 0, memory_order_release);
	return HD_OK;
}

// How likely a seat is late that has this speed.  Seats of speed 0 overtake all others for a while,
// as with random priorities that change at random points.
static uint32_t chance_of(const struct hd_seat *s, uint32_t chance)
{
	const uint32_t chances[] = {0, chance / 4, chance, 65536};
	return chances[s->noise_speed & 3];
}

// The address goes last and is cleared first: a reader that finds it before and after
// has read what belongs to it.
void hd_changed(struct hd_seat *s, uint64_t address, uint32_t site, uint32_t outer)
{
	struct hd_change *c = &s->changes[(address * 0x9e3779b97f4a7c15ull) >> 32 & (HD_CHANGES - 1)];
	atomic_store_explicit(&c->address, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&c->when, hd_precise_now(), memory_order_relaxed);
	atomic_store_explicit(&c->site, site, memory_order_relaxed);
	atomic_store_explicit(&c->outer, outer, memory_order_relaxed);
	atomic_store_explicit(&c->address, address, memory_order_release);
}

// xorshift64*: good enough to choose who is late, and one word of state.
void hd_noise(struct hd_arena *a, struct hd_seat *s, enum hd_noise_place place)
{
	uint32_t chance = a->noise_chance[place];
	if (!chance)
		return;
	uint64_t x = s->random ? s->random : 1;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	s->random = x;
	uint64_t r = x * 0x2545f4914f6cdd1dull;
	if (a->noise_turn) {
		if (!s->noise_left) {
			s->noise_left = 1 + (uint32_t)(r >> 44) % (2 * a->noise_turn);
			s->noise_speed = r >> 42 & 3;
		}
		s->noise_left--;
		chance = chance_of(s, chance);
	}
	if ((r >> 16 & 0xffff) >= chance)
		return;
	if (!a->noise_sleep_ns || (r >> 40 & 3) == 0) {
		sched_yield();
		return;
	}
	struct timespec t = {0, (long)(a->noise_sleep_ns % 1000000000u)};
	nanosleep(&t, NULL);
}
