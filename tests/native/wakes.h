// wakes: one sleeps, another does what must wake it.
#ifndef HANGDOG_WAKES_H
#define HANGDOG_WAKES_H

#include "prove.h"

struct shared { _Atomic int stage, done, told, woken; }; // what they mean: each case its own
extern struct shared *shared;
extern pid_t sleepers[3];
extern int sleeper_count; // in a sleeper: its own number
void begin(void);
bool sleepers_are_done(const char *what); // each has counted `done` and ended well; what: says the gate
// wakes_at_once.c: two or three who meet as they may
bool at_once(void);
bool a_claim_that_opens_again_calls(void);

#endif
