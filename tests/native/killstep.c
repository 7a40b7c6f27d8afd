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
// Exit: 0 nothing wrong, 1 something was, 2 usage, 3 a gate was not reached, 4 no ptrace here.
#include "killstep.h"
#include "order.h"

#include <assert.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__aarch64__)
#include <elf.h>
#endif

#define PART 997
#define SEARCH 7 // most of a search is a walk over empty rows
#define SHOWN 5 // of what is wrong

struct record *record;
pid_t other, another;
static const struct operation *operation;
static bool stop_it;

// --- the victim
static void victim(void)
{
	if (operation->before)
		operation->before();
	else
		me();
	struct hd_seat *s = hd_me(arena);
	if (s && !operation->first_write)
		hd_writes(arena, s, hd_offset(arena, l), l->class_id, 0);
	if (ptrace(PTRACE_TRACEME, 0, 0, 0))
		_exit(4);
	raise(SIGSTOP);
	operation->run(s);
	raise(SIGSTOP);
}

static uintptr_t pc_of(pid_t pid)
{
#if defined(__x86_64__)
	return (uintptr_t)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);
#else
	struct user_regs_struct regs = {0};
	struct iovec all = {&regs, sizeof regs};
	ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &all);
	return (uintptr_t)regs.pc;
#endif
}

enum end { GOES_ON, AT_ITS_END, GONE };

static enum end step(pid_t pid)
{
	int status;
	if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0))
		return GONE;
	assert(waitpid(pid, &status, 0) == pid);
	if (!WIFSTOPPED(status))
		return GONE;
	return WSTOPSIG(status) == SIGSTOP ? AT_ITS_END : GOES_ON;
}

// Instructions that repeat themselves, and where they go on.
static struct { uintptr_t at, after; } repeated[16];
static int repeated_count;

static uintptr_t after_repetition(uintptr_t at)
{
	for (int i = 0; i < repeated_count; i++)
		if (repeated[i].at == at)
			return repeated[i].after;
	return 0;
}

// To the end of the repetition in one go: a breakpoint behind it, in the victim's own copy of the code.
static enum end run_to(pid_t pid, uintptr_t after)
{
#if defined(__x86_64__)
	int status;
	long code = ptrace(PTRACE_PEEKTEXT, pid, after, 0);
	ptrace(PTRACE_POKETEXT, pid, after, (code & ~0xffl) | 0xcc);
	ptrace(PTRACE_CONT, pid, 0, 0);
	assert(waitpid(pid, &status, 0) == pid);
	if (!WIFSTOPPED(status))
		return GONE;
	assert(WSTOPSIG(status) == SIGTRAP);
	ptrace(PTRACE_POKETEXT, pid, after, code);
	ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rip), after);
#else
	(void)pid, (void)after;
#endif
	return GOES_ON;
}

static enum end whole_instruction(pid_t pid)
{
	uintptr_t before = pc_of(pid), after;
	if ((after = after_repetition(before)))
		return run_to(pid, after);
	enum end end = step(pid);
	if (end != GOES_ON || pc_of(pid) != before)
		return end;
	while ((end = step(pid)) == GOES_ON && pc_of(pid) == before)
		;
	if (end == GOES_ON && repeated_count < (int)(sizeof repeated / sizeof *repeated)) {
		repeated[repeated_count].at = before;
		repeated[repeated_count++].after = pc_of(pid);
	}
	return end;
}

// --- one position
struct position { int instruction, part; };
enum outcome { RIGHT, WRONG, NO_SUCH_PART, PAST_THE_END };

static pid_t start_victim(void)
{
	int status;
	pid_t pid = start(victim);
	assert(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
		cannot("killstep: this machine lets no process be traced (ptrace)",
		       "sysctl kernel.yama.ptrace_scope=1, or in a container: docker run --cap-add SYS_PTRACE");
	assert(WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL);
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

// Sets *repeats when the instruction there repeats itself.
static enum outcome try_at(struct position where, bool *repeats)
{
	char why[200] = "";
	fresh_arena(SEATS);
	memset(record, 0, sizeof *record);
	if (operation->prepare)
		operation->prepare();
	pid_t pid = start_victim();
	enum end end = GOES_ON;
	for (int i = 0; i < where.instruction && end == GOES_ON; i++)
		end = whole_instruction(pid);
	uintptr_t at = end == GOES_ON ? pc_of(pid) : 0;
	*repeats = at && after_repetition(at);
	enum outcome outcome = end == GOES_ON ? RIGHT : PAST_THE_END;
	for (int i = 0; i < where.part && outcome == RIGHT; i++)
		if (step(pid) != GOES_ON || pc_of(pid) != at)
			outcome = NO_SUCH_PART;
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

static int try_all(int every, int first)
{
	int positions = 0, wrong = 0;
	uint64_t slowest = 0;
	struct position where = {first, 0};
	every *= operation->first_write ? SEARCH : 1;
	for (;;) {
		bool repeats;
		enum outcome outcome = try_at(where, &repeats);
		positions += outcome != NO_SUCH_PART;
		slowest = record->slowest > slowest ? record->slowest : slowest;
		if (outcome == WRONG && ++wrong >= SHOWN) {
			printf("  ... no more is tried\n");
			break;
		}
		if (outcome == PAST_THE_END)
			break;
		if (outcome != NO_SUCH_PART && repeats)
			where.part += PART;
		else
			where = (struct position){where.instruction + every, 0};
		if (!repeats && outcome == WRONG && where.instruction > 200000)
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
