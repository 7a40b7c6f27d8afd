// lockcore: locks that live in shared memory and can say who holds them.
//
//   lockcore.c  mutex            rwlock.c  read/write lock     channel.c  sleep/wakeup
//   seat.c      one row per thread of execution, held stack, claims, event ring
//   order.c     which lock class was taken under which; sites; names
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
#define HD_VERSION 2u
#define HD_MAX_CLASSES 64  // one word of the order bitmap
#define HD_MAX_HELD 32     // locks one thread may hold at a time
#define HD_MAX_CLAIMS 48   // "others wait for me" marks that are not locks
#define HD_CHANGES 64   // words that others wait for, per seat: who changed them last
#define HD_RING 256        // events kept per seat
#define HD_POINTS 1024     // and named points, which would soon be gone among the locks
#define HD_SITES 4096
#define HD_NAMES 1024
#define HD_REPORTS 128
#define HD_SLICE_NS 100000000ull // every wait comes up for air this often

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
	HD_INTERRUPTED,   // woke for air: let the caller look at signals, then call again
	HD_SYSTEM,        // anything else; errno is set
};

enum hd_mode { // header.mode bits
	HD_RECORD = 1,    // events go to the seat's ring
	HD_NOISE = 2,     // seeded delays at probe points
	HD_FREEZE = 4,    // misuse waits (bounded) until a watcher has seen it
	HD_NO_SITES = 8,  // do not look up acquisition sites (measurement only)
	HD_STRICT = 16,   // an order violation is an exception, not only a report
};

enum hd_kind { HD_MUTEX = 1, HD_READ = 2, HD_WRITE = 3, HD_CHANNEL = 4 };

enum hd_activity { // what a seat is doing, as far as a watcher must know
	HD_RUNNING = 0,
	HD_WAIT_MUTEX = 1,
	HD_WAIT_READ = 2,
	HD_WAIT_WRITE = 3,
	HD_WAIT_UPGRADE = 4,
	HD_SLEEPING = 5,  // on a channel; somebody must wake it
	HD_IDLE = 6,      // on a channel, and may stay there for ever (a service without work)
	HD_IO = 7,        // in a blocking system call that ends by itself
	HD_PARKED = 8,    // at the gate between epochs
	HD_JOINING = 9,   // waits for the end of seat wait_lock
	HD_REPORTING = 10 // misuse: waits until the watcher has dumped it
};

enum hd_event_kind {
	HD_EV_ACQUIRE = 1, HD_EV_RELEASE, HD_EV_WAIT, HD_EV_TRY_FAILED, HD_EV_SLEEP, HD_EV_WOKEN,
	HD_EV_WAKEUP, HD_EV_POINT, HD_EV_BEGIN, HD_EV_END, HD_EV_CLAIM, HD_EV_UNCLAIM
};

enum hd_noise_place { // where a delay pays; see DESIGN "placed, not sprinkled"
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
	HD_REPORT_LEAK            // leak
};

enum hd_predicate { // when is the sleeper's condition true?  value is signed 64 bit
	HD_NO_PREDICATE = 0, HD_EQ, HD_NE, HD_GT, HD_GE, HD_LT, HD_LE, HD_CLEAR, HD_SET
};

struct hd_mutex {
	uint16_t class_id; // every lock record begins with these three
	uint16_t kind;
	uint32_t instance; // shown as class[instance]
	pthread_mutex_t os; // process-shared, robust, error-checking
	_Atomic uint32_t owner;   // seat number of the holder; 0 when free
	_Atomic uint32_t waiters;
	_Atomic uint32_t site;    // where the holder took it
	_Atomic uint32_t contended;
	_Atomic uint32_t suspect; // 1: a holder died inside; 2: abandoned, broken for ever
	_Atomic uint64_t since;   // coarse monotonic ns
	_Atomic uint64_t acquired; // how often
};

struct hd_rwlock { // guard is held for a few instructions; waiting happens on word
	uint16_t class_id; // every lock record begins with these three
	uint16_t kind;
	uint32_t instance; // shown as class[instance]
	pthread_mutex_t guard;
	_Atomic uint32_t word;    // futex: moves at every release
	_Atomic uint32_t readers;
	_Atomic uint32_t writer;  // seat number
	_Atomic uint32_t upgrader; // seat number of a reader that waits to become writer
	_Atomic uint32_t queued_writers;
	_Atomic uint32_t waiters;
	_Atomic uint32_t site;    // of the writer
	_Atomic uint32_t suspect; // 1: a holder died inside; 2: abandoned, broken for ever
	_Atomic uint64_t since;
	_Atomic uint64_t acquired;
};

struct hd_channel { // never reset when the record around it is recycled
	uint16_t class_id; // every lock record begins with these three
	uint16_t kind;
	uint32_t instance; // shown as class[instance]
	_Atomic uint32_t word;    // futex: moves at every wakeup of either kind
	_Atomic uint32_t seq;     // moves at every wakeup of all; the sleeper's intent
	_Atomic uint32_t tokens;  // single wakeups not yet taken
	_Atomic uint32_t singles; // single wakeups ever: a sleeper takes none from before its time
	_Atomic uint32_t waiters; // a hint: too high after a kill, never too low
	_Atomic uint32_t last_waker; // seat
	_Atomic uint32_t last_site;
	_Atomic uint64_t last_wake;  // coarse monotonic ns
};

struct hd_held {
	uint64_t lock; // offset of the lock record
	uint64_t since;
	uint32_t site;
	uint16_t class_id;
	uint8_t kind; // hd_kind
	uint8_t told; // the last holder died, and this one was told
};

struct hd_claim { // "whoever waits for this word waits for me": busy pages, paging counts
	_Atomic uint64_t address;
	uint64_t since;
	uint32_t site;
	uint32_t count;
};

struct hd_change { // "I changed this word last": what a sleeper that was forgotten is measured by
	_Atomic uint64_t address;
	_Atomic uint64_t when;  // coarse monotonic ns
	_Atomic uint32_t site;
	_Atomic uint32_t outer; // the same moment, seen from the file that called that one
};

struct hd_event {
	uint64_t when;   // coarse monotonic ns
	uint64_t object; // lock offset or argument
	uint32_t site;   // or name id for points and operations
	uint32_t kind;   // hd_event_kind
};

struct hd_seat {
	_Atomic uint32_t live;  // 0 free, 1 being taken, 2 taken, 3 left (thread ended properly)
	uint32_t number;        // 1..
	uint32_t pid, tid;
	uint64_t started;       // /proc/PID/stat field 22: tells a reused pid
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
	uint32_t operation;     // name id; 0 between operations
	uint64_t operation_argument;
	uint64_t operation_since;
	_Atomic uint64_t steps;    // operations completed
	_Atomic uint64_t progress; // probe events: locks taken, points passed...
	_Atomic uint64_t failures; // try-locks that failed, restarts
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
	uint32_t noise_left;       // places until this seat draws another speed
	uint32_t noise_speed;      // 0 never late ... 3 always late
};

struct hd_class {
	char name[40];
	uint32_t rank;       // lower is taken first; 0: unranked
	uint32_t flags;      // hd_class_flags
	int64_t chain_delta; // from the lock to the u64 link that may be locked next
	uint64_t chain_table; // offset of record 0 of the table the link points into
	uint64_t chain_stride;
	uint64_t chain_lock;  // offset of the lock inside its record
};

enum hd_class_flags {
	HD_MAY_SLEEP = 1, // may be held while sleeping or doing I/O
	HD_NEST = 2,      // several of this class at a time, any order (leaf tables, tests)
	HD_CHAIN = 4,     // several at a time, along the chain link only
};

struct hd_edge { uint32_t from_site, to_site, seat, count; uint64_t when; };
struct hd_site { _Atomic uint32_t state; uint32_t line; uint64_t hash; char function[56]; char file[120]; };
struct hd_name { _Atomic uint32_t state; uint32_t spare; uint64_t hash; char text[48]; };

struct hd_report {
	_Atomic uint32_t state; // 0 free, 1 being written, 2 published
	uint32_t kind;          // hd_report_kind
	uint32_t seat;
	_Atomic uint32_t acked; // a watcher has dumped it
	uint64_t when;
	uint64_t lock_a, lock_b; // held, wanted
	uint32_t site_a, site_b;
	uint32_t class_a, class_b;
	char text[448];
};

struct hd_arena { // first bytes of the segment
	char magic[8];
	uint32_t version;
	_Atomic uint32_t mode; // hd_mode
	uint64_t fingerprint;
	uint64_t size;
	uint64_t boot_id;
	uint64_t created;      // CLOCK_REALTIME ns
	uint32_t creator;      // pid
	uint32_t seat_count;
	char name[64];
	uint64_t seats, classes, order, edges, sites, names, reports, directory;
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
	uint64_t spare[7];
};

struct hd_entry { // directory: who lies where
	char name[48];
	uint64_t offset, record_size, count, fingerprint;
};
#define HD_DIRECTORY 128

// --- arena.c
uint64_t hd_fixed_size(uint32_t seat_count); // bytes before the heap
enum hd_status hd_format(void *base, uint64_t size, const char *name, uint32_t seat_count, uint64_t boot_id);
uint64_t hd_allocate(struct hd_arena *a, uint64_t bytes, uint64_t align); // 0: full
static inline void *hd_at(struct hd_arena *a, uint64_t offset) { return (char *)a + offset; }
static inline uint64_t hd_offset(struct hd_arena *a, const void *p) { return (uint64_t)((const char *)p - (char *)a); }
uint64_t hd_now(void); // coarse monotonic ns
uint64_t hd_precise_now(void); // the same clock, exact: a few times dearer

// --- seat.c
struct hd_seat *hd_sit(struct hd_arena *a, const char *role); // NULL: table full
struct hd_seat *hd_my_seat_slow(struct hd_arena *a);           // NULL: none yet
void hd_leave(struct hd_arena *a);
void hd_opened(struct hd_arena *a); // mapped in this process (counted)
void hd_closed(struct hd_arena *a); // about to be unmapped
bool hd_seat_dead(const struct hd_seat *s); // taken, but its thread is gone
// The boot id is compared too: a new arena may be mapped where an old one was.
struct hd_tls { struct hd_arena *arena; struct hd_seat *seat; uint64_t boot_id; };
extern _Thread_local struct hd_tls hd_tls __attribute__((tls_model("initial-exec")));
static inline struct hd_seat *hd_me(struct hd_arena *a)
{
	return hd_tls.arena == a && hd_tls.boot_id == a->boot_id ? hd_tls.seat : hd_my_seat_slow(a);
}
enum hd_status hd_push(struct hd_arena *a, struct hd_seat *s, uint64_t lock, uint16_t class_id, uint8_t kind, uint32_t site);
enum hd_status hd_pop(struct hd_seat *s, uint64_t lock, uint8_t kind); // kind 0: any
struct hd_held *hd_find_held(struct hd_seat *s, uint64_t lock);
void hd_wait_begin(struct hd_seat *s, enum hd_activity what, uint64_t lock, uint32_t site, uint64_t deadline);
void hd_wait_end(struct hd_seat *s);
enum hd_status hd_claim(struct hd_seat *s, uint64_t address, uint32_t site);
enum hd_status hd_unclaim(struct hd_seat *s, uint64_t address); // HD_NOT_OWNER: was not claimed
void hd_changed(struct hd_seat *s, uint64_t address, uint32_t site, uint32_t outer);
void hd_record(struct hd_arena *a, struct hd_seat *s, uint32_t kind, uint64_t object, uint32_t site);
void hd_noise(struct hd_arena *a, struct hd_seat *s, enum hd_noise_place place);

// --- order.c
int hd_declare_class(struct hd_arena *a, const char *name, uint32_t rank, uint32_t flags); // -1: full
uint32_t hd_intern_site(struct hd_arena *a, const char *file, uint32_t line, const char *function);
uint32_t hd_intern_name(struct hd_arena *a, const char *text);
enum hd_status hd_check_order(struct hd_arena *a, struct hd_seat *s, uint64_t lock, uint16_t class_id, uint32_t site);
enum hd_status hd_check_sleep(struct hd_arena *a, struct hd_seat *s, uint64_t except, uint32_t site);

// --- report.c
void hd_report(struct hd_arena *a, struct hd_seat *s, enum hd_report_kind kind, uint64_t lock_a, uint64_t lock_b,
	       uint32_t site_a, uint32_t site_b, const char *text);

// --- lockcore.c.  deadline: coarse monotonic ns, 0 = none.  Blocking calls return
// HD_INTERRUPTED at every slice; call again with the same arguments (first = false).
enum hd_status hd_mutex_init(struct hd_mutex *m, uint16_t class_id, uint32_t instance);
enum hd_status hd_mutex_try(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m, uint32_t site, bool ordered);
// A short wait for a holder on another processor; true: worth another try.
bool hd_mutex_spin(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m);
enum hd_status hd_mutex_wait(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m, uint32_t site, uint64_t deadline);
enum hd_status hd_mutex_release(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m);
enum hd_status hd_mutex_recover(struct hd_seat *s, struct hd_mutex *m); // after HD_OWNER_DIED
enum hd_status hd_mutex_abandon(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m);

// --- rwlock.c
enum hd_status hd_rw_init(struct hd_rwlock *l, uint16_t class_id, uint32_t instance);
enum hd_status hd_rw_try(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint8_t kind, bool pass, uint32_t site, bool ordered);
enum hd_status hd_rw_wait(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint8_t kind, bool pass, uint32_t site, uint64_t deadline, bool first);
enum hd_status hd_rw_upgrade(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint32_t site, bool first); // HD_BUSY: another is at it
enum hd_status hd_rw_downgrade(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l);
enum hd_status hd_rw_release(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l);
enum hd_status hd_rw_recover(struct hd_seat *s, struct hd_arena *a, struct hd_rwlock *l);
void hd_rw_cancel(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l); // leave the queue after an exception

// --- channel.c
void hd_channel_init(struct hd_channel *c, uint16_t class_id, uint32_t instance);
enum hd_status hd_channel_wait(struct hd_arena *a, struct hd_seat *s, struct hd_channel *c, uint32_t intent, uint32_t singles, uint64_t deadline);
void hd_channel_wake(struct hd_arena *a, struct hd_seat *s, struct hd_channel *c, uint32_t site, bool all);

#endif
