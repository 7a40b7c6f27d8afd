// Small rules of the core, one after the other, in one process and without luck: what is
// refused, what is counted, what is remembered and for how long.
#ifndef HANGDOG_RULES_H
#define HANGDOG_RULES_H

#include "prove.h"
#include "word.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern int wrong, asked;
#define RULE(fact) (asked++, (fact) ? (void)0 : (void)(wrong++, printf("rules: wrong: %s (%s:%d)\n", #fact, __func__, __LINE__)))

extern struct hd_seat *s;       // ours
extern _Atomic uint32_t *ids;   // shared with children

static inline enum hd_status try_m(bool ordered) { return hd_mutex_try(arena, s, m, 0, ordered); }
static inline enum hd_status try_rw(uint8_t kind, bool pass) { return hd_rw_try(arena, s, l, kind, pass, 0, true); }
void begin(void);               // a new arena with four seats; we sit in the first
pid_t start_another(struct hd_seat **seat); // a process that only lives, and its seat
void keep_both(void);           // a process: has m and writes l until it is killed, and is HD_IDLE then

void rules_of_the_rwlock(void); // rules_rw.c
void rules_of_what_comes_between(void); // rules_between.c
void rules_of_the_rest(void);   // rules_rest.c: channels, order, reports

#endif
