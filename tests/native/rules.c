// Small rules of the core, one after the other, in one process and without luck: what is
// refused, what is counted, what is remembered and for how long.
#include "prove.h"
#include "word.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int wrong, asked;
#define RULE(fact) (asked++, (fact) ? (void)0 : (void)(wrong++, printf("rules: wrong: %s (%s:%d)\n", #fact, __func__, __LINE__)))

static struct hd_seat *s;
static enum hd_status try_m(bool ordered) { return hd_mutex_try(arena, s, m, 0, ordered); }
static enum hd_status try_rw(uint8_t kind, bool pass) { return hd_rw_try(arena, s, l, kind, pass, 0, true); }
static void begin(void) { fresh_arena(4), s = me(); }
static void die_with_m(void) { acquire(m, 0); }
static void die_writing(void) { enter(HD_WRITE, false, 0); }
static _Atomic uint32_t *ids;
static void note_id(void) { ids[0] = me()->id; }
static void die_with_all(void) { acquire(m, 0), enter(HD_WRITE, false, 0), hd_channel_register(arena, me(), c, c->seq); }
static void die_reading(void) { enter(HD_READ, false, 0); }

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

static void the_rwlock_refuses_what_would_wait_for_itself(void)
{
	begin();
	RULE(try_rw(HD_READ, false) == HD_OK && try_rw(HD_READ, false) == HD_SELF_DEADLOCK && try_rw(HD_WRITE, false) == HD_SELF_DEADLOCK);
	RULE(try_rw(HD_READ, true) == HD_OK && s->depth == 2);
	RULE(hd_rw_upgrade(arena, s, l, 0, true) == HD_SELF_DEADLOCK && l->upgrader == 0);
	RULE(hd_rw_release(arena, s, l) == HD_OK && l->cells[0] != 0); // still reads once
	RULE(hd_rw_downgrade(arena, s, l) == HD_NOT_OWNER && hd_rw_recover(s, arena, l) == HD_NOT_OWNER);
	l->upgrader = hd_seat_of(arena, 2)->number | 1u << 9; // of a seat where nobody sits: dead
	RULE(hd_rw_upgrade(arena, s, l, 0, true) == HD_OK && (l->upgrader & HD_ID_MASK) == s->id);
	RULE((l->upgrader & (HD_GRANTED | HD_CLOSED)) == (HD_GRANTED | HD_CLOSED) && try_rw(HD_READ, true) == HD_SELF_DEADLOCK);
	RULE(hd_rw_downgrade(arena, s, l) == HD_OK && l->upgrader == 0 && hd_find_held(s, hd_offset(arena, l))->kind == HD_READ);
	RULE(hd_rw_release(arena, s, l) == HD_OK && l->cells[0] == 0 && hd_rw_release(arena, s, l) == HD_NOT_OWNER);
	RULE(try_rw(HD_WRITE, false) == HD_OK && hd_rw_upgrade(arena, s, l, 0, true) == HD_NOT_OWNER);
	RULE(hd_rw_release(arena, s, l) == HD_OK && l->writer == 0 && s->depth == 0);
}

static void who_is_told_repairs_or_breaks_it(void)
{
	begin();
	finish(start(die_writing));
	RULE(try_rw(HD_READ, false) == HD_OWNER_DIED && hd_find_held(s, hd_offset(arena, l))->kind == HD_WRITE); // alone
	RULE(hd_rw_downgrade(arena, s, l) == HD_OWNER_DIED);
	RULE(hd_rw_recover(s, arena, l) == HD_OK && hd_rw_downgrade(arena, s, l) == HD_OK && hd_rw_release(arena, s, l) == HD_OK);
	RULE(try_rw(HD_WRITE, false) == HD_OK && hd_rw_release(arena, s, l) == HD_OK && l->suspect == 0);
	finish(start(die_reading));
	RULE(try_rw(HD_WRITE, false) == HD_OK && hd_rw_release(arena, s, l) == HD_OK);
	finish(start(die_writing));
	RULE(try_rw(HD_WRITE, false) == HD_OWNER_DIED && hd_rw_release(arena, s, l) == HD_OK && l->suspect == 2);
	RULE(try_rw(HD_WRITE, false) == HD_BROKEN && l->writer == 0);
	RULE(try_rw(HD_READ, true) == HD_BROKEN);
	RULE(s->depth == 0);
	RULE(!(l->cells[0] >> 2 * (s->number - 1) & 3));
}

static void a_claimer_that_died_is_cleared_away(void)
{
	begin();
	l->writer = hd_seat_of(arena, 3)->number | 1u << 9; // claimed, not granted, by a dead one
	RULE(try_rw(HD_READ, false) == HD_OK && l->writer == 0 && hd_rw_release(arena, s, l) == HD_OK);
	l->upgrader = hd_seat_of(arena, 3)->number | 1u << 9 | HD_GRANTED | HD_CLOSED; // died inside
	RULE(try_rw(HD_READ, false) == HD_OWNER_DIED && hd_rw_recover(s, arena, l) == HD_OK && hd_rw_release(arena, s, l) == HD_OK && l->upgrader == 0);
}

// --- beside another that lives
static void live(void) { me(); for (;;) pause(); }
static void keep_both(void) { acquire(m, 0), enter(HD_WRITE, false, 0), hd_wait_begin(me(), HD_IDLE, 0, 0, 0), live(); }

static pid_t start_another(struct hd_seat **seat)
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

// A dead one's seat is another's now: what it held is in doubt, and names nobody.
static void the_estate_is_settled(void)
{
	fresh_arena(2), s = me();
	finish(start(die_with_all));
	uint32_t dead = m->owner;
	RULE((dead & HD_SEAT_MASK) == 2 && (l->writer & HD_ID_MASK) == dead && hd_seat_of(arena, dead)->held[1].lock);
	m->first = l->first = dead;
	finish(start(note_id));
	RULE((ids[0] & HD_SEAT_MASK) == 2 && ids[0] != dead);
	RULE(m->owner == HD_SUSPECT && l->writer == HD_SUSPECT && !m->first && !l->first && !l->cells[0] && !c->asleep[0]);
	RULE(!hd_seat_of(arena, 2)->held[0].lock && !hd_seat_of(arena, 2)->asleep_on[0]);
	RULE(try_m(true) == HD_OWNER_DIED && try_rw(HD_WRITE, false) == HD_OWNER_DIED);
	hd_mutex_recover(s, m), hd_rw_recover(s, arena, l);
	hd_mutex_release(arena, s, m), hd_rw_release(arena, s, l);
}

// A reader may say READING for a moment before it has looked; a claimer that gives up because
// of it must leave the doubt where it was.
static void a_claim_that_is_given_up_keeps_the_doubt(void)
{
	struct hd_seat *another;
	begin();
	pid_t pid = start_another(&another);
	l->writer = HD_SUSPECT;
	l->cells[0] = (uint64_t)HD_READING << 2 * (another->number - 1);
	RULE(enter(HD_WRITE, false, 5) == HD_TIMED_OUT && l->writer == HD_SUSPECT && s->depth == 0);
	l->cells[0] = 0;
	RULE(try_rw(HD_WRITE, false) == HD_OWNER_DIED && hd_rw_recover(s, arena, l) == HD_OK && hd_rw_release(arena, s, l) == HD_OK);
	end(pid);
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

// --- channels, order, reports
static void being_off_the_list_is_being_woken(void)
{
	begin();
	RULE(hd_channel_register(arena, s, c, c->seq) == HD_OK && (c->asleep[0] & 1) && s->asleep_on[0] == hd_offset(arena, c));
	RULE(hd_channel_wait(arena, s, c, hd_precise_now()) == HD_TIMED_OUT && !hd_channel_unregister(arena, s, c) && !c->asleep[0] && !s->asleep_on[0]);
	uint32_t intent = c->seq;
	hd_channel_wake(arena, s, c, 9, false);
	RULE(c->seq == intent + 1 && c->last_waker == s->number && c->last_site == 9 && c->last_wake);
	RULE(hd_channel_register(arena, s, c, intent) == HD_BUSY && !hd_channel_unregister(arena, s, c));
	for (int i = 0; i < HD_NESTED_SLEEPS; i++)
		RULE(hd_channel_register(arena, s, c, c->seq) == HD_OK);
	RULE(hd_channel_register(arena, s, c, c->seq) == HD_FULL);
	for (int i = 1; i < HD_NESTED_SLEEPS; i++) {
		hd_channel_unregister(arena, s, c);
		RULE(c->asleep[0] & 1); // the outer sleep needs it
	}
	uint32_t word = c->word;
	hd_channel_wake(arena, s, c, 0, true);
	RULE(!c->asleep[0] && c->word == word + 1 && hd_channel_wait(arena, s, c, 0) == HD_OK && hd_channel_unregister(arena, s, c));
}

static enum hd_status edge(struct hd_mutex *held, struct hd_mutex *wanted)
{
	hd_mutex_try(arena, s, held, 0, HD_UNTIMED);
	enum hd_status status = hd_check_order(arena, s, hd_offset(arena, wanted), wanted->class_id, 0);
	hd_mutex_release(arena, s, held);
	return status;
}

static struct hd_mutex *another(const char *name, uint32_t rank)
{
	struct hd_mutex *made = hd_at(arena, hd_allocate(arena, sizeof *made, 64));
	hd_mutex_init(made, (uint16_t)hd_declare_class(arena, name, rank, 0), 0);
	return made;
}

// One thread alone cannot meet itself: both orders are a note, until another thread takes one of them.
static void a_cycle_through_others_is_found(void)
{
	begin();
	struct hd_class *classes = hd_at(arena, arena->classes);
	const struct hd_report *first = hd_at(arena, arena->reports);
	classes[class_a].flags = classes[class_b].flags = 0;
	struct hd_mutex *m3 = another("c", 0);
	RULE(edge(m, m2) == HD_OK && edge(m2, m3) == HD_OK && arena->report_count == 0);
	edge(m3, m);
	RULE(arena->report_count == 1 && reported(0) && first->kind == HD_REPORT_ORDER_NOTE);
	edge(m3, m);
	RULE(arena->report_count == 1); // known by now
}

static void a_rank_counts_at_once(void)
{
	begin();
	struct hd_mutex *low = another("low", 5), *beside = another("low", 5), *high = another("high", 9);
	RULE(low->class_id == beside->class_id && low->class_id != high->class_id);
	RULE(edge(low, high) == HD_OK && arena->report_count == 0);
	RULE(edge(high, low) == HD_ORDER && arena->report_count == 1 && reported(0));
	hd_mutex_try(arena, s, low, 0, HD_UNTIMED);
	RULE(hd_check_order(arena, s, hd_offset(arena, beside), beside->class_id, 3) == HD_ORDER && arena->report_count == 2); // two of one class
	RULE(hd_check_order(arena, s, hd_offset(arena, beside), beside->class_id, 3) == HD_ORDER && arena->report_count == 2);
	RULE(hd_check_sleep(arena, s, hd_offset(arena, low), 0) == HD_OK && hd_check_sleep(arena, s, 0, 0) == HD_ORDER && arena->report_count == 3);
	hd_mutex_release(arena, s, low);
}

static void a_report_is_whole_and_its_row_is_used_again(void)
{
	begin();
	struct hd_report *table = hd_at(arena, arena->reports);
	for (uint32_t i = 0; i < HD_REPORTS + 3; i++)
		hd_report(arena, s, HD_REPORT_PANIC, hd_offset(arena, m), hd_offset(arena, l), 1, 2, i ? "next" : "first");
	RULE(arena->report_count == HD_REPORTS + 3 && reported(HD_REPORTS) && reported(3) && !reported(0));
	RULE(!strcmp(table[0].text, "next") && table[0].seat == s->number && table[0].class_a == class_a && table[0].class_b == class_b && table[0].acked == 0);
	RULE(table[0].site_a == 1 && table[0].site_b == 2 && table[0].lock_b == hd_offset(arena, l) && table[0].kind == HD_REPORT_PANIC);
}

int main(void)
{
	ids = shared_memory(64);
	a_mutex_counts_and_refuses();
	a_failed_try_is_counted_once();
	the_table_of_holds_is_finite();
	a_mask_forgets_only_what_was_given();
	the_rwlock_refuses_what_would_wait_for_itself();
	who_is_told_repairs_or_breaks_it();
	a_claimer_that_died_is_cleared_away();
	who_queues_is_not_overtaken();
	who_gives_up_queues_no_more();
	the_estate_is_settled();
	a_claim_that_is_given_up_keeps_the_doubt();
	an_id_is_used_once();
	a_thread_gives_its_seat_back_unless_it_holds();
	evidence_stays_while_there_is_room();
	a_wait_that_was_interrupted_is_as_it_was();
	being_off_the_list_is_being_woken();
	a_cycle_through_others_is_found();
	a_rank_counts_at_once();
	a_report_is_whole_and_its_row_is_used_again();
	printf("rules: %d facts, %d wrong\n", asked, wrong);
	return wrong != 0;
}
