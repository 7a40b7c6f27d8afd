// Rules of channels, of the order graph and of reports.
#include "order.h"
#include "rules.h"

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

static void wakeup_one_goes_round(void)
{
	struct hd_seat *another;
	begin();
	pid_t pid = start_another(&another);
	c->asleep[0] = 3;
	hd_channel_wake(arena, s, c, 0, false);
	RULE(another->number == 2 && c->asleep[0] == 2 && c->turn == 1);
	c->asleep[0] = 3;
	hd_channel_wake(arena, s, c, 0, false);
	RULE(c->asleep[0] == 1 && c->turn == 2);
	hd_channel_wake(arena, s, c, 0, false);
	RULE(c->asleep[0] == 0 && c->turn == 1);
	end(pid);
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

static bool shown(uint32_t from, uint32_t to)
{
	const _Atomic uint64_t *order = hd_at(arena, arena->order);
	return order[to] >> from & 1;
}

static void begin_in_any_order(void) // two classes that say nothing of order
{
	begin();
	struct hd_class *classes = hd_at(arena, arena->classes);
	classes[class_a].flags = classes[class_b].flags = 0;
}

static void what_is_only_asked_for_is_not_held(void)
{
	begin_in_any_order();
	struct hd_mutex *m3 = another("c", 0);
	try_m(true);
	struct hd_held *intent = hd_push(arena, s, hd_offset(arena, m2), class_b, HD_MUTEX | HD_INTENT, 0);
	hd_check_order(arena, s, hd_offset(arena, m3), m3->class_id, 0);
	RULE(shown(class_a, m3->class_id) && !shown(class_b, m3->class_id));
	hd_pop(s, intent), hd_mutex_release(arena, s, m);
}

static struct hd_mutex *gate, *inner, *outer; // the other thread takes `inner` first
static bool under_the_gate, reading, with_limit;
static void take_gate(void) { reading ? enter(HD_READ, true, 0) : acquire(gate, 0); }
static void give_gate(void) { reading ? hd_rw_release(arena, me(), l) : hd_mutex_release(arena, me(), gate); }

static void the_other_way_round(void)
{
	if (under_the_gate)
		take_gate();
	acquire(inner, 0);
	if (hd_mutex_try(arena, me(), outer, 0, with_limit ? HD_TIMED : HD_UNTIMED) == HD_OK)
		hd_mutex_release(arena, me(), outer);
	hd_mutex_release(arena, me(), inner);
	if (under_the_gate)
		give_gate();
	hd_leave_seat(arena);
}

// How many reports there are when two threads take a pair in both orders.
static uint32_t both_ways(bool gated, bool read_only, bool timed)
{
	begin_in_any_order();
	gate = another("gate", 0), outer = another("outer", 0), inner = another("inner", 0);
	reading = read_only, with_limit = timed, under_the_gate = gated || read_only;
	if (under_the_gate)
		take_gate();
	RULE(edge(outer, inner) == HD_OK && arena->report_count == 0);
	if (under_the_gate)
		give_gate();
	RULE(finish(start(the_other_way_round)) == 0);
	return arena->report_count;
}

static void two_threads_and_both_orders(void)
{
	RULE(both_ways(false, false, false) == 1 && ((struct hd_report *)hd_at(arena, arena->reports))->kind == HD_REPORT_ORDER);
	RULE(both_ways(true, false, false) == 0); // never both at once
	RULE(both_ways(false, true, false) == 1); // both read it: no gate
	RULE(both_ways(false, false, true) == 0); // a wait with a limit holds no thread for ever
}

// One thread alone cannot meet itself: both orders are a note, until another thread takes one of them.
static void a_cycle_through_others_is_found(void)
{
	begin_in_any_order();
	const struct hd_report *first = hd_at(arena, arena->reports);
	struct hd_mutex *m3 = another("c", 0);
	RULE(edge(m, m2) == HD_OK && edge(m2, m3) == HD_OK && arena->report_count == 0);
	RULE(shown(class_a, class_b) && !shown(class_b, class_a) && shown(class_b, m3->class_id));
	RULE(edge(m, m2) == HD_OK && hd_class_edge(arena, class_a, class_b)->count == 1); // looked at once
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

static bool refused(uint32_t *damaged) // one word of the segment
{
	uint32_t was = *damaged;
	*damaged = was + 64;
	bool out = hd_check(arena, arena_size) != HD_OK;
	*damaged = was;
	return out && hd_check(arena, arena_size) == HD_OK;
}

static void what_is_attached_is_looked_at(void)
{
	begin();
	struct hd_seat *seat = hd_seat_of(arena, 3);
	RULE(refused(&seat->number) && refused((uint32_t *)&seat->life.__data.__kind) && refused(&arena->seat_count) && refused(&arena->version));
	RULE(refused((uint32_t *)&arena->seats) && refused((uint32_t *)&arena->reports) && refused((uint32_t *)&arena->instances));
	RULE(refused((uint32_t *)arena->magic) && hd_check(arena, arena_size - 1) != HD_OK && hd_check(arena, 64) != HD_OK);
}

static void a_report_is_whole_and_its_row_is_used_again(void)
{
	begin();
	struct hd_report *table = hd_at(arena, arena->reports);
	table[0].acked = 1; // of one that was seen
	for (uint32_t i = 0; i < HD_REPORTS + 3; i++)
		hd_report(arena, s, HD_REPORT_PANIC, hd_offset(arena, m), hd_offset(arena, l), 1, 2, i ? "next" : "first");
	RULE(arena->report_count == HD_REPORTS + 3 && reported(HD_REPORTS) && reported(3) && !reported(0));
	RULE(!strcmp(table[0].text, "next") && table[0].seat == s->number && table[0].class_a == class_a && table[0].class_b == class_b && table[0].acked == 0);
	RULE(table[0].site_a == 1 && table[0].site_b == 2 && table[0].lock_b == hd_offset(arena, l) && table[0].kind == HD_REPORT_PANIC);
}

void rules_of_the_rest(void)
{
	being_off_the_list_is_being_woken();
	wakeup_one_goes_round();
	what_is_only_asked_for_is_not_held();
	two_threads_and_both_orders();
	a_cycle_through_others_is_found();
	a_rank_counts_at_once();
	a_report_is_whole_and_its_row_is_used_again();
	what_is_attached_is_looked_at();
}
