// What the files of the core offer, file by file.  Included by lockcore.h, after the records.

#ifndef HANGDOG_CALLS_H
#define HANGDOG_CALLS_H

// --- arena.c
uint64_t hd_fixed_size(uint32_t seat_count); // bytes before the heap
enum hd_status hd_check(const void *base, uint64_t size); // HD_OK: an arena of this build whose every table is where it must be
bool hd_own_page(void *base); // the mapping's first page becomes this process's own copy; false: errno
enum hd_status hd_format(void *base, uint64_t size, const char *name, uint32_t seat_count, uint64_t boot_id);
uint64_t hd_allocate(struct hd_arena *a, uint64_t bytes, uint64_t align); // 0: full
static inline void *hd_at(struct hd_arena *a, uint64_t offset) { return (char *)a + offset; }
static inline bool hd_fits(const struct hd_arena *a, uint64_t offset, uint64_t size) { return !(offset % 8) && offset >= sizeof *a && size <= a->size && offset <= a->size - size; }
static inline uint32_t hd_class_of(uint32_t class_id) { return class_id & (HD_MAX_CLASSES - 1); } // a damaged record names some class, but one that is there
static inline struct hd_seat *hd_seat_of(struct hd_arena *a, uint32_t id) // NULL: no such seat
{
	uint32_t n = id & HD_SEAT_MASK;
	return n && n <= a->seat_count ? (struct hd_seat *)hd_at(a, a->seats) + (n - 1) : 0;
}
static inline uint64_t hd_offset(struct hd_arena *a, const void *p) { return (uint64_t)((const char *)p - (char *)a); }
uint64_t hd_now(void); // coarse monotonic ns
uint64_t hd_precise_now(void); // the same clock, exact: a few times dearer

// --- seat.c
struct hd_seat *hd_sit(struct hd_arena *a, const char *role); // NULL: table full
struct hd_seat *hd_my_seat_slow(struct hd_arena *a);           // NULL: none yet
bool hd_leave_seat(struct hd_arena *a); // false: it still holds something, and stays
uint32_t hd_seated(struct hd_arena *a); // how many threads of this process have a seat in it: above zero it must stay mapped
bool hd_seat_alive(struct hd_seat *s);  // taken, and its thread lives; a few ns, no system call
bool hd_seat_dead(struct hd_seat *s);   // taken, but its thread is gone
bool hd_id_dead(struct hd_arena *a, uint32_t id); // no thread that has this id lives
uint32_t *hd_life_word(struct hd_seat *s);
// The boot id is compared too: a new arena may be mapped where an old one was.
struct hd_tls { struct hd_arena *arena; struct hd_seat *seat; uint64_t boot_id; };
extern _Thread_local struct hd_tls hd_tls __attribute__((tls_model("initial-exec")));
static inline struct hd_seat *hd_me(struct hd_arena *a)
{
	return hd_tls.arena == a && hd_tls.boot_id == a->boot_id ? hd_tls.seat : hd_my_seat_slow(a);
}
struct hd_held *hd_push(struct hd_arena *a, struct hd_seat *s, uint64_t lock, uint16_t class_id, uint8_t kind, uint32_t site); // NULL: full
void hd_got(struct hd_arena *a, struct hd_seat *s, struct hd_held *h, uint8_t kind); // what the row asked for is now held
void hd_pop(struct hd_seat *s, struct hd_held *h);
struct hd_held *hd_find_held(struct hd_seat *s, uint64_t lock); // the innermost row that is held, not only asked for
struct hd_held *hd_find_intent(struct hd_seat *s, uint64_t lock);
struct hd_wait { uint64_t lock, since, deadline, guard, address; int64_t value; uint32_t activity, site, message, intent, size, op, seq; };
struct hd_wait hd_wait_save(struct hd_seat *s); // around code of the program (signal handlers), which may itself wait
void hd_wait_restore(struct hd_seat *s, const struct hd_wait *w);
void hd_wait_begin(struct hd_seat *s, enum hd_activity what, uint64_t lock, uint32_t site, uint64_t deadline);
void hd_wait_end(struct hd_seat *s);
enum hd_status hd_claim(struct hd_seat *s, uint64_t address, uint32_t site);
enum hd_status hd_unclaim(struct hd_seat *s, uint64_t address); // HD_NOT_OWNER: was not claimed
void hd_polled(struct hd_seat *s, uint64_t lock, uint32_t site); // a try, or a wait with a limit, that did not get it
void hd_try_failed(struct hd_seat *s, uint64_t lock, uint32_t site);
void hd_got_after_polls(struct hd_seat *s, uint64_t lock);
static inline void hd_polled_got(struct hd_seat *s, uint64_t lock)
{
	if (atomic_load_explicit(&s->polled_lock, memory_order_relaxed)) // seldom: it tried one and did not get it
		hd_got_after_polls(s, lock);
}
void hd_gave_after_polls(struct hd_seat *s);
static inline void hd_polled_gave(struct hd_seat *s, uint32_t row)
{
	if (s->spun_depth > row) // seldom: it tried one while it held what it gave
		hd_gave_after_polls(s);
}
void hd_changed(struct hd_seat *s, uint64_t address, uint32_t site, uint32_t outer);
void hd_record(struct hd_arena *a, struct hd_seat *s, uint32_t kind, uint64_t object, uint32_t site);
void hd_noise(struct hd_arena *a, struct hd_seat *s, enum hd_noise_place place);

// --- names.c
int hd_declare_class(struct hd_arena *a, const char *name, uint32_t rank, uint32_t flags); // -1: full
uint32_t hd_intern_site(struct hd_arena *a, const char *file, uint32_t line, const char *function);
uint32_t hd_intern_name(struct hd_arena *a, const char *text);

// --- order.c
enum hd_ask { HD_TRY = 0, HD_UNTIMED = 1, HD_TIMED = 2 }; // a try that fails, and a wait with a limit, end by themselves
struct hd_taking { uint64_t lock; uint32_t site; uint16_t class_id; uint8_t want; bool timed; }; // want: hd_want
enum hd_status hd_order(struct hd_arena *a, struct hd_seat *s, const struct hd_taking *t);
void hd_first_write(struct hd_arena *a, struct hd_seat *s, uint64_t lock, uint16_t class_id, uint32_t site);
static inline enum hd_status hd_check_order(struct hd_arena *a, struct hd_seat *s, uint64_t lock, uint16_t class_id, uint32_t site)
{
	struct hd_taking t = {lock, site, class_id, 0, false};
	return hd_order(a, s, &t);
}
enum hd_status hd_check_sleep(struct hd_arena *a, struct hd_seat *s, uint64_t except, uint32_t site);

// --- report.c
void hd_report(struct hd_arena *a, struct hd_seat *s, enum hd_report_kind kind, uint64_t lock_a, uint64_t lock_b,
	       uint32_t site_a, uint32_t site_b, const char *text);
struct hd_told { // what a report says beside its text; all may be 0
	enum hd_mistake mistake;
	uint32_t step, class_b; // class_b: of a lock that is not known
	const void *details;
	size_t size;
};
void hd_report_told(struct hd_arena *a, struct hd_seat *s, enum hd_report_kind kind, uint64_t lock_a, uint64_t lock_b,
		    uint32_t site_a, uint32_t site_b, const char *text, const struct hd_told *told);
extern void *(*hd_let_go)(void);       // called before a report waits; NULL: there is nothing to take back
extern void (*hd_take_back)(void *);

// --- mutex.c.  deadline: monotonic ns, 0 = none.  Blocking calls return HD_INTERRUPTED after
// every slice and every signal; call again with the same arguments (first = false).
enum hd_status hd_mutex_init(struct hd_mutex *m, uint16_t class_id, uint32_t instance);
enum hd_status hd_mutex_try(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m, uint32_t site, enum hd_ask ask);
// A short wait for a holder on another processor; true: worth another try.
bool hd_mutex_spin(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m);
enum hd_status hd_mutex_again(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m, uint32_t site); // after the spin: no failure
enum hd_status hd_mutex_wait(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m, uint32_t site, uint64_t deadline);
void hd_mutex_cancel(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m); // give up waiting after an exception
enum hd_status hd_mutex_release(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m);
enum hd_status hd_mutex_recover(struct hd_seat *s, struct hd_mutex *m); // after HD_OWNER_DIED
enum hd_status hd_mutex_abandon(struct hd_arena *a, struct hd_seat *s, struct hd_mutex *m);
void hd_mutex_estate(struct hd_mutex *m, uint32_t seat);

// --- rwlock.c
enum hd_status hd_rw_init(struct hd_rwlock *l, uint16_t class_id, uint32_t instance);
enum hd_status hd_rw_try(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint8_t kind, bool pass, uint32_t site, enum hd_ask ask);
void hd_rw_make_room(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l); // when s->let_in names l: before this reader asks again
enum hd_status hd_rw_wait(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint8_t kind, bool pass, uint32_t site, uint64_t deadline, bool first);
enum hd_status hd_rw_upgrade(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint32_t site, bool first); // HD_BUSY: another reader is upgrading
enum hd_status hd_rw_downgrade(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l);
enum hd_status hd_rw_release(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l);
enum hd_status hd_rw_recover(struct hd_seat *s, struct hd_arena *a, struct hd_rwlock *l);
void hd_rw_cancel(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l); // leave the queue after an exception
void hd_rw_estate(struct hd_rwlock *l, uint32_t seat);

// --- channel.c.  register, release the lock, wait again as long as it returns HD_INTERRUPTED, unregister
void hd_channel_init(struct hd_channel *c, uint16_t class_id, uint32_t instance);
enum hd_status hd_channel_register(struct hd_arena *a, struct hd_seat *s, struct hd_channel *c, uint32_t intent); // HD_FULL: more than HD_NESTED_SLEEPS within each other
enum hd_status hd_channel_wait(struct hd_arena *a, struct hd_seat *s, struct hd_channel *c, uint64_t deadline);
bool hd_channel_unregister(struct hd_arena *a, struct hd_seat *s, struct hd_channel *c); // true: it was woken
void hd_channel_wake(struct hd_arena *a, struct hd_seat *s, struct hd_channel *c, uint32_t site, bool all);
void hd_channel_estate(struct hd_channel *c, uint32_t seat);

#endif
