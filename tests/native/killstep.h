// killstep: what an operation is, and what is recorded about the one that was killed in it.
#ifndef HANGDOG_KILLSTEP_H
#define HANGDOG_KILLSTEP_H

#include "prove.h"

#define SEATS 4     // main, the victim, and at most two that wait: newcomers need the dead one's seat
#define NEWCOMERS 3

enum which { ON_M = 1, ON_M2 = 2, ON_RW = 4 }; // locks, as bits

// prepare   in the main process, before the victim exists
// before    in the victim, not traced yet
// run       in the victim, traced: killed after each instruction of it
// meanwhile in the main process, while the victim stands at its first instruction
// after     in the main process, after the kill and before the newcomers; false: wrong
// told      a holder died in these before: exactly one newcomer is told, unless the victim had repaired or let go
// broken    may be found broken: was so before, or the victim has let go of it unrepaired
struct operation {
	const char *name;
	void (*prepare)(void), (*before)(void), (*run)(struct hd_seat *s), (*meanwhile)(void);
	bool (*after)(void);
	unsigned told, broken;
	bool broken_before;
	bool first_write; // the victim has not asked to write l before: then it searches all orders, in thousands of instructions
};

struct position { int instruction, part; }; // after so many instructions, and so many repetitions of the next one
#define MANY 64 // instructions of one operation that repeat themselves

struct record { // shared by all processes of one position
	_Atomic int reached, passed, over; // the victim: is there; has no such part; came to its end
	int repeats[MANY];                 // numbers of instructions that repeat themselves
	_Atomic int repeat_count;
	_Atomic int go, woken, told;  // gates, sleepers that were woken, waiters that were told
	_Atomic int repaired, let_go; // set by the victim just before it does so
	int sat[NEWCOMERS], holds[NEWCOMERS], status[NEWCOMERS][4]; // m, m2, read, write
	uint64_t slowest;
};

extern struct record *record;
extern pid_t other, another; // processes beside the victim; ended after each position
extern const struct operation lock_operations[], rw_operations[], other_operations[];
extern const int lock_operation_count, rw_operation_count, other_operation_count;

// --- killstep_reach.c
enum end { IS_THERE, NOT_SO_OFTEN, AT_ITS_END, GONE };
void stand_and_run(void (*run)(struct hd_seat *s), struct hd_seat *s, struct position goal); // in the victim
void await_the_victim(pid_t pid);                   // until it stands before its first instruction
enum end reach(pid_t pid, struct position where);   // let it run until there, and stand again

void newcomers(void); // in a child: sit down, take every lock, stay until the next one has done the same
bool judge(const struct operation *operation, char *why, size_t room); // of what the newcomers found
bool judge_stopped(void);
extern int newcomer_limit_ms, newcomer_count;

#endif
