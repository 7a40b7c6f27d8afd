// Read/write lock: trying and waiting, for readers and writers.

#include "order.h"
#include "rwlock_cells.h"

#include <sched.h>

#define PASS_NS 1000000ull // a passing reader too gives a claimer this long

static enum hd_status granted(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, struct hd_held *h, uint8_t kind)
{
	bool wrote = kind == HD_WRITE;
	if (l->suspect == 2) {
		if (wrote) {
			hd_rw_give_writer(a, l, true);
		} else {
			cell_clear(l, s->number);
			leave_note(l);
		}
		hd_pop(s, h);
		return HD_BROKEN;
	}
	atomic_fetch_add_explicit(&l->acquired, 1, memory_order_relaxed);
	if (wrote) {
		atomic_store_explicit(&l->site, h->site, memory_order_relaxed);
		atomic_store_explicit(&l->since, h->since, memory_order_relaxed);
		h->owner_died = (atomic_load(&l->writer) & HD_SUSPECT) != 0;
	}
	hd_got(a, s, h, kind);
	return h->owner_died ? HD_OWNER_DIED : HD_OK;
}

enum step { GOT_READ, GOT_WRITE, BLOCKED, LOOK_AGAIN };

// One try for a reader.  BLOCKED leaves the cell at WANTS.
static enum step read_step(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, bool pass, uint32_t *by)
{
	_Atomic uint32_t *where;
	enum hd_cell c = cell(l, s->number);
	if (c == HD_READING)
		return GOT_READ; // a giver let us in
	if (c == HD_WANTS) {
		if (!(*by = blocker(l, pass, &where)) && !cell_retry(l, s->number))
			return GOT_READ;
	} else {
		cell_read(l, s->number);
	}
	if (c != HD_WANTS || !*by) {
		if (!(*by = blocker(l, pass, &where)))
			return GOT_READ;
		cell_flip(l, s->number);
		leave_note(l);
	}
	if ((*by & HD_ID_MASK) && !hd_id_dead(a, *by))
		return BLOCKED;
	if (hd_rw_clear_away(l, where, *by))
		return LOOK_AGAIN;
	// In doubt: we claim as a writer does, so that one thread alone is told.
	uint32_t was = cell(l, s->number);
	if (was == HD_READING)
		return GOT_READ;
	cell_clear(l, s->number);
	leave_note(l);
	if (hd_word_take(a, &l->writer, &l->first, s->id, true, false) == HD_NOT_TAKEN)
		return BLOCKED; // another does it; our cell is empty and will be set again
	return LOOK_AGAIN;
}

enum hd_status hd_rw_try(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint8_t kind, bool pass, uint32_t site, enum hd_ask ask)
{
	uint64_t self = hd_offset(a, l);
	struct hd_held *mine_already = s->depth ? hd_find_held(s, self) : NULL;
	// Reading again is safe only past the writers: behind a queued one it would
	// wait for a thread that waits for us.
	if (mine_already && !(kind == HD_READ && mine_already->kind == HD_READ && pass))
		return ask != HD_TRY ? HD_SELF_DEADLOCK : HD_BUSY;
	if (ask != HD_TRY && s->held_mask && !mine_already) {
		uint8_t want = kind == HD_WRITE ? HD_WANT_WRITE : pass ? HD_WANT_PASS : HD_WANT_READ;
		struct hd_taking t = {self, site, l->class_id, want, ask == HD_TIMED};
		if (hd_order(a, s, &t) != HD_OK && (a->mode & HD_STRICT))
			return HD_ORDER;
	}
	if (kind == HD_WRITE && ask == HD_UNTIMED)
		hd_writes(a, s, self, l->class_id, site);
	struct hd_held *h = hd_push(a, s, self, l->class_id, kind | HD_INTENT, site);
	if (!h)
		return HD_FULL;
	if (mine_already) { // our cell says READING as it is
		hd_got(a, s, h, HD_READ);
		return HD_OK;
	}
	uint32_t by;
	if (kind == HD_READ) {
		enum step step;
		// A reader that waits if this fails does not pass at once: hd_rw_wait gives a claimer its time.
		while ((step = read_step(a, s, l, pass && ask == HD_TRY, &by)) == LOOK_AGAIN && !mine(s, &l->writer))
			;
		if (step == GOT_READ)
			return granted(a, s, l, h, HD_READ);
		if (cell(l, s->number) != HD_NOT_READING) {
			cell_clear(l, s->number); // it may say READING by now: then we give it back
			leave_note(l);
		}
	} else if (hd_word_take(a, &l->writer, &l->first, s->id, false, false) == HD_NOT_TAKEN) {
		hd_pop(s, h);
		goto busy;
	}
	if (mine(s, &l->writer)) {
		for (int i = 0; i < 100; i++) { // claimers are alone soon, unless another thread really reads
			if (!hd_rw_close_and_look(a, s, l, &l->writer))
				return granted(a, s, l, h, HD_WRITE);
			if (!(atomic_load(&l->writer) & HD_SUSPECT))
				break;
		}
		hd_rw_give_writer(a, l, false);
	}
	hd_pop(s, h);
busy:
	atomic_store_explicit(&l->contended, l->contended + 1, memory_order_relaxed);
	if (ask == HD_TRY) {
		hd_try_failed(s, self, site);
	}
	return HD_BUSY;
}

static void leave_queue(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l)
{
	hd_word_unqueue(&l->writer, &l->first, s->id);
	if (mine(s, &l->writer))
		hd_rw_give_writer(a, l, false);
	if (mine(s, &l->upgrader)) {
		atomic_store(&l->upgrader, 0);
		call_readers(l);
	} else if (!hd_find_held(s, hd_offset(a, l)) && cell(l, s->number) != HD_NOT_READING) {
		cell_clear(l, s->number);
		leave_note(l);
	}
	struct hd_held *h = hd_find_intent(s, hd_offset(a, l));
	if (h)
		hd_pop(s, h);
	hd_wait_end(s);
}

void hd_rw_cancel(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l)
{
	leave_queue(a, s, l);
}

static enum hd_status got_after_wait(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, struct hd_held *h, uint8_t kind)
{
	h->since = hd_now(); // the row is as old as the wait; the hold begins here
	s->let_in = kind == HD_READ ? hd_offset(a, l) : 0;
	enum hd_status status = granted(a, s, l, h, kind);
	hd_word_unqueue(&l->writer, &l->first, s->id);
	hd_wait_end(s);
	return status;
}

// A reader that was let in and reads again at once runs on while the writer that let it in still
// wakes the other readers, or has lost its processor to one of them: thousands of reads against one
// write, and no rule of the lock is broken, because the writer does not ask.  So once, before such a
// reader asks again, it gives the processor up; not when a writer asks already: then it will queue; nor
// when no other reader is there: alone it keeps no writer out for long, and beside several writers it would
// come too seldom, as it would if it gave way more than once.  It holds
// nothing of this lock meanwhile, its cell is empty: a kill leaves what a thread leaves that has not
// asked yet.
void hd_rw_make_room(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l)
{
	s->let_in = 0;
	if (!atomic_load(&l->writer) && !atomic_load(&l->upgrader) && other_readers(a, l, s->number))
		sched_yield();
}

// One turn of a reader that waits.  LOOK_AGAIN: at once.  BLOCKED: it slept, unless `last`, where it only looks.
static enum step read_turn(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, bool pass, bool may_pass, uint64_t until, bool last, bool *signalled)
{
	uint32_t phase = atomic_load(&l->phase), by = 0;
	enum step step = read_step(a, s, l, may_pass, &by);
	if (step != BLOCKED)
		return step;
	// Who keeps us out *now*; then our cell: the thread that lets us in does it before it goes.
	_Atomic uint32_t *where;
	by = blocker(l, may_pass, &where);
	enum hd_cell c = cell(l, s->number);
	if (!by || c == HD_READING)
		return LOOK_AGAIN;
	uint64_t soon = hd_precise_now() + PASS_NS;
	if (c == HD_NOT_READING) // another settles what is in doubt; then we queue again
		by = 0;
	else if (!(by & HD_ID_MASK) || hd_id_dead(a, by))
		return LOOK_AGAIN;
	else if (!pass || may_pass)
		soon = until;
	if (!last)
		*signalled = hd_sleep_on(&l->phase, phase, hd_seat_of(a, by), ALL_BITS, soon < until ? soon : until);
	return BLOCKED;
}

// One turn of a thread that waits to be the only one.
static enum step write_turn(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint64_t until, bool last, bool *slept, bool *signalled)
{
	if (mine(s, &l->writer)) {
		uint32_t drain = atomic_load(&l->drain);
		struct hd_seat *other = hd_rw_close_and_look(a, s, l, &l->writer);
		if (!other)
			return GOT_WRITE;
		if (!last)
			*signalled = hd_sleep_on(&l->drain, drain, other, ALL_BITS, until);
		return BLOCKED;
	}
	if (hd_word_take(a, &l->writer, &l->first, s->id, *slept, false) != HD_NOT_TAKEN)
		return LOOK_AGAIN;
	*slept = true;
	if (hd_precise_now() - s->wait_since > HD_PATIENCE_NS && hd_word_queue_up(a, &l->first, s->id))
		return LOOK_AGAIN;
	if (!last)
		*signalled = hd_word_sleep(a, &l->writer, &l->first, s->id, until);
	return BLOCKED;
}

// One slice of waiting, less when a signal comes.  On HD_INTERRUPTED claim or cell stay as they are: its turn is kept.
enum hd_status hd_rw_wait(struct hd_arena *a, struct hd_seat *s, struct hd_rwlock *l, uint8_t kind, bool pass, uint32_t site, uint64_t deadline, bool first)
{
	uint64_t self = hd_offset(a, l);
	struct hd_held *h = first ? hd_push(a, s, self, l->class_id, kind | HD_INTENT, site) : hd_find_intent(s, self);
	if (!h)
		return HD_FULL;
	if (first) {
		hd_wait_begin(s, kind == HD_WRITE ? HD_WAIT_WRITE : HD_WAIT_READ, self, site, deadline);
		if (a->mode & HD_RECORD)
			hd_record(a, s, HD_EV_WAIT, self, site);
	}
	uint64_t until = hd_slice_end(a);
	if (deadline && deadline < until)
		until = deadline;
	bool slept = !first, signalled = false;
	for (;;) {
		uint64_t now = hd_precise_now();
		bool last = now >= until || signalled; // of this slice
		bool may_pass = pass && (now - s->wait_since > PASS_NS || (deadline && now >= deadline));
		enum step step = kind == HD_WRITE || mine(s, &l->writer) ? write_turn(a, s, l, until, last, &slept, &signalled)
									 : read_turn(a, s, l, pass, may_pass, until, last, &signalled);
		if (step == GOT_READ || step == GOT_WRITE)
			return got_after_wait(a, s, l, h, step == GOT_READ ? HD_READ : HD_WRITE);
		if (step == LOOK_AGAIN || !last)
			continue;
		if (!deadline || now < deadline)
			return HD_INTERRUPTED;
		leave_queue(a, s, l);
		hd_polled(s, self, site);
		return HD_TIMED_OUT;
	}
}
