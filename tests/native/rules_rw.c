// Rules of the read/write lock.
#include "rules.h"
#include "rwlock_cells.h"

#include <signal.h>
#include <sys/wait.h>

static void die_writing(void) { enter(HD_WRITE, false, 0); }
static void die_reading(void) { enter(HD_READ, false, 0); }

static void the_rwlock_refuses_what_would_wait_for_itself(void)
{
	begin();
	RULE(try_rw(HD_READ, false) == HD_OK && try_rw(HD_READ, false) == HD_SELF_DEADLOCK && try_rw(HD_WRITE, false) == HD_SELF_DEADLOCK);
	RULE(try_rw(HD_READ, true) == HD_OK && s->depth == 2);
	RULE(hd_rw_upgrade(arena, s, l, 0, true) == HD_SELF_DEADLOCK && l->upgrader == 0);
	RULE(hd_rw_release(arena, s, l) == HD_OK && l->cells[0] != 0); // still reads once
	RULE(hd_rw_downgrade(arena, s, l) == HD_NOT_OWNER && hd_rw_recover(s, arena, l) == HD_NOT_OWNER);
	l->upgrader = hd_seat_of(arena, 2)->number | 1u << 9; // of a seat where no thread sits: dead
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

static void die_upgraded(void) { enter(HD_READ, false, 0), hd_rw_upgrade(arena, me(), l, 0, true); }
static void die_reading_and_writing_nothing(void) { enter(HD_READ, false, 0), l->upgrader = me()->id; } // it only claimed
static void sit_and_go(void) { me(); }

static void the_estate_keeps_the_doubt(void)
{
	for (int inside = 0; inside < 2; inside++) {
		fresh_arena(2), s = me();
		finish(start(inside ? die_upgraded : die_reading_and_writing_nothing));
		finish(start(sit_and_go)); // on its seat
		RULE(l->upgrader == (inside ? HD_SUSPECT : 0) && l->cells[0] == 0);
		RULE(try_rw(HD_WRITE, false) == (inside ? HD_OWNER_DIED : HD_OK));
		hd_rw_recover(s, arena, l), hd_rw_release(arena, s, l);
	}
}

static bool stays_out(uint8_t kind, bool pass) // tried, and waited for in vain: nothing of it is left
{
	bool out = hd_rw_try(arena, s, l, kind, pass, 0, HD_TRY) == HD_BUSY && cell(l, s->number) == HD_NOT_READING;
	return out && enter(kind, pass, 2) == HD_TIMED_OUT && cell(l, s->number) == HD_NOT_READING && !mine(s, &l->writer) && s->depth == 0;
}

static void a_writer_is_alone(void)
{
	begin();
	RULE(try_rw(HD_WRITE, false) == HD_OK && l->writer == (s->id | HD_GRANTED | HD_CLOSED) && hd_rw_release(arena, s, l) == HD_OK);
	pid_t pid = start(keep_both);
	await_activity(pid, HD_IDLE);
	RULE(stays_out(HD_READ, false) && stays_out(HD_READ, true) && stays_out(HD_WRITE, false));
	RULE((l->writer & HD_ID_MASK) == seat_of_process(pid)->id);
	end(pid);
}

static void read_and_stay(void)
{
	enter(HD_READ, false, 0);
	hd_wait_begin(me(), HD_IDLE, 0, 0, 0);
	for (;;)
		pause();
}

static void a_claim_ends_with_the_wait(void)
{
	begin();
	arena->slice_ns = 1000000;
	pid_t pid = start(read_and_stay);
	await_activity(pid, HD_IDLE);
	RULE(stays_out(HD_WRITE, false) && l->writer == 0 && try_rw(HD_READ, false) == HD_OK);
	RULE(hd_rw_upgrade(arena, s, l, 0, true) == HD_INTERRUPTED && mine(s, &l->upgrader) && !(l->upgrader & HD_CLOSED));
	hd_rw_cancel(arena, s, l);
	RULE(l->upgrader == 0 && cell(l, s->number) == HD_READING && hd_rw_release(arena, s, l) == HD_OK && s->depth == 0);
	end(pid);
}

static void an_upgrader_goes_first(void)
{
	struct hd_seat *another;
	begin();
	arena->slice_ns = 1000000;
	pid_t pid = start_another(&another);
	l->upgrader = another->id;
	RULE(hd_rw_try(arena, s, l, HD_READ, true, 0, HD_TRY) == HD_OK && hd_rw_upgrade(arena, s, l, 0, true) == HD_BUSY && l->upgrader == another->id);
	hd_rw_release(arena, s, l);
	l->upgrader = another->id | HD_GRANTED | HD_CLOSED; // its cell is not to be seen yet
	RULE(stays_out(HD_WRITE, false) && l->upgrader == (another->id | HD_GRANTED | HD_CLOSED) && l->writer == 0);
	l->upgrader = 0;
	RULE(try_rw(HD_READ, false) == HD_OK);
	l->writer = another->id | HD_GRANTED; // on its way out: it may be letting readers in
	RULE(hd_rw_upgrade(arena, s, l, 0, true) == HD_INTERRUPTED);
	hd_rw_cancel(arena, s, l);
	l->writer = 0;
	RULE(hd_rw_release(arena, s, l) == HD_OK && l->upgrader == 0);
	end(pid);
}

static void no_reader_passes_the_doubt(void)
{
	begin();
	for (int k = 0; k < 2; k++) {
		atomic_store(k ? &l->upgrader : &l->writer, HD_SUSPECT);
		RULE(hd_rw_try(arena, s, l, HD_READ, true, 0, HD_TRY) == HD_OWNER_DIED && hd_find_held(s, hd_offset(arena, l))->kind == HD_WRITE);
		RULE(l->upgrader == 0 && hd_rw_recover(s, arena, l) == HD_OK && hd_rw_release(arena, s, l) == HD_OK && l->writer == 0);
	}
}

// Before the word is free, so that no other writer comes first.  The reader is stopped: it did not do it.
static uint32_t reader;
static void read_and_leave(void) { repair_and_leave(enter(HD_READ, false, 0)); }
static bool it_wants(void) { return cell(l, reader) == HD_WANTS; }

static void a_writer_lets_in_who_waits(void)
{
	for (int down = 0; down < 2; down++) {
		int status;
		begin();
		RULE(try_rw(HD_WRITE, false) == HD_OK);
		pid_t pid = start(read_and_leave);
		await_activity(pid, HD_WAIT_READ);
		reader = seat_of_process(pid)->number;
		await(it_wants, "the reader has said that it wants");
		kill(pid, SIGSTOP);
		RULE(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
		RULE((down ? hd_rw_downgrade(arena, s, l) : hd_rw_release(arena, s, l)) == HD_OK && cell(l, reader) == HD_READING);
		RULE(cell(l, s->number) == (down ? HD_READING : HD_NOT_READING));
		kill(pid, SIGCONT);
		RULE(finish(pid) == 0 && (!down || hd_rw_release(arena, s, l) == HD_OK));
	}
}

void rules_of_the_rwlock(void)
{
	the_estate_keeps_the_doubt();
	a_writer_is_alone();
	a_claim_ends_with_the_wait();
	an_upgrader_goes_first();
	no_reader_passes_the_doubt();
	a_writer_lets_in_who_waits();
	the_rwlock_refuses_what_would_wait_for_itself();
	who_is_told_repairs_or_breaks_it();
	a_claimer_that_died_is_cleared_away();
	a_claim_that_is_given_up_keeps_the_doubt();
}
