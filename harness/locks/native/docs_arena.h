// What help() and inspect.signature() say of the other types.  First the call as Python writes it.

#ifndef HANGDOG_DOCS_ARENA_H
#define HANGDOG_DOCS_ARENA_H

#define DOC_arena                                                                                                      \
	"Arena(mapping)\n--\n\n"                                                                                       \
	"A formatted segment of shared memory, and this thread's seat in it.  harness.shm.Arena wraps it."
#define DOC_allocate                                                                                                   \
	"allocate($self, nbytes, align=64, /)\n--\n\n"                                                                 \
	"Offset of `nbytes` zeroed bytes at a multiple of `align`; 0 when there is no room.  Never given back."
#define DOC_declare_class                                                                                              \
	"declare_class($self, /, name, rank=0, flags=0)\n--\n\n"                                                       \
	"Number of the lock class of this name, made at its first use.  LockError when there are too many."
#define DOC_set_chain                                                                                                  \
	"set_chain($self, class_id, delta, table, stride, lock, /)\n--\n\n"                                            \
	"Locks of this class may be taken along one link: all are offsets and sizes in bytes."
#define DOC_sit                                                                                                        \
	"sit($self, role, /)\n--\n\n"                                                                                  \
	"Give this thread a seat under a name; renames it when it has one.  Number of the seat, from 1."
#define DOC_seat "seat($self, /)\n--\n\nNumber of this thread's seat; 0: it has none yet."
#define DOC_leave                                                                                                      \
	"leave($self, /)\n--\n\n"                                                                                      \
	"Give the seat back.  LockError when this thread still holds a lock."
#define DOC_begin                                                                                                      \
	"begin($self, operation, argument=0, /)\n--\n\n"                                                               \
	"An operation begins; dumps show its name and number until end()."
#define DOC_end                                                                                                        \
	"end($self, /)\n--\n\n"                                                                                        \
	"The operation is complete: one step more.  ContractViolation when this thread still holds a lock."
#define DOC_claim                                                                                                      \
	"claim($self, address, /)\n--\n\n"                                                                             \
	"A thread that waits for the word at this offset waits for this thread from now on."
#define DOC_unclaim                                                                                                    \
	"unclaim($self, address, /)\n--\n\n"                                                                           \
	"This thread has just changed the word that it claimed.  NotOwner when it did not claim it."
#define DOC_pass_on                                                                                                    \
	"pass_on($self, address, /)\n--\n\n"                                                                           \
	"Give up the claim without having changed the word: another thread will.  NotOwner as unclaim()."
#define DOC_changed                                                                                                    \
	"changed($self, address, /)\n--\n\n"                                                                           \
	"This thread has just changed the word at this offset: dumps of a lost wakeup name it."
#define DOC_point                                                                                                      \
	"point($self, name, argument=0, /)\n--\n\n"                                                                    \
	"A place where interleavings matter: recorded, and delayed when noise is on."
#define DOC_window                                                                                                     \
	"window($self, name, argument=0, /)\n--\n\n"                                                                   \
	"As point(), for a place that is passed too often to be recorded."
#define DOC_failure "failure($self, /)\n--\n\nThe operation starts over: counted, for the verdict livelock."
#define DOC_report                                                                                                     \
	"report($self, kind, text, lock_a=0, lock_b=0, mistake=0, details=b'', here=True, /)\n--\n\n"                  \
	"Tell the watcher of something wrong: kind is a CONSTANTS REPORT_..., the locks are offsets, mistake a "       \
	"CONSTANTS MISTAKE_..., details those of harness.shm.facts.  here: the calling line is where it is wrong."
#define DOC_io_begin                                                                                                   \
	"io_begin($self, what, /)\n--\n\n"                                                                             \
	"A system call that may block begins.  Reported when a lock is held that forbids sleeping."
#define DOC_io_end "io_end($self, /)\n--\n\nThe system call of io_begin() is over."
#define DOC_set_activity                                                                                               \
	"set_activity($self, code, target=0, /)\n--\n\n"                                                               \
	"Say what this thread does: a CONSTANTS activity, and what it waits for (an offset)."
#define DOC_held                                                                                                       \
	"held($self, /)\n--\n\n"                                                                                       \
	"Locks of this thread, the first taken first: (offset, kind, class, site, since ns, owner_died)."
#define DOC_held_by "held_by($self, seat, /)\n--\n\nThe same of another seat.  IndexError when there is none."
#define DOC_depth "depth($self, /)\n--\n\nHow many locks this thread holds."
#define DOC_require_nothing_held                                                                                       \
	"require_nothing_held($self, /)\n--\n\n"                                                                       \
	"ContractViolation when this thread holds a lock."
#define DOC_set_noise                                                                                                  \
	"set_noise($self, chances, sleep_ns, seed, turn=0, /)\n--\n\n"                                                 \
	"Delays at lock operations: five chances of 65536, the longest delay in ns, the seed."
#define DOC_name "name($self, id, /)\n--\n\nThe text of an interned name; empty when there is none."
#define DOC_site "site($self, id, /)\n--\n\nThe place (file, line, function) of an interned site."
#define DOC_set_stack_fd                                                                                               \
	"set_stack_fd($self, fd, /)\n--\n\n"                                                                           \
	"The descriptor that this thread writes its stack to when it is asked; -1: none."
#define DOC_offset_of_seat "offset_of_seat($self, number, /)\n--\n\nWhere the record of a seat lies.  IndexError: none."
#define DOC_seat_dead                                                                                                  \
	"seat_dead($self, number, /)\n--\n\n"                                                                          \
	"True when the seat is taken and its thread is gone."
#define DOC_now "now($self, /)\n--\n\nCoarse monotonic ns: the clock of every time in the arena."
#define DOC_exact_now "exact_now($self, /)\n--\n\nThe same clock to the ns; slower."
#define DOC_view                                                                                                       \
	"view($self, offset, length, /)\n--\n\n"                                                                       \
	"Writable memoryview of `length` bytes.  IndexError when they do not lie in the arena."

#define DOC_contract                                                                                                   \
	"Contract(function, enter, exit, sleeps, takes_mask, nothing=False)\n--\n\n"                                   \
	"The function, with the state of its locks checked around every call: see harness.locks.contract."
#define DOC_resolver                                                                                                   \
	"Resolver(arena, base, stride, generation_offset, views, name)\n--\n\n"                                        \
	"Called with a link (generation << 32 | slot) it gives the cached view of that record.\n\n"                    \
	"StaleReference when the record was freed since, RecordError for null and what is out of range."

#endif
