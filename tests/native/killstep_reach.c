// killstep: let the victim run to one instruction and stand there.
//
// On x86-64 it steps itself: the processor traps after every instruction, and the handler counts.
// That costs a microsecond each, where a tracer pays two changes of process.  What the handler
// touches is its own; the operation sees of it only the time, and on its stack nothing below the
// red zone.  Elsewhere a tracer steps it (ptrace).
#include "killstep.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static enum end stands(pid_t pid, int status)
{
	(void)pid;
	if (!WIFSTOPPED(status))
		return GONE;
	return record->reached ? IS_THERE : record->passed ? NOT_SO_OFTEN : AT_ITS_END;
}

// Number `at` is an instruction that repeats itself.
static void note_repetition(int at)
{
	int n = record->repeat_count;
	for (int i = 0; i < n; i++)
		if (record->repeats[i] == at)
			return;
	if (n < MANY) {
		record->repeats[n] = at;
		record->repeat_count = n + 1;
	}
}

#if defined(__x86_64__)
#include <ucontext.h>

#define SET_TRAP "lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp"
#define CLEAR_TRAP "lea -128(%%rsp), %%rsp; pushfq; andq $-0x101, (%%rsp); popfq; lea 128(%%rsp), %%rsp"

static struct position goal, now; // now.part stays 0

static void stand(_Atomic int *why)
{
	*why = 1;
	for (;;)
		raise(SIGSTOP); // and is killed here
}

// rep stos, rep movs: memset and memcpy of much.  One trap for each byte would be dear, so the
// handler does their work.  0: the instruction there is none.
static int repeating(const uint8_t *code, int *width, bool *copies)
{
	int wide = code[0] == 0xf3 && code[1] == 0x48;
	uint8_t what = code[1 + wide];
	if (code[0] != 0xf3 || (what != 0xaa && what != 0xab && what != 0xa4 && what != 0xa5))
		return 0;
	*width = what & 1 ? wide ? 8 : 4 : 1;
	*copies = what < 0xaa;
	return 2 + wide;
}

static void do_so_often(greg_t *regs, greg_t times, int width, bool copies)
{
	char *to = (char *)regs[REG_RDI];
	const char *from = copies ? (const char *)regs[REG_RSI] : (const char *)&regs[REG_RAX];
	for (greg_t i = 0; i < times; i++, to += width, from += copies ? width : 0)
		memmove(to, from, (size_t)width);
	regs[REG_RDI] += times * width;
	regs[REG_RSI] += copies ? times * width : 0;
	regs[REG_RCX] -= times;
}

static void look_at(void)
{
	if (now.instruction == goal.instruction && !goal.part)
		stand(&record->reached);
	if (now.instruction > goal.instruction)
		stand(&record->passed);
}

static void count_it(int unused, siginfo_t *info, void *context)
{
	(void)unused, (void)info;
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	int length, width;
	bool copies;
	now.instruction++;
	look_at();
	while ((length = repeating((const uint8_t *)regs[REG_RIP], &width, &copies))) {
		greg_t times = regs[REG_RCX];
		if (times > 1)
			note_repetition(now.instruction);
		if (now.instruction == goal.instruction && goal.part < times) {
			do_so_often(regs, goal.part, width, copies);
			stand(&record->reached);
		}
		do_so_often(regs, times, width, copies);
		regs[REG_RIP] += length;
		now.instruction++;
		look_at();
	}
}

void stand_and_run(void (*run)(struct hd_seat *s), struct hd_seat *s, struct position where)
{
	struct sigaction action = {.sa_sigaction = count_it, .sa_flags = SA_SIGINFO};
	goal = where;
	now.instruction = -1; // the first trap comes before the first instruction
	sigaction(SIGTRAP, &action, NULL);
	raise(SIGSTOP);
	__asm__ volatile(SET_TRAP ::: "memory", "cc");
	run(s);
	__asm__ volatile(CLEAR_TRAP ::: "memory", "cc");
	stand(&record->over);
}

void await_the_victim(pid_t pid)
{
	int status;
	assert(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

enum end reach(pid_t pid, struct position where)
{
	int status;
	(void)where;
	kill(pid, SIGCONT);
	while (waitpid(pid, &status, WUNTRACED) < 0)
		assert(errno == EINTR);
	return stands(pid, status);
}
#else
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

void stand_and_run(void (*run)(struct hd_seat *s), struct hd_seat *s, struct position where)
{
	(void)where;
	if (ptrace(PTRACE_TRACEME, 0, 0, 0))
		_exit(4);
	raise(SIGSTOP);
	run(s);
	record->over = 1;
	raise(SIGSTOP);
}

void await_the_victim(pid_t pid)
{
	int status;
	assert(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
		cannot("killstep: this machine lets no process be traced (ptrace)",
		       "sysctl kernel.yama.ptrace_scope=1, or in a container: docker run --cap-add SYS_PTRACE");
	assert(WIFSTOPPED(status));
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL);
}

static uintptr_t place_of(pid_t pid)
{
	struct user_regs_struct regs = {0};
	struct iovec all = {&regs, sizeof regs};
	ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &all);
	return (uintptr_t)regs.pc;
}

enum end reach(pid_t pid, struct position where)
{
	int status = 0;
	uintptr_t last = place_of(pid);
	for (struct position now = {0, 0};;) {
		record->reached = now.instruction == where.instruction && now.part == where.part;
		record->passed = now.instruction > where.instruction;
		if (record->reached || record->passed)
			return stands(pid, status = 0x137f);
		if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0))
			return GONE;
		assert(waitpid(pid, &status, 0) == pid);
		if (!WIFSTOPPED(status) || WSTOPSIG(status) == SIGSTOP)
			return stands(pid, status);
		uintptr_t at = place_of(pid);
		if (at == last) {
			now.part++;
			note_repetition(now.instruction);
		} else {
			now = (struct position){now.instruction + 1, 0};
			last = at;
		}
	}
}
#endif
