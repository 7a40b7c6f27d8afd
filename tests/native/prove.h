// What the proofs share: one arena in anonymous memory with two mutexes, a read/write lock
// and a channel; plain words for taking them; gates.
//
// A gate waits for a fact in shared memory, never for time to pass, and says what it waited
// for when it gives up (GATE_S seconds).  Every process that a proof starts has an alarm and
// dies with the one that started it: a proof that fails leaves nothing running.
#ifndef HANGDOG_PROVE_H
#define HANGDOG_PROVE_H

#include "lockcore.h"

#include <stdlib.h>
#include <sys/types.h>

#define GATE_S gate_s() // a gate that is not reached by then: the proof has failed.  PROVE_GATE_S, or 30
#define CHILD_S 60 // no process of a proof lives longer, unless it says so

extern struct hd_arena *arena;
extern uint64_t arena_size;
extern struct hd_mutex *m, *m2;   // of class_a, of class_b
extern struct hd_rwlock *l;       // of class_b
extern struct hd_channel *c;
extern uint16_t class_a, class_b; // both may nest: only what asks for it is about order

void *shared_memory(size_t size);     // zero; shared with every later child
void fresh_arena(uint32_t seats);     // a new one in the place of the old: the thread that sat there does not any more
struct hd_seat *me(void);             // the calling thread's seat; takes one if it has none
uint64_t in_ms(int ms);               // a deadline; 0 ms: none
enum hd_status acquire(struct hd_mutex *mutex, int ms);
enum hd_status enter(uint8_t kind, bool pass, int ms); // the read/write lock
enum hd_status enter_lock(struct hd_rwlock *lock, uint8_t kind, bool pass, int ms);
bool in_lock(enum hd_status status); // OK or OWNER_DIED
void repair_and_release(struct hd_mutex *mutex, enum hd_status status);
void repair_and_leave(enum hd_status status);

pid_t start(void (*body)(void));      // a child; its status is 0 when body returns
int finish(pid_t child);              // its exit status, or 100 + the signal that ended it
void end(pid_t child);                // kill, wait; 0: nothing
void await(bool (*fact)(void), const char *what); // a gate
void await_word(_Atomic int *word, int value, const char *what);
struct hd_seat *seat_of_process(pid_t pid); // NULL: it sits nowhere
bool waits_as(pid_t pid, enum hd_activity what); // it has published that it waits so
void await_activity(pid_t pid, enum hd_activity what);
bool reported(uint32_t number); // that report is complete
bool reported_any(void);

int gate_s(void);
int number_argument(int argc, char **argv, int at, int otherwise); // exits with 2 and words if it is none
void cannot(const char *fact, const char *remedy) __attribute__((noreturn)); // exit 4

#endif
