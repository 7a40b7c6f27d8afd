// Rules of mutexes, rows, queues, seats and waits.
#include "rules.h"

int wrong, asked;
struct hd_seat *s;
_Atomic uint32_t *ids;

void begin(void) { fresh_arena(4), s = me(); }
static void die_with_m(void) { acquire(m, 0); }
static void note_id(void) { ids[0] = me()->id; }

static void die_with_all(void) // and as one who has just taken m2, whose row is an intent still
{
	acquire(m, 0), enter(HD_WRITE, false, 0), hd_channel_register(arena, me(), c, c->seq);
	hd_push(arena, me(), hd_offset(arena, m2), class_b, HD_MUTEX | HD_INTENT, 0);
	m2->owner = me()->id;
}

static void a_mutex_counts_and_refuses(void)
{
	begin();
	RULE(try_m(true) == HD_OK && m->owner == s->id && s->depth == 1 && s->held_mask == 1ull << class_a);
	RULE(m->acquired == 1 && s->progress == 1 && s->taken_mask == 1ull << class_a);
	RULE(try_m(true) == HD_SELF_DEADLOCK && try_m(false) == HD_BUSY && s->depth == 1);
	RULE(hd_mutex_recover(s, m2) == HD_NOT_OWNER && hd_mutex_release(arena, s, m2) == HD_NOT_OWNER);
	RULE(!hd_leave_seat(arena)); // it holds something
	RULE(hd_mutex_release(arena, s, m) == HD_OK && m->owner == 0 && s->depth == 0 && s->held_mask == 0);
	m->owner = s->id ^ 1u << 9; // another generation of this seat: not we, and dead
	RULE(try_m(true) == HD_OWNER_DIED && hd_mutex_recover(s, m) == HD_OK && hd_mutex_release(arena, s, m) == HD_OK);
	RULE(try_m(true) == HD_OK && hd_mutex_release(arena, s, m) == HD_OK);
}

static void a_failed_try_is_counted_once(void)
{
	begin();
	pid_t holder = start(die_with_m); // told, keeps it: dead again
	finish(holder);
	RULE(try_m(false) == HD_OWNER_DIED && s->failures == 0);
	RULE(hd_mutex_release(arena, s, m) == HD_OK && m->suspect == 2);
	RULE(try_m(true) == HD_BROKEN && m->owner == 0 && s->depth == 0 && try_m(false) == HD_BROKEN);
}

static void the_table_of_holds_is_finite(void)
{
	begin();
	struct hd_held *rows[HD_MAX_HELD];
	for (uint64_t i = 0; i < HD_MAX_HELD; i++)
		RULE((rows[i] = hd_push(arena, s, 8 * (i + 1000), class_b, HD_MUTEX, 0)) != NULL);
	RULE(try_m(true) == HD_FULL && m->owner == 0); // before anything was taken
	RULE(try_rw(HD_READ, false) == HD_FULL && l->cells[0] == 0 && try_rw(HD_WRITE, false) == HD_FULL && l->writer == 0);
	hd_pop(s, rows[3]);
	RULE(s->depth == HD_MAX_HELD && s->held[3].lock == 0);
	RULE(try_m(true) == HD_OK && s->held[3].lock == hd_offset(arena, m) && hd_find_held(s, hd_offset(arena, m)) == rows[3]);
	RULE(hd_mutex_release(arena, s, m) == HD_OK);
	hd_pop(s, rows[HD_MAX_HELD - 1]);
	RULE(s->depth == HD_MAX_HELD - 1);
	for (int i = 0; i < HD_MAX_HELD - 1; i++)
		if (i != 3)
			hd_pop(s, rows[i]);
	RULE(s->depth == 0 && s->held_mask == 0);
}

static void a_mask_forgets_only_what_was_given(void)
{
	begin();
	try_m(true), hd_mutex_try(arena, s, m2, 0, true);
	hd_mutex_release(arena, s, m);
	RULE(s->held_mask == 1ull << class_b && s->depth == 2);
	hd_mutex_release(arena, s, m2);
	RULE(s->held_mask == 0 && s->depth == 0);
	struct hd_held *h = hd_push(arena, s, hd_offset(arena, m), class_a, HD_MUTEX | HD_INTENT, 0);
	RULE(!hd_find_held(s, hd_offset(arena, m)) && hd_find_intent(s, hd_offset(arena, m)) == h && s->held_mask == 0);
	hd_pop(s, h);
}

// --- beside another that lives
static void live(void) { me(); for (;;) pause(); }
void keep_both(void) { acquire(m, 0), enter(HD_WRITE, false, 0), hd_wait_begin(me(), HD_IDLE, 0, 0, 0), live(); }

pid_t start_another(struct hd_seat **seat)
{
	pid_t pid = start(live);
	for (uint64_t until = in_ms(GATE_S * 1000); !(*seat = seat_of_process(pid)) && hd_precise_now() < until;)
		usleep(100);
	return pid;
}

static void who_queues_is_not_overtaken(void)
{
	struct hd_seat *another;
	begin();
	pid_t pid = start_another(&another);
	m->first = l->first = another->id;
	RULE(try_m(true) == HD_BUSY && m->owner == 0 && try_rw(HD_WRITE, false) == HD_BUSY && l->writer == 0 && s->depth == 0);
	RULE(!hd_word_queue_up(arena, &m->first, s->id));
	RULE(m->first == another->id); // and who did not become the first sleeps: it must not look again and again
	end(pid); // dead: it queues no more
	RULE(try_m(true) == HD_OK && m->first == 0 && hd_mutex_release(arena, s, m) == HD_OK);
	RULE(try_rw(HD_WRITE, false) == HD_OK && l->first == 0 && hd_rw_release(arena, s, l) == HD_OK);
}

// One that goes on living must not stay the first when it has given up: no other could take the lock.
static void who_gives_up_queues_no_more(void)
{
	begin();
	pid_t pid = start(keep_both);
	await_activity(pid, HD_IDLE);
	for (int cancels = 0; cancels < 2; cancels++) {
		uint64_t soon = cancels ? 0 : in_ms(1);
		arena->slice_ns = 1000000;
		m->first = l->first = s->id; // it has waited so long
		RULE(hd_mutex_wait(arena, s, m, 0, soon) == (cancels ? HD_INTERRUPTED : HD_TIMED_OUT));
		if (cancels)
			hd_mutex_cancel(arena, s, m);
		RULE(hd_rw_wait(arena, s, l, HD_WRITE, false, 0, cancels ? 0 : in_ms(1), true) == (cancels ? HD_INTERRUPTED : HD_TIMED_OUT));
		if (cancels)
			hd_rw_cancel(arena, s, l);
		RULE(m->first == 0 && l->first == 0 && s->depth == 0 && s->activity == HD_RUNNING);
	}
	end(pid);
}

// A dead one's seat is another's now: what it held is in doubt, and names no thread.
static void the_estate_is_settled(void)
{
	fresh_arena(2), s = me();
	finish(start(die_with_all));
	uint32_t dead = m->owner;
	RULE((dead & HD_SEAT_MASK) == 2 && (l->writer & HD_ID_MASK) == dead && hd_seat_of(arena, dead)->held[1].lock);
	m->first = l->first = dead;
	uint32_t seq = hd_seat_of(arena, 2)->wait_seq;
	finish(start(note_id));
	RULE((ids[0] & HD_SEAT_MASK) == 2 && ids[0] != dead);
	RULE(hd_seat_of(arena, 2)->wait_seq > seq); // a watcher compares it
	RULE(m->owner == HD_SUSPECT && m2->owner == HD_SUSPECT && l->writer == HD_SUSPECT && !m->first && !l->first && !l->cells[0] && !c->asleep[0]);
	RULE(!hd_seat_of(arena, 2)->held[0].lock && !hd_seat_of(arena, 2)->asleep_on[0]);
	RULE(try_m(true) == HD_OWNER_DIED && try_rw(HD_WRITE, false) == HD_OWNER_DIED);
	hd_mutex_recover(s, m), hd_rw_recover(s, arena, l);
	hd_mutex_release(arena, s, m), hd_rw_release(arena, s, l);
}

// --- seats
static void note_id_and_leave(void) { ids[0] = me()->id; hd_leave_seat(arena); }
static void *sit_and_end(void *hold) { ids[1] = me()->id; if (hold) acquire(m, 0); return NULL; }

static void an_id_is_used_once(void)
{
	begin();
	finish(start(note_id));
	uint32_t first = ids[0];
	RULE(hd_id_dead(arena, first) && !hd_id_dead(arena, s->id) && hd_seat_alive(s) && !hd_seat_dead(s) && hd_id_dead(arena, 0) && hd_id_dead(arena, 400));
	RULE(hd_seat_dead(hd_seat_of(arena, first)) && !hd_seat_alive(hd_seat_of(arena, first)));
	for (int i = 0; i < 6; i++) {
		finish(start(i % 2 ? note_id : note_id_and_leave));
		RULE(ids[0] != first && hd_id_dead(arena, ids[0]) && hd_id_dead(arena, first));
	}
}

static void a_seat_is_not_lost_when_a_dead_one_had_it(void)
{
	fresh_arena(2), s = me();
	for (int i = 0; i < 4; i++) // dies, leaves, dies, leaves: always in the second seat
		RULE(finish(start(i % 2 ? note_id_and_leave : note_id)) == 0 && (ids[0] & HD_SEAT_MASK) == 2);
	RULE(hd_seat_of(arena, 2)->live == 3);
}

static void alive_is_who_is_published_and_has_life(void)
{
	begin();
	RULE(hd_seat_alive(s));
	s->generation |= 1; // being taken
	RULE(!hd_seat_alive(s));
	s->generation &= ~1u;
	s->tid ^= 1; // another has `life`, and has not made the row its own
	RULE(!hd_seat_alive(s) && hd_id_dead(arena, s->id));
	s->tid ^= 1;
	RULE(hd_seat_alive(s) && !hd_id_dead(arena, s->id));
}

static void a_thread_gives_its_seat_back_unless_it_holds(void)
{
	pthread_t thread;
	begin();
	RULE(hd_seated(arena) == 1);
	pthread_create(&thread, NULL, sit_and_end, NULL), pthread_join(thread, NULL);
	RULE(hd_seated(arena) == 1 && hd_id_dead(arena, ids[1]) && hd_seat_of(arena, ids[1])->live == 3);
	pthread_create(&thread, NULL, sit_and_end, ids), pthread_join(thread, NULL);
	RULE(hd_seated(arena) == 2 && hd_id_dead(arena, ids[1]) && hd_seat_dead(hd_seat_of(arena, ids[1])));
	RULE(try_m(true) == HD_OWNER_DIED && hd_mutex_recover(s, m) == HD_OK && hd_mutex_release(arena, s, m) == HD_OK);
	RULE(hd_leave_seat(arena) && hd_seated(arena) == 1);
	s = me();
	RULE(s && hd_me(arena) == s && hd_sit(arena, "again") == s && !strcmp(s->role, "again"));
}

static void evidence_stays_while_there_is_room(void)
{
	begin(); // seats 1 to 4; we have 1
	finish(start(die_with_m));
	uint32_t evidence = m->owner & HD_SEAT_MASK;
	finish(start(note_id));
	RULE((ids[0] & HD_SEAT_MASK) != evidence);
	finish(start(note_id)); // three seats are of the dead now, one of them holds something
	for (int i = 0; i < 3; i++) {
		finish(start(note_id));
		RULE((ids[0] & HD_SEAT_MASK) != evidence);
	}
	RULE(hd_find_held(hd_seat_of(arena, evidence), hd_offset(arena, m)) != NULL);
}

static void a_wait_that_was_interrupted_is_as_it_was(void)
{
	begin();
	hd_wait_begin(s, HD_SLEEPING, 77, 5, 99);
	s->wait_guard = 11, s->predicate_op = HD_EQ, s->predicate_address = 12, s->predicate_value = 13, s->wait_message = 14, s->wait_intent = 15, s->predicate_size = 8;
	struct hd_wait before = hd_wait_save(s);
	hd_wait_restore(s, &before);
	RULE(s->wait_seq == before.seq); // nothing has waited
	hd_wait_begin(s, HD_IO, 0, 0, 0), hd_wait_end(s);
	RULE(s->activity == HD_RUNNING && s->wait_lock == 0 && s->predicate_op == 0 && s->wait_guard == 0 && s->wait_message == 0 && s->wait_seq == before.seq + 2);
	hd_wait_restore(s, &before);
	struct hd_wait after = hd_wait_save(s);
	RULE(after.seq != before.seq);
	RULE(!memcmp(&after, &before, offsetof(struct hd_wait, seq)));
	hd_wait_end(s);
}

int main(void)
{
	ids = shared_memory(64);
	a_mutex_counts_and_refuses();
	a_failed_try_is_counted_once();
	the_table_of_holds_is_finite();
	a_mask_forgets_only_what_was_given();
	who_queues_is_not_overtaken();
	who_gives_up_queues_no_more();
	the_estate_is_settled();
	an_id_is_used_once();
	a_seat_is_not_lost_when_a_dead_one_had_it();
	alive_is_who_is_published_and_has_life();
	a_thread_gives_its_seat_back_unless_it_holds();
	evidence_stays_while_there_is_room();
	a_wait_that_was_interrupted_is_as_it_was();
	rules_of_the_rwlock();
	rules_of_what_comes_between();
	rules_of_the_rest();
	printf("rules: %d facts, %d wrong\n", asked, wrong);
	return wrong != 0;
}
