// Kill a process after each instruction of an operation, then look what the others find.
//
//   killstep list                          the operations
//   killstep OPERATION [EVERY [FIRST]]     kill at instruction FIRST, FIRST + EVERY, ... to its end;
//                                          at SEARCH times as many of one that searches all orders
//   killstep OPERATION EVERY FIRST stop    leave it stopped there instead: time limits of the others must hold
//
// An instruction that repeats itself (rep stos: memset) counts once, and once more for every
// PART-th of its repetitions.  Time decides how far some operations come in a try (those that
// wait 3 ms): they are killed until a try comes to its end before it is killed.
// Exit: 0 nothing wrong, 1 something was, 2 usage, 3 a gate was not reached, 4 no process can be stepped here.
#include "killstep.h"
#include "order.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PART 997
#define SEARCH 7 // most of a search is a walk over empty rows
#define SHOWN 5 // of what is wrong

struct record *record;
pid_t other, another;
static const struct operation *operation;
static bool stop_it;

// --- the victim
static struct position goal;

static void victim(void)
{
	if (operation->before)
		operation->before();
	else
		me();
	struct hd_seat *s = hd_me(arena);
	if (s && !operation->first_write)
		hd_writes(arena, s, hd_offset(arena, l), l->class_id, 0);
	stand_and_run(operation->run, s, goal);
}

// --- one position
enum outcome { RIGHT, WRONG, NO_SUCH_PART, PAST_THE_END };

static pid_t start_victim(struct position where)
{
	goal = where;
	pid_t pid = start(victim);
	await_the_victim(pid);
	if (operation->meanwhile)
		operation->meanwhile();
	return pid;
}

// I3: what a word names has a row, from before it is taken until after it is given.  Looked at
// before the dead one's seat is any other thread's.
static bool has_row(const struct hd_seat *s, const void *lock)
{
	for (int i = 0; i < HD_MAX_HELD; i++)
		if (s->held[i].lock == hd_offset(arena, lock))
			return true;
	return false;
}

static bool names_without_a_row(uint32_t word, const void *lock)
{
	const struct hd_seat *s = hd_seat_of(arena, word);
	return s && ((s->generation >> 1 << 9 | s->number) & HD_ID_MASK) == (word & HD_ID_MASK) && !has_row(s, lock);
}

// A row is written before its lock is: who sees the lock may read the rest.
static bool is_whole(const struct hd_held *h)
{
	const struct hd_mutex *lock = h->lock == hd_offset(arena, m) ? m : h->lock == hd_offset(arena, m2) ? m2 : NULL;
	if (!h->lock)
		return true;
	if (lock)
		return h->class_id == lock->class_id && (h->kind & ~HD_INTENT) == HD_MUTEX;
	return h->lock == hd_offset(arena, l) && h->class_id == l->class_id && ((h->kind & ~HD_INTENT) == HD_READ || (h->kind & ~HD_INTENT) == HD_WRITE);
}

static bool rows_are_whole(void)
{
	bool right = true;
	for (uint32_t seat = 1; seat <= arena->seat_count; seat++)
		for (int i = 0; i < HD_MAX_HELD; i++)
			right &= is_whole(&hd_seat_of(arena, seat)->held[i]);
	return right;
}

static bool every_word_has_its_row(void)
{
	bool right = rows_are_whole();
	right &= !names_without_a_row(m->owner, m) && !names_without_a_row(m2->owner, m2);
	right &= !names_without_a_row(l->writer, l) && !names_without_a_row(l->upgrader, l);
	for (uint32_t seat = 1; seat <= arena->seat_count; seat++)
		if (l->cells[(seat - 1) / 32] >> (seat - 1) % 32 * 2 & 3)
			right &= has_row(hd_seat_of(arena, seat), l);
	return right;
}

static enum outcome look(enum outcome outcome, struct position where, char *why, size_t room)
{
	bool right = every_word_has_its_row();
	if (!right)
		snprintf(why, room, "a lock names what has no row, or a row is not whole");
	if (right && !stop_it && operation->after && !operation->after()) {
		right = false;
		snprintf(why, room, "beside it: woken %d, told %d", record->woken, record->told);
	}
	if (right) {
		int status = finish(start(newcomers));
		if (status) {
			right = false;
			snprintf(why, room, "a newcomer ended with %d", status);
		} else {
			*why = 0;
			right = stop_it ? judge_stopped() : judge(operation, why, room);
		}
	}
	if (!right)
		printf("  wrong at instruction %d.%d: %s; repaired %d let go %d m %x m2 %x writer %x upgrader %x cells %lx\n", where.instruction, where.part, why,
		       record->repaired, record->let_go, m->owner, m2->owner, l->writer, l->upgrader, (unsigned long)l->cells[0]);
	return right ? outcome : WRONG;
}

static void clean_up(void)
{
	end(other), end(another);
	other = another = 0;
	struct hd_seat *s = hd_me(arena); // what the main process took in prepare
	while (hd_find_held(s, hd_offset(arena, m)))
		hd_mutex_release(arena, s, m);
	while (hd_find_held(s, hd_offset(arena, l)))
		hd_rw_release(arena, s, l);
}

static enum outcome try_at(struct position where)
{
	char why[200] = "";
	fresh_arena(SEATS);
	memset(record, 0, sizeof *record);
	if (operation->prepare)
		operation->prepare();
	pid_t pid = start_victim(where);
	enum end end = reach(pid, where);
	enum outcome outcome = end == IS_THERE ? RIGHT : end == NOT_SO_OFTEN ? NO_SUCH_PART : PAST_THE_END;
	if (!stop_it && end != GONE) {
		kill(pid, SIGKILL);
		finish(pid);
		end = GONE;
	}
	outcome = look(outcome, where, why, sizeof why);
	if (end != GONE) {
		kill(pid, SIGKILL);
		finish(pid);
	}
	clean_up();
	return outcome;
}

static int positions, wrong;
static uint64_t slowest;

static enum outcome count(struct position where)
{
	enum outcome outcome = try_at(where);
	positions += outcome != NO_SUCH_PART;
	wrong += outcome == WRONG;
	slowest = record->slowest > slowest ? record->slowest : slowest;
	return outcome;
}

// Those that repeat themselves are known once a try has come past them.
static void try_the_parts(void)
{
	static int done[MANY], done_count;
	for (int i = 0; i < record->repeat_count && done_count < MANY; i++) {
		struct position where = {record->repeats[i], PART};
		int k = 0;
		while (k < done_count && done[k] != where.instruction)
			k++;
		if (k < done_count)
			continue;
		done[done_count++] = where.instruction;
		struct record kept = *record;
		while (wrong < SHOWN && count(where) != NO_SUCH_PART && record->reached)
			where.part += PART;
		*record = kept;
	}
}

static int try_all(int every, int first)
{
	every *= operation->first_write ? SEARCH : 1;
	for (struct position where = {first, 0};; where.instruction += every) {
		enum outcome outcome = count(where);
		bool over = !record->reached;
		try_the_parts();
		if (wrong >= SHOWN)
			printf("  ... no more is tried\n");
		if (wrong >= SHOWN || over || (outcome == WRONG && where.instruction > 200000))
			break;
	}
	printf("%-56s %5d positions, slowest acquire afterwards %4.1f ms, %d wrong\n", operation->name, positions, (double)slowest / 1e6, wrong);
	return wrong != 0;
}

static const struct operation *operation_at(int n)
{
	if (n < lock_operation_count)
		return &lock_operations[n];
	n -= lock_operation_count;
	if (n < rw_operation_count)
		return &rw_operations[n];
	n -= rw_operation_count;
	return n < other_operation_count ? &other_operations[n] : NULL;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "list")) {
		for (int i = 0; operation_at(i); i++)
			printf("%d %s\n", i, operation_at(i)->name);
		return 0;
	}
	operation = argc > 1 ? operation_at(number_argument(argc, argv, 1, 0)) : NULL;
	int every = number_argument(argc, argv, 2, 1);
	if (!operation || !every || (argc > 4 && strcmp(argv[4], "stop"))) {
		fprintf(stderr, "killstep: which operation, and every how many instructions?\n  try: killstep list\n");
		return 2;
	}
	if (argc > 4) {
		stop_it = true;
		newcomer_limit_ms = 20;
		newcomer_count = 1;
	}
	record = shared_memory(sizeof *record);
	return try_all(every, number_argument(argc, argv, 3, 0));
}
