// killstep: operations of seats, channels, reports, the order graph and the tables of names.
#include "killstep.h"

#include <string.h>
#include <unistd.h>

// --- seats
static void no_seat(void) {}
static void sit(struct hd_seat *s) { (void)s, hd_sit(arena, "child"); }
static void leave_seat(struct hd_seat *s) { (void)s, hd_leave_seat(arena); }

static void hold_everything(void)
{
	acquire(m, 100), acquire(m2, 100), enter(HD_WRITE, false, 100);
	hd_channel_register(arena, me(), c, c->seq);
}

static void let_it_die_with_everything(void) { finish(start(hold_everything)); }
static void hold_all_locks(void) { acquire(m, 100), acquire(m2, 100), enter(HD_WRITE, false, 100); }
static void exit_at_once(struct hd_seat *s) { (void)s, _exit(0); }

static void stay_seated(void)
{
	me();
	for (;;)
		pause();
}

static pid_t awaited;
static bool it_sits(void) { return seat_of_process(awaited) != NULL; }

static pid_t start_seated(void)
{
	awaited = start(stay_seated);
	await(it_sits, "another one sits");
	return awaited;
}

static void only_the_seat_of_one_that_held_everything(void)
{
	let_it_die_with_everything();
	other = start_seated();
	another = start_seated();
}

static bool their_seats_are_free(void) // for the newcomers
{
	end(other), end(another);
	other = another = 0;
	return true;
}

// --- channels
static void sleep_until_woken(void)
{
	hd_channel_register(arena, me(), c, c->seq);
	record->go = 1;
	while (hd_channel_wait(arena, me(), c, 0) == HD_INTERRUPTED)
		;
	hd_channel_unregister(arena, me(), c);
	record->woken = 1;
}

static void start_sleeper(void)
{
	record->go = 0;
	other = start(sleep_until_woken);
	await_word(&record->go, 1, "a sleeper is registered");
}

static bool it_woke(void) { return record->woken; }

// What the victim did not do, the next wakeup of the same kind does: never more than one.
static bool woken_with(bool all)
{
	if (!record->woken)
		hd_channel_wake(arena, me(), c, 0, all);
	await(it_woke, "the sleeper is awake");
	end(other);
	other = 0;
	return true;
}

static bool woken_with_all(void) { return woken_with(true); }
static bool woken_with_one(void) { return woken_with(false); }
static void wake_all(struct hd_seat *s) { hd_channel_wake(arena, s, c, 0, true); }
static void wake_one(struct hd_seat *s) { hd_channel_wake(arena, s, c, 0, false); }

static void sleep_3_ms(struct hd_seat *s)
{
	uint64_t deadline = in_ms(3);
	hd_channel_register(arena, s, c, c->seq);
	while (hd_channel_wait(arena, s, c, deadline) == HD_INTERRUPTED)
		;
	hd_channel_unregister(arena, s, c);
}

// The killed sleeper must not swallow a wakeup_one that is meant for a living one.
static bool takes_no_wakeup_with_it(void)
{
	start_sleeper();
	hd_channel_wake(arena, me(), c, 0, false);
	await(it_woke, "wakeup_one has passed the dead sleeper over");
	end(other);
	other = 0;
	return true;
}

// --- reports and order
static void report(struct hd_seat *s) { hd_report(arena, s, HD_REPORT_PANIC, 0, 0, 0, 0, "boo"); }

static bool a_later_report_is_found(void)
{
	struct hd_report *table = hd_at(arena, arena->reports);
	hd_report(arena, me(), HD_REPORT_PANIC, 0, 0, 0, 0, "later");
	for (uint32_t i = 0; i < arena->report_count; i++) {
		if (reported(i) && !strcmp(table[i].text, "later"))
			return true;
		if (reported(i) && strcmp(table[i].text, "boo"))
			return false; // complete, and something else than was said
	}
	return false;
}

static void all_rows_are_used(void)
{
	for (int i = 0; i < HD_REPORTS; i++)
		hd_report(arena, me(), HD_REPORT_PANIC, 0, 0, 0, 0, "old");
}

// A row says what it said, or what it says now, or that it is being written.
static bool an_old_row_is_whole_or_gone(void)
{
	const struct hd_report *row = hd_at(arena, arena->reports);
	if ((reported(0) && strcmp(row->text, "old")) || (reported(HD_REPORTS) && strcmp(row->text, "boo")))
		return false;
	hd_report(arena, me(), HD_REPORT_PANIC, 0, 0, 0, 0, "later");
	uint32_t last = arena->report_count - 1;
	return reported(last) && !strcmp(row[last % HD_REPORTS].text, "later");
}

static void order_counts(void)
{
	struct hd_class *classes = hd_at(arena, arena->classes);
	classes[class_a].flags = classes[class_b].flags = 0;
}

static void m_before_m2(void)
{
	order_counts();
	acquire(m, 100), acquire(m2, 100);
	hd_mutex_release(arena, me(), m2), hd_mutex_release(arena, me(), m);
}

static void m2_before_m(struct hd_seat *s) { hd_mutex_try(arena, s, m2, 0, true), hd_mutex_try(arena, s, m, 0, true); }

// Known and told by no thread is wrong: then the next one that takes the pair this way says nothing either.
static void take_it_this_way_too(void)
{
	struct hd_held *h = hd_push(arena, me(), hd_offset(arena, m2), class_b, HD_MUTEX, 0); // as if it had it
	me()->held_mask |= 1ull << class_b;
	hd_check_order(arena, me(), hd_offset(arena, m), class_a, 0);
	hd_pop(me(), h);
	hd_leave_seat(arena);
}

static bool known_means_reported(void)
{
	_Atomic uint64_t *order = hd_at(arena, arena->order);
	if ((order[class_a] >> class_b & 1) && !reported_any())
		return false;
	return reported_any() || (finish(start(take_it_this_way_too)) == 0 && reported_any());
}

// With a rank two of one class may not be held at once: told at the first time, and known afterwards.
static void one_class_has_a_rank(void)
{
	struct hd_class *classes = hd_at(arena, arena->classes);
	order_counts();
	classes[class_a].rank = 5;
}

static void same_class_edge(struct hd_seat *s)
{
	hd_mutex_try(arena, s, m, 5, true);
	hd_check_order(arena, s, hd_offset(arena, m2), class_a, 6);
}

static bool known_pair_means_reported(void)
{
	struct hd_edge *e = (struct hd_edge *)hd_at(arena, arena->edges) + class_a * HD_MAX_CLASSES + class_a;
	return !(e->from_site == 5 && e->to_site == 6) || reported_any();
}

// Two threads read l and l2 in both orders: no harm until both are written.  The main process writes
// l2, the victim l, for the first time: its search goes through all that is known.
static struct hd_rwlock *l2;

static void read_both(struct hd_rwlock *outer, struct hd_rwlock *inner)
{
	enter_lock(outer, HD_READ, false, 100), enter_lock(inner, HD_READ, false, 100);
	hd_rw_release(arena, me(), inner), hd_rw_release(arena, me(), outer);
	hd_leave_seat(arena);
}

static void read_this_way(void) { read_both(l, l2); }
static void read_that_way(void) { read_both(l2, l); }

static void both_orders_are_read(void)
{
	order_counts();
	hd_rw_init(l2 = hd_at(arena, hd_allocate(arena, sizeof *l2, 64)), class_a, 4);
	finish(start(read_this_way)), finish(start(read_that_way));
	enter_lock(l2, HD_WRITE, false, 0), hd_rw_release(arena, me(), l2);
}

static void first_write(struct hd_seat *s) { hd_rw_try(arena, s, l, HD_WRITE, false, 0, HD_UNTIMED); }
static void write_it_too(void) { first_write(me()), hd_leave_seat(arena); }
static bool the_next_writer_tells(void) { return reported_any() || (finish(start(write_it_too)) == 0 && reported_any()); }

static void sleep_holding(struct hd_seat *s)
{
	hd_mutex_try(arena, s, m, 0, true);
	hd_check_sleep(arena, s, 0, 0);
}

// --- tables of names: what the next one asks for is whole, and the same when it is asked for again
static void declare(struct hd_seat *s) { (void)s, hd_declare_class(arena, "declared", 7, HD_MAY_SLEEP); }

static bool class_is_whole(void)
{
	struct hd_class *classes = hd_at(arena, arena->classes);
	int id = hd_declare_class(arena, "declared", 7, HD_MAY_SLEEP);
	return id > 0 && !strcmp(classes[id].name, "declared") && classes[id].rank == 7 && classes[id].flags == HD_MAY_SLEEP &&
	       hd_declare_class(arena, "declared", 7, HD_MAY_SLEEP) == id;
}

static void intern_site(struct hd_seat *s) { (void)s, hd_intern_site(arena, "/a/b.py", 12, "f"); }

static bool site_is_whole(void)
{
	struct hd_site *sites = hd_at(arena, arena->sites);
	uint32_t id = hd_intern_site(arena, "/a/b.py", 12, "f");
	return id && !strcmp(sites[id].file, "/a/b.py") && !strcmp(sites[id].function, "f") && sites[id].line == 12 &&
	       hd_intern_site(arena, "/a/b.py", 12, "f") == id;
}

static void intern_name(struct hd_seat *s) { (void)s, hd_intern_name(arena, "pageout"); }

static bool name_is_whole(void)
{
	struct hd_name *names = hd_at(arena, arena->names);
	uint32_t id = hd_intern_name(arena, "pageout");
	return id && !strcmp(names[id].text, "pageout") && hd_intern_name(arena, "pageout") == id;
}

static void claim(struct hd_seat *s) { hd_claim(s, 64, 1), hd_claim(s, 128, 1), hd_unclaim(s, 64), hd_unclaim(s, 128); }
static void change(struct hd_seat *s) { hd_changed(s, 64, 1, 2); }

const struct operation other_operations[] = {
	{"sit on a free seat", .before = no_seat, .run = sit},
	{"sit on the seat of a dead one that held everything", .prepare = only_the_seat_of_one_that_held_everything, .before = no_seat, .run = sit, .after = their_seats_are_free, .told = ON_M | ON_M2 | ON_RW},
	{"leave a seat", .run = leave_seat},
	{"exit with everything held", .before = hold_all_locks, .run = exit_at_once, .told = ON_M | ON_M2 | ON_RW},
	{"channel: sleep 3 ms", .run = sleep_3_ms, .after = takes_no_wakeup_with_it},
	{"channel: wakeup of a sleeper", .prepare = start_sleeper, .run = wake_all, .after = woken_with_all},
	{"channel: wakeup_one of a sleeper", .prepare = start_sleeper, .run = wake_one, .after = woken_with_one},
	{"report", .run = report, .after = a_later_report_is_found},
	{"report over an old one", .prepare = all_rows_are_used, .run = report, .after = an_old_row_is_whole_or_gone},
	{"order: an edge against the graph", .prepare = m_before_m2, .run = m2_before_m, .after = known_means_reported},
	{"order: two of one class", .prepare = one_class_has_a_rank, .run = same_class_edge, .after = known_pair_means_reported},
	{"order: asleep with a lock held", .run = sleep_holding},
	{"declare a class", .run = declare, .after = class_is_whole},
	{"intern a site", .run = intern_site, .after = site_is_whole},
	{"intern a name", .run = intern_name, .after = name_is_whole},
	{"claims", .run = claim},
	{"a change is noted", .run = change},
	{"order: the first write of what is read both ways", .prepare = both_orders_are_read, .run = first_write, .after = the_next_writer_tells, .first_write = true},
};
const int other_operation_count = sizeof other_operations / sizeof *other_operations;
