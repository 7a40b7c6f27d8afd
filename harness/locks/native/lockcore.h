// lockcore: locks that live in shared memory and can say who holds them.
//
//   mutex.c     mutex            rwlock*.c read/write lock     channel.c  sleep/wakeup
//   word.c      lock words       arena.c   the segment         calls.h    all functions
//   seat.c      one row per thread of execution; in it: held.c what it holds, wait.c what it
//               waits for, claims.c marks, recorder.c events; noise.c delays
//   order.c     which lock class was taken under which (edge.c, cycle.c: its graph)
//   names.c     lock classes, sites, names
//   report.c    misuse that a watcher must see (order, self-deadlock, contract...)
//   binding_*.c arguments, interpreter hand-off, status -> exception; no policy
//
// Nothing here knows Python.  Everything that a watcher reads is written by one
// aligned store and may be read at any time without a lock: a dump has to work
// on a system that is wedged.  Links are offsets from the arena's first byte,
// because every process maps the arena at an address of its own.
//
// Who writes what: only the holder writes a lock's owner/since/site; only the
// thread that sits there writes a seat.  An owner word is 0 or the true holder,
// a dead one included; it never names a thread that has already let go.
//
// Never unmap or shrink an arena while a thread of the process may hold a lock
// in it: the kernel's robust list would point into nothing.

#ifndef HANGDOG_LOCKCORE_H
#define HANGDOG_LOCKCORE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define HD_MAGIC "hangdog\1"
#define HD_VERSION 4u
#define HD_MAX_CLASSES 64  // one word of the order bitmap
#define HD_MAX_HELD 32     // locks one thread may hold at a time
#define HD_MAX_CLAIMS 48   // "others wait for me" marks that are not locks
#define HD_CHANGES 64   // words that others wait for, per seat: who changed them last
#define HD_CHECKED 64      // situations whose order a seat remembers to have checked
#define HD_RING 256        // events kept per seat
#define HD_POINTS 1024     // and named points, which would soon be gone among the locks
#define HD_SITES 4096
#define HD_NAMES 1024
#define HD_REPORTS 128
#ifndef HD_SLICE_NS
#define HD_SLICE_NS 100000000ull // what hd_format writes into slice_ns; a proof makes it a minute
#endif
#define HD_SLICE_MAX_NS 60000000000ull // what a damaged header can say

enum hd_status {
	HD_OK = 0,
	HD_OWNER_DIED,    // acquired, but the last holder died inside
	HD_TIMED_OUT,     // the caller's own deadline
	HD_BUSY,          // a try did not get it
	HD_SELF_DEADLOCK, // this thread already holds it
	HD_NOT_OWNER,
	HD_BROKEN,        // abandoned and never repaired
	HD_FULL,          // held stack, claims, seats, classes... see the call
	HD_ORDER,         // asked to be strict, and the order was wrong
	HD_INTERRUPTED,   // a signal came, or a slice is over: let the caller look at signals, then call again
	HD_SYSTEM,        // anything else; errno is set
};

enum hd_mode { // header.mode bits
	HD_RECORD = 1,    // events go to the seat's ring
	HD_NOISE = 2,     // seeded delays at probe points
	HD_WAIT_FOR_WATCHER = 4,    // a thread that reports misuse waits (bounded) until a watcher has seen it
	HD_NO_SITES = 8,  // do not look up acquisition sites (measurement only)
	HD_STRICT = 16,   // an order violation is an exception, not only a report
};

enum hd_kind { HD_MUTEX = 1, HD_READ = 2, HD_WRITE = 3, HD_CHANNEL = 4, HD_INTENT = 16 }; // INTENT: asks, has not got it

enum hd_activity { // what a seat is doing, as far as a watcher must know
	HD_RUNNING = 0,
	HD_WAIT_MUTEX = 1,
	HD_WAIT_READ = 2,
	HD_WAIT_WRITE = 3,
	HD_WAIT_UPGRADE = 4,
	HD_SLEEPING = 5,  // on a channel; another thread must wake it
	HD_IDLE = 6,      // on a channel, and may stay there for ever (a service without work)
	HD_IO = 7,        // in a blocking system call that ends by itself
	HD_PARKED = 8,    // at the gate between epochs; wait_lock 1: its role has returned
	HD_JOINING = 9,   // waits for the end of seat wait_lock
	HD_REPORTING = 10 // misuse: waits until the watcher has dumped it
};

enum hd_event_kind {
	HD_EV_ACQUIRE = 1, HD_EV_RELEASE, HD_EV_WAIT, HD_EV_TRY_FAILED, HD_EV_SLEEP, HD_EV_WOKEN,
	HD_EV_WAKEUP, HD_EV_POINT, HD_EV_BEGIN, HD_EV_END, HD_EV_CLAIM, HD_EV_UNCLAIM
};

enum hd_noise_place { // where a delay pays; see docs/noise.md
	HD_NOISE_NEXT_LOCK = 0, // holding a lock, about to take the next
	HD_NOISE_BEFORE_SLEEP = 1,
	HD_NOISE_BEFORE_WAKEUP = 2,
	HD_NOISE_AFTER_RELEASE = 3,
	HD_NOISE_POINT = 4, // named points of the program
	HD_NOISE_PLACES = 5
};

enum hd_report_kind {
	HD_REPORT_ORDER = 1,      // order_violation
	HD_REPORT_SELF_DEADLOCK,  // self_deadlock
	HD_REPORT_CONTRACT,       // contract_violation (also wrong owner, lock left behind)
	HD_REPORT_SLEEP_HOLDING,  // contract_violation: slept with a mutex that forbids it
	HD_REPORT_OWNER_DIED,     // orphaned_lock
	HD_REPORT_INVARIANT,      // invariant_violation
	HD_REPORT_WRONG_DATA,     // wrong_data
	HD_REPORT_PANIC,          // panic
	HD_REPORT_STALE,          // unguarded_access
	HD_REPORT_LEAK,           // leak
	HD_REPORT_ORDER_NOTE      // both orders, but by one thread so far: a notice
};

// What exactly was done wrong, where a kind of report has several: data for those who explain it, so
// that its text is for people only.  0: the kind says it, or only the system under test knows.
enum hd_mistake {
	HD_MISTAKE_NEEDS = 1,      // called without this lock
	HD_MISTAKE_HAS_ALREADY,    // called with it, and takes it itself
	HD_MISTAKE_HAS_MUTEX,      // called with a mutex, and may wait
	HD_MISTAKE_LOST,           // came back without it
	HD_MISTAKE_KEPT,           // came back with it
	HD_MISTAKE_TOOK,           // took a lock of a class that its contract does not name
	HD_MISTAKE_SLEPT,          // and its contract says never
	HD_MISTAKE_NOT_HELD,       // released without holding it
	HD_MISTAKE_LEFT,           // an operation or a thread ends with it
	HD_MISTAKE_NO_CLAIM,       // gives up a claim that it does not have
	HD_MISTAKE_READ_BOTH_WAYS, // others read the two in both orders, and this thread writes one
	HD_MISTAKE_EMPTY_LINK,
	HD_MISTAKE_FILL_LINK,      // the link is the fill of freed records
	HD_MISTAKE_STALE_LINK,     // the record has been freed since
	HD_MISTAKE_FREED_TWICE,
	HD_MISTAKE_UNGUARDED,
};

enum hd_predicate { // when is the sleeper's condition true?  value is signed 64 bit
	HD_NO_PREDICATE = 0, HD_EQ, HD_NE, HD_GT, HD_GE, HD_LT, HD_LE, HD_CLEAR, HD_SET
};

// A lock word names its holder.  Taking a lock *is* writing this word, so there is no
// moment at which lock and bookkeeping disagree.  id = generation << 9 | seat number.
#define HD_MAX_SEATS 511u
#define HD_SEAT_MASK 0x1ffu
#define HD_ID_MASK 0x0fffffffu
#define HD_CLOSED 0x10000000u  // rwlock: about to be granted, not even passing readers may enter
#define HD_WAITERS 0x20000000u // a thread sleeps on this word
#define HD_SUSPECT 0x40000000u // a holder died inside and the data is not repaired yet
#define HD_GRANTED 0x80000000u // rwlock: with CLOSED the holder is inside, without it is on its way out and lets readers in
#define HD_CELLS ((HD_MAX_SEATS + 32) / 32) // two bits per seat
enum hd_cell { HD_NOT_READING = 0, HD_WANTS = 1, HD_READING = 2 };

struct hd_mutex {
	uint16_t class_id; // every lock record begins with these three
	uint16_t kind;
	uint32_t instance; // shown as class[instance]
	_Atomic uint32_t owner;   // lock word
	_Atomic uint32_t first;   // id of a waiter that has waited too long: no other overtakes it any more
	_Atomic uint32_t site;    // where the holder took it
	_Atomic uint32_t contended;
	_Atomic uint32_t suspect; // 2: abandoned, broken for ever.  Never goes back
	uint32_t spare;
	_Atomic uint64_t since;   // coarse monotonic ns
	_Atomic uint64_t acquired; // how often
};

struct hd_rwlock {
	uint16_t class_id; // every lock record begins with these three
	uint16_t kind;
	uint32_t instance; // shown as class[instance]
	_Atomic uint32_t writer;   // lock word; claimed, then closed, then granted
	_Atomic uint32_t first;    // as in the mutex, among writers
	_Atomic uint32_t upgrader; // lock word of a reader that becomes writer; goes before writers
	_Atomic uint32_t drain;    // futex: moves when a reader leaves while another thread claims
	_Atomic uint32_t phase;    // futex: moves when readers may have a chance
	_Atomic uint32_t suspect;  // 2: abandoned, broken for ever.  Never goes back
	_Atomic uint32_t site;     // of the writer
	_Atomic uint32_t contended;
	_Atomic uint64_t since;
	_Atomic uint64_t acquired;
	_Atomic uint64_t cells[HD_CELLS]; // hd_cell of every seat
};

struct hd_channel { // never reset when the record around it is recycled
	uint16_t class_id; // every lock record begins with these three
	uint16_t kind;
	uint32_t instance; // shown as class[instance]
	_Atomic uint32_t seq;     // moves at every wakeup, before a sleeper is chosen; the sleeper's intent
	_Atomic uint32_t word;    // futex: moves after sleepers were taken off the list
	_Atomic uint32_t turn;    // seat that wakeup_one woke last; its next search begins behind it
	_Atomic uint32_t last_waker; // seat
	_Atomic uint32_t last_site;
	uint32_t spare;
	_Atomic uint64_t last_wake;  // monotonic ns, exact
	_Atomic uint64_t asleep[(HD_MAX_SEATS + 64) / 64]; // one bit per seat
};
#define HD_NESTED_SLEEPS 4

struct hd_held {
	_Atomic uint64_t lock; // offset of the lock record; 0: no row.  Written last, cleared first; rows never move
	uint64_t since;
	uint32_t site;
	uint16_t class_id;
	uint8_t kind; // hd_kind
	uint8_t owner_died; // this holder got HD_OWNER_DIED and has not said that the data is repaired
};

struct hd_claim { // "a thread that waits for this word waits for me": busy pages, paging counts
	_Atomic uint64_t address;
	uint64_t since;
	uint32_t site;
	uint32_t count;
};

struct hd_change { // "I changed this word last": compared with the sleeper that no wakeup reached
	_Atomic uint64_t address;
	_Atomic uint64_t when;  // monotonic ns, exact
	_Atomic uint32_t site;
	_Atomic uint32_t outer; // the same moment, seen from the file that called that one
	_Atomic uint64_t step;  // `steps` of the seat when the step in which it was made has ended; 0: made outside of any
};

struct hd_event {
	uint64_t when;   // monotonic ns; exact for a point, else coarse
	uint64_t object; // lock offset or argument
	uint32_t site;   // or name id for points and operations
	uint32_t kind;   // hd_event_kind
};

struct hd_seat {
	pthread_mutex_t life;   // robust; the occupant holds it as long as it lives: the kernel tells of its end
	_Atomic uint32_t generation; // odd: no thread's, being taken or left; even: the occupant's
	uint32_t number;        // 1..
	_Atomic uint32_t live;  // for display: 0 free, 1 being taken, 2 taken, 3 left (thread ended properly)
	_Atomic uint32_t tid;   // as the kernel writes it into `life`
	uint32_t pid;           // display
	uint32_t id;            // of the occupant, for itself
	_Atomic uint64_t asleep_on[HD_NESTED_SLEEPS]; // channels it may be registered in
	uint64_t seated;        // coarse monotonic ns
	char role[32];
	_Atomic uint32_t activity; // hd_activity
	_Atomic uint32_t wait_seq; // moves when a wait begins and when it ends
	_Atomic uint64_t wait_lock; // offset of lock or channel (JOINING: seat number)
	uint64_t wait_since;
	uint64_t wait_deadline; // 0: without limit
	uint32_t wait_site;
	uint32_t wait_message;  // name id (wmesg)
	uint64_t wait_guard;    // mutex that the sleeper released: guards the predicate
	uint64_t predicate_address;
	int64_t predicate_value;
	uint32_t predicate_size;
	uint32_t predicate_op;
	uint32_t wait_intent;   // channel seq that the sleeper saw
	uint32_t polls;         // tries that failed at polled_lock, one after another
	_Atomic uint64_t polled_lock; // what was tried last and not got; 0: nothing, or it was got since.  Written last
	uint64_t polled_since;  // of the first of them, coarse monotonic ns
	uint32_t polled_site;   // of the last one
	uint32_t operation;     // name id; 0 between operations
	uint64_t operation_argument;
	uint64_t operation_since;
	_Atomic uint64_t steps;    // operations completed
	_Atomic uint64_t progress; // probe events: locks taken, points passed...
	_Atomic uint64_t failures; // try-locks that failed, restarts
	_Atomic uint64_t spared;   // of them: tries that were a wait, or that ended with a lock (see polled.c)
	_Atomic uint32_t spun;     // of the rest: tries at another lock each that a lock may still take back (see polled.c)
	uint32_t first_poll;       // the first try at polled_lock: 0 is no failure, 1 is one for good, 2 is among the spun
	uint64_t spun_locks;       // a bit for each lock that takes them back
	uint32_t spun_depth;       // they were made with so many rows of held; given one of those, they are for good
	uint32_t spare_too;
	_Atomic uint32_t depth;    // held locks
	uint32_t sleeps;           // sleeps and I/O since the seat was taken
	uint64_t held_mask;        // classes held
	uint64_t taken_mask;       // classes taken since a contract last looked
	struct hd_held held[HD_MAX_HELD];
	struct hd_claim claims[HD_MAX_CLAIMS];
	struct hd_change changes[HD_CHANGES]; // by a hash of the address; a collision forgets the older one
	_Atomic uint32_t ring_next;
	int32_t stack_fd;          // memfd that this process writes its Python stack to; -1
	struct hd_event ring[HD_RING];
	_Atomic uint32_t points_next;
	uint32_t spare;
	struct hd_event points[HD_POINTS];
	uint64_t random;           // noise state; never 0
	uint64_t known[HD_MAX_CLASSES]; // classes under which it has taken this one, and can add nothing to that edge
	uint64_t checked[HD_CHECKED];   // hashes of whole situations that it has been through: what is held, what is asked for
	uint64_t let_in;           // read/write lock that it read last after a wait, and has not asked for again; its own
	uint32_t noise_left;       // places until this seat draws another speed
	uint32_t noise_speed;      // 0 never late ... 3 always late
};

struct hd_class { // hash and state: see hd_declare_class
	_Atomic uint64_t hash;  // of the name; 0: the row is free
	_Atomic uint32_t state; // 2: the rest is there
	uint32_t spare;
	union {
		char name[40];
		_Atomic uint64_t name_words[5]; // as it is written
	};
	union {
		struct {
			uint32_t rank;  // lower is taken first; 0: unranked
			uint32_t flags; // hd_class_flags
		};
		_Atomic uint64_t rule; // both
	};
	int64_t chain_delta; // from the lock to the u64 link that may be locked next
	uint64_t chain_table; // offset of record 0 of the table the link points into
	uint64_t chain_stride;
	uint64_t chain_lock;  // offset of the lock inside its record
};

enum hd_class_flags {
	HD_MAY_SLEEP = 1, // may be held while sleeping or doing I/O
	HD_NEST = 2,      // several of this class at a time although it has a rank; between two of them the order counts
	HD_CHAIN = 4,     // several at a time, along the chain link only
};

#define HD_GATES 4        // of an edge: locks that were held around every taking so far
#define HD_EDGE_THREADS 4 // of an edge: threads that took it; of more only that there are
#define HD_INSTANCES 1024 // edges between two locks of one class; what has no room is not known
struct hd_edge { // of one class or lock to another; see order.h.  Zero: never taken
	uint32_t from_site, to_site, seat; // of the first time
	_Atomic uint32_t count;            // how often it was looked at
	uint64_t when;
	_Atomic uint64_t key; // both locks: of the first time, or (between instances) what the row is about
	_Atomic uint64_t gates[HD_GATES];
	_Atomic uint32_t threads[HD_EDGE_THREADS]; // seat ids.  In a class's edge to itself: who writes its locks
	_Atomic uint32_t kinds; // how both were taken, a bit each: hd_kind_bit
	_Atomic uint32_t flags; // hd_edge_flags
};
struct hd_site { _Atomic uint32_t state; uint32_t line; uint64_t hash; char function[56]; char file[120]; };
struct hd_name { _Atomic uint32_t state; uint32_t spare; uint64_t hash; char text[48]; };

struct hd_report {
	_Atomic uint32_t state; // number of the report + 1 once it is complete; 0 while it is written
	uint32_t kind;          // hd_report_kind
	uint32_t seat;
	_Atomic uint32_t acked; // a watcher has dumped it
	uint64_t when;
	uint64_t lock_a, lock_b; // held, wanted
	uint32_t site_a, site_b;
	uint32_t class_a, class_b;
	uint32_t mistake; // hd_mistake
	uint32_t step;    // name of the function or operation that made it; 0: none
	uint32_t size;    // of details
	uint32_t spare_report;
	char text[448];
	uint8_t details[384]; // msgpack, by harness/shm/facts.py: what the text is about
};

// First bytes of the segment.  What is in the first page never changes; every process has a
// copy of its own there (hd_own_page), so that what was checked stays true whatever others write.
#define HD_OWN_PAGE 4096
struct hd_arena {
	char magic[8];
	uint32_t version;
	uint32_t creator;      // pid
	uint64_t fingerprint;
	uint64_t size;
	uint64_t boot_id;
	uint64_t created;      // CLOCK_REALTIME ns
	uint32_t spare_own;
	uint32_t seat_count;
	char name[64];
	uint64_t seats, classes, order, edges, sites, names, reports, directory, tried, instances;
	uint64_t file_device, file_inode; // of the segment's own file: tells a copy
	uint64_t kernel_boot;  // hash of the kernel's boot id: tells a file that an earlier boot left over
	char refusal[512];     // this process's own word: why its threads may not sit here, a newline, what to try.  Empty: they may
	char own_rest[HD_OWN_PAGE - 736]; // the end of the first page
	_Atomic uint32_t mode; // hd_mode
	uint32_t spare_mode;
	_Atomic uint64_t heap_next;
	_Atomic uint32_t class_count;
	_Atomic uint32_t directory_count;
	_Atomic uint32_t report_count;
	uint32_t noise_sleep_ns;
	uint32_t noise_chance[8]; // of 65536, by hd_noise_place
	uint64_t noise_seed;
	_Atomic uint64_t watcher_beat; // coarse ns of the watcher's last scan
	uint32_t noise_turn;  // places between two speeds of a seat, in the mean; 0: all alike
	uint32_t spare_half;
	_Atomic uint64_t slice_ns; // every wait looks again this often; 0 or more than HD_SLICE_MAX_NS: HD_SLICE_NS
	uint64_t spare[3];
};

struct hd_entry { // directory: which table lies where
	char name[48];
	uint64_t offset, record_size, count, fingerprint;
};
#define HD_DIRECTORY 128

#include "calls.h"

#endif
