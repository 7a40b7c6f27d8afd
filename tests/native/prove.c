#include "prove.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct hd_arena *arena;
uint64_t arena_size;
struct hd_mutex *m, *m2;
struct hd_rwlock *l;
struct hd_channel *c;
uint16_t class_a, class_b;

void *shared_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert(p != MAP_FAILED);
	return p;
}

static void *record(uint64_t size)
{
	uint64_t at = hd_allocate(arena, size, 64);
	assert(at);
	return hd_at(arena, at);
}

void fresh_arena(uint32_t seats)
{
	static uint64_t boot = 1;
	if (!arena) {
		arena_size = hd_fixed_size(seats) + 65536;
		arena = shared_memory(arena_size);
	} else {
		assert(hd_leave_seat(arena));
		assert(madvise(arena, arena_size, MADV_REMOVE) == 0); // zero again
	}
	assert(hd_format(arena, arena_size, "proof", seats, boot++) == HD_OK);
	class_a = (uint16_t)hd_declare_class(arena, "a", 0, HD_NEST);
	class_b = (uint16_t)hd_declare_class(arena, "b", 0, HD_NEST);
	assert(hd_sit(arena, "main"));
	hd_mutex_init(m = record(sizeof *m), class_a, 1);
	hd_mutex_init(m2 = record(sizeof *m2), class_b, 1);
	hd_rw_init(l = record(sizeof *l), class_b, 2);
	hd_channel_init(c = record(sizeof *c), class_a, 3);
}

struct hd_seat *me(void)
{
	struct hd_seat *s = hd_me(arena);
	return s ? s : hd_sit(arena, "worker");
}

uint64_t in_ms(int ms) { return ms ? hd_precise_now() + (uint64_t)ms * 1000000ull : 0; }

enum hd_status acquire(struct hd_mutex *mutex, int ms)
{
	uint64_t deadline = in_ms(ms);
	enum hd_status status = hd_mutex_try(arena, me(), mutex, 0, true);
	while (status == HD_BUSY || status == HD_INTERRUPTED)
		status = hd_mutex_wait(arena, me(), mutex, 0, deadline);
	return status;
}

enum hd_status enter_lock(struct hd_rwlock *lock, uint8_t kind, bool pass, int ms)
{
	uint64_t deadline = in_ms(ms);
	enum hd_status status = hd_rw_try(arena, me(), lock, kind, pass, 0, true);
	for (bool first = true; status == HD_BUSY || status == HD_INTERRUPTED; first = false)
		status = hd_rw_wait(arena, me(), lock, kind, pass, 0, deadline, first);
	return status;
}

enum hd_status enter(uint8_t kind, bool pass, int ms) { return enter_lock(l, kind, pass, ms); }

bool in_lock(enum hd_status status) { return status == HD_OK || status == HD_OWNER_DIED; }

void repair_and_release(struct hd_mutex *mutex, enum hd_status status)
{
	if (status == HD_OWNER_DIED)
		hd_mutex_recover(me(), mutex);
	if (in_lock(status))
		hd_mutex_release(arena, me(), mutex);
}

void repair_and_leave(enum hd_status status)
{
	if (status == HD_OWNER_DIED)
		hd_rw_recover(me(), arena, l);
	if (in_lock(status))
		hd_rw_release(arena, me(), l);
}

// --- processes and gates
pid_t start(void (*body)(void))
{
	fflush(stdout);
	pid_t child = fork();
	assert(child >= 0);
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(CHILD_S);
	body();
	_exit(0);
}

int finish(pid_t child)
{
	int status;
	while (waitpid(child, &status, 0) < 0)
		assert(errno == EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

void end(pid_t child)
{
	if (child) {
		kill(child, SIGKILL);
		finish(child);
	}
}

int gate_s(void)
{
	const char *said = getenv("PROVE_GATE_S");
	int seconds = said ? atoi(said) : 0;
	return seconds > 0 ? seconds : 30;
}

static void give_up(const char *what)
{
	fprintf(stderr, "waited %d s until %s\n", GATE_S, what);
	fflush(stdout);
	_exit(3);
}

void await(bool (*fact)(void), const char *what)
{
	uint64_t deadline = in_ms(GATE_S * 1000);
	for (int i = 0; !fact(); i++) {
		if (i > 200)
			usleep(50);
		if (hd_precise_now() > deadline)
			give_up(what);
	}
}

void await_word(_Atomic int *word, int value, const char *what)
{
	uint64_t deadline = in_ms(GATE_S * 1000);
	for (int i = 0; atomic_load(word) != value; i++) {
		if (i > 200)
			usleep(50);
		if (hd_precise_now() > deadline)
			give_up(what);
	}
}

struct hd_seat *seat_of_process(pid_t pid)
{
	struct hd_seat *seats = hd_at(arena, arena->seats);
	for (uint32_t i = 0; i < arena->seat_count; i++)
		if (seats[i].pid == (uint32_t)pid && seats[i].live == 2)
			return &seats[i];
	return NULL;
}

bool waits_as(pid_t pid, enum hd_activity what)
{
	struct hd_seat *s = seat_of_process(pid);
	return s && atomic_load(&s->activity) == (uint32_t)what;
}

static pid_t awaited;
static enum hd_activity awaited_activity;
static bool it_waits(void) { return waits_as(awaited, awaited_activity); }

void await_activity(pid_t pid, enum hd_activity what)
{
	awaited = pid;
	awaited_activity = what;
	await(it_waits, "a child has published that it waits");
}

bool reported(uint32_t number)
{
	struct hd_report *table = hd_at(arena, arena->reports);
	return atomic_load(&table[number % HD_REPORTS].state) == number + 1;
}

bool reported_any(void)
{
	for (uint32_t i = 0; i < arena->report_count && i < HD_REPORTS; i++)
		if (reported(i))
			return true;
	return false;
}

int number_argument(int argc, char **argv, int at, int otherwise)
{
	if (argc <= at)
		return otherwise;
	char *rest;
	long number = strtol(argv[at], &rest, 10);
	if (*argv[at] && !*rest && number >= 0 && number < 1000000000)
		return (int)number;
	fprintf(stderr, "%s: argument %d is %s, must be a number\n  try: %s %d\n", argv[0], at, argv[at], argv[0], otherwise);
	exit(2);
}

void cannot(const char *fact, const char *remedy)
{
	fprintf(stderr, "%s\n  try: %s\n", fact, remedy);
	exit(4);
}
