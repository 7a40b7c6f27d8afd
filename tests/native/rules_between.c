// What another may do between two instructions of ours.  The other is a signal handler here.  On x86-64 the
// processor traps after every instruction, and the other acts after the first one at which it could, after the
// second, ... to the last.  Elsewhere a timer sends a signal again and again, and it comes between most of them.
#include "order.h"
#include "rules.h"
#include "rwlock_cells.h"

#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>

static bool (*other_can)(void);
static void (*other_acts)(void);
static volatile int came;

#if defined(__x86_64__)
#define TRAP_FLAG 0x100
static volatile int acts_at; // after so many instructions at which it can

static void comes(int unused, siginfo_t *info, void *context)
{
	(void)unused, (void)info;
	if (!other_can() || ++came < acts_at)
		return;
	other_acts();
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

static bool acted_within(void (*round)(void)) // false: it was over before
{
	came = 0;
	__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::: "memory", "cc");
	round();
	bool acted = came >= acts_at;
	__asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andq $-0x101, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::: "memory", "cc");
	return acted;
}

static void after_every_instruction(void (*round)(void), bool (*can)(void), void (*acts)(void))
{
	struct sigaction action = {.sa_sigaction = comes, .sa_flags = SA_SIGINFO};
	other_can = can;
	other_acts = acts;
	sigaction(SIGTRAP, &action, NULL);
	for (acts_at = 1; acted_within(round); acts_at++)
		;
}
#else
#define ENOUGH 1500 // signals.  Fewer are no failure: a machine that is that slow asks less
static void comes(int unused)
{
	(void)unused;
	came++;
	if (other_can())
		other_acts();
}

static void after_every_instruction(void (*round)(void), bool (*can)(void), void (*acts)(void))
{
	struct sigaction action = {.sa_handler = comes};
	struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
	other_can = can;
	other_acts = acts;
	came = 0;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	for (uint64_t until = in_ms(GATE_S * 1000); came < ENOUGH && hd_precise_now() < until;)
		round();
	setitimer(ITIMER_REAL, &never, NULL);
}
#endif

static struct hd_seat *other_seat;
static int missed;

static bool acted; // in this round

static bool we_read(void) { return !acted && cell(l, s->number) == HD_READING; }

// --- a claimer moves the doubt of a dead upgrader into its own word; a reader passes by
static void doubt_moves(void)
{
	acted = true;
	atomic_fetch_or(&l->writer, HD_SUSPECT);
	atomic_store(&l->upgrader, 0);
}

static void reader_passes(void)
{
	l->writer = other_seat->id;
	l->upgrader = HD_SUSPECT;
	acted = false;
	missed += hd_rw_try(arena, s, l, HD_READ, true, 0, HD_TRY) != HD_BUSY;
	while (hd_find_held(s, hd_offset(arena, l)))
		hd_rw_release(arena, s, l);
}

// --- a claimer looks while we say READING for a moment, and sleeps on what `drain` is then
static uint32_t drain;
static void claimer_looks(void) { acted = true, drain = l->drain; }

static void reader_is_kept_out(void)
{
	l->writer = other_seat->id;
	acted = false;
	if (hd_rw_wait(arena, s, l, HD_READ, false, 0, 0, true) == HD_INTERRUPTED)
		missed += acted && cell(l, s->number) == HD_WANTS && l->drain == drain;
	acted = true;
	hd_rw_cancel(arena, s, l);
}

// --- a reader that finds the writer still there says WANTS, and sleeps on what `phase` is then
static uint32_t phase;
static bool word_is_ours(void) { return !acted && (l->writer & HD_ID_MASK) == s->id; }

static void reader_comes(void)
{
	acted = true, phase = l->phase;
	atomic_fetch_or(&l->cells[0], (uint64_t)HD_WANTS << 2 * (other_seat->number - 1));
}

static void writer_gives(void)
{
	l->cells[0] = 0;
	l->writer = s->id | HD_GRANTED | HD_CLOSED;
	acted = false;
	hd_rw_give_writer(arena, l, true);
	missed += acted && l->phase == phase; // no thread has called it
	missed += acted && l->cells[0] == 0;
}

// --- who takes the seat of a dead one has the same number, as it happens; the old id is dead all the same
static struct hd_seat *dead_seat;
static uint32_t old_id;
static void die_holding(void) { acquire(m, 0); }
static void sit_down(void) { hd_sit(arena, "sits"); }
static void nothing(void) {}

static bool old_one_is_alive(void) // looks at every instruction, and never acts
{
	if (dead_seat->live == 1)
		missed += !hd_id_dead(arena, old_id);
	return false;
}

static void an_old_id_stays_dead(void)
{
	fresh_arena(2);
	me();
	finish(start(die_holding));
	old_id = m->owner;
	dead_seat = hd_seat_of(arena, old_id);
	hd_leave_seat(arena);
	pid_t pid = start_another(&other_seat);
	dead_seat->tid = (uint32_t)gettid();
	missed = 0;
	after_every_instruction(sit_down, old_one_is_alive, nothing);
	RULE((s = hd_me(arena)) == dead_seat && !missed && m->owner == HD_SUSPECT);
	repair_and_release(m, acquire(m, 0));
	end(pid);
}

// --- from writing to reading without a moment in between in which another could write
static bool let_go; // look at no more
static bool neither(void)
{
	missed += !let_go && !(l->writer & HD_ID_MASK) && !(l->upgrader & HD_ID_MASK) && cell(l, s->number) != HD_READING;
	return false;
}

static void downgrade_it(void)
{
	hd_rw_downgrade(arena, s, l);
	let_go = true;
}

static void a_downgrade_lets_go_at_no_moment(void)
{
	for (int upgraded = 0; upgraded < 2; upgraded++) {
		begin();
		RULE(try_rw(upgraded ? HD_READ : HD_WRITE, false) == HD_OK && (!upgraded || hd_rw_upgrade(arena, s, l, 0, true) == HD_OK));
		missed = let_go = 0;
		after_every_instruction(downgrade_it, neither, nothing);
		RULE(!missed && cell(l, s->number) == HD_READING && hd_rw_release(arena, s, l) == HD_OK);
	}
}

// --- a wakeup comes between the steps of one who is about to sleep
static bool decided;
static bool not_yet(void) { return decided && !acted; }
static void all_are_woken(void) { acted = true, hd_channel_wake(arena, other_seat, c, 0, true); }

static void register_it(void)
{
	uint32_t intent = c->seq;
	acted = false, decided = true;
	enum hd_status status = hd_channel_register(arena, s, c, intent);
	decided = false;
	missed += acted && status == HD_OK && (c->asleep[0] & 1); // it would sleep, and has not been woken
	hd_channel_unregister(arena, s, c);
}

#if defined(__x86_64__)
static void tick(int unused, siginfo_t *info, void *context)
{
	(void)unused, (void)info;
	if (((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] != -EINTR || !decided)
		return; // not in its sleep
	if (acted)
		missed++; // asleep although it has been woken
	else
		all_are_woken(); // no instruction was left to come before
}

static void sleep_on_it(void) // for a minute, if the wakeup is lost
{
	hd_channel_register(arena, s, c, c->seq);
	acted = false, decided = true;
	while (hd_channel_wait(arena, s, c, 0) == HD_INTERRUPTED) // a tick ends a sleep
		;
	decided = false;
	hd_channel_unregister(arena, s, c);
}

static void a_wakeup_comes_before_the_sleep(void)
{
	struct sigaction ticks = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO};
	struct itimerval often = {{0, 200000}, {0, 200000}}, never = {{0, 0}, {0, 0}};
	begin();
	pid_t pid = start_another(&other_seat);
	arena->slice_ns = HD_SLICE_MAX_NS;
	missed = 0;
	sigaction(SIGALRM, &ticks, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	after_every_instruction(sleep_on_it, not_yet, all_are_woken);
	setitimer(ITIMER_REAL, &never, NULL);
	RULE(!missed);
	end(pid);
}
#else
static void a_wakeup_comes_before_the_sleep(void) {}
#endif

// --- the other takes a pair the other way round while we ask for the first time: one of both reports
static bool asking;
static bool it_can_ask(void) { return asking && !acted; }
static void it_asks(void) { acted = true, hd_check_order(arena, other_seat, hd_offset(arena, m), class_a, 0); }

static void forget(struct hd_seat *seat)
{
	seat->known[class_a] = seat->known[class_b] = 0;
	memset(seat->checked, 0, sizeof seat->checked);
}

static void we_ask(void)
{
	_Atomic uint64_t *order = hd_at(arena, arena->order), *tried = hd_at(arena, arena->tried);
	struct hd_edge *there = hd_class_edge(arena, class_a, class_b), *back = hd_class_edge(arena, class_b, class_a);
	order[class_a] = order[class_b] = tried[class_a] = tried[class_b] = 0;
	there->kinds = back->kinds = there->flags = back->flags = 0;
	forget(s), forget(other_seat);
	uint32_t before = arena->report_count;
	acted = false, asking = true;
	hd_check_order(arena, s, hd_offset(arena, m2), class_b, 0);
	asking = false;
	missed += acted && arena->report_count == before;
}

static void both_orders_at_once_are_reported(void)
{
	begin();
	pid_t pid = start_another(&other_seat);
	struct hd_class *classes = hd_at(arena, arena->classes);
	classes[class_a].flags = classes[class_b].flags = 0;
	RULE(try_m(true) == HD_OK && hd_mutex_try(arena, other_seat, m2, 0, true) == HD_OK);
	missed = 0;
	after_every_instruction(we_ask, it_can_ask, it_asks);
	RULE(!missed && arena->report_count);
	RULE(hd_mutex_release(arena, s, m) == HD_OK && hd_mutex_release(arena, other_seat, m2) == HD_OK);
	end(pid);
}

void rules_of_what_comes_between(void)
{
	both_orders_at_once_are_reported();
	a_downgrade_lets_go_at_no_moment();
	a_wakeup_comes_before_the_sleep();
	an_old_id_stays_dead();
	static const struct { const char *wrong; void (*round)(void); bool (*can)(void); void (*acts)(void); } all[] = {
		{"a reader passes a doubt on its way", reader_passes, we_read, doubt_moves},
		{"a claimer sleeps on a reader that is gone", reader_is_kept_out, we_read, claimer_looks},
		{"a reader sleeps on a writer that is gone", writer_gives, word_is_ours, reader_comes},
		{"one sleeps past a wakeup that came while it registered", register_it, not_yet, all_are_woken},
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		begin();
		arena->slice_ns = 1;
		pid_t pid = start_another(&other_seat);
		missed = 0;
		after_every_instruction(all[i].round, all[i].can, all[i].acts);
		RULE(!missed || (puts(all[i].wrong), false));
		end(pid);
	}
}
