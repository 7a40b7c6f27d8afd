// killstep: operations of the read/write lock.
#include "killstep.h"

#include <unistd.h>

static bool try_enter(struct hd_seat *s, uint8_t kind, bool pass) { return in_lock(hd_rw_try(arena, s, l, kind, pass, 0, true)); }
static void leave(struct hd_seat *s) { hd_rw_release(arena, s, l); }

static void read_once(struct hd_seat *s) { try_enter(s, HD_READ, false), leave(s); }
static void write_once(struct hd_seat *s) { try_enter(s, HD_WRITE, false), leave(s); }

static void downgrade(struct hd_seat *s)
{
	try_enter(s, HD_WRITE, false);
	hd_rw_downgrade(arena, s, l);
	leave(s);
}

static void upgrade(struct hd_seat *s)
{
	try_enter(s, HD_READ, false);
	hd_rw_upgrade(arena, s, l, 0, true);
	leave(s);
}

static void upgrade_and_downgrade(struct hd_seat *s)
{
	try_enter(s, HD_READ, false);
	hd_rw_upgrade(arena, s, l, 0, true);
	hd_rw_downgrade(arena, s, l);
	leave(s);
}

static void read_twice(struct hd_seat *s)
{
	try_enter(s, HD_READ, false), try_enter(s, HD_READ, true);
	leave(s), leave(s);
}

// --- after a death inside
static void die_writing(void) { enter(HD_WRITE, false, 100); }
static void die_upgraded(void) { enter(HD_READ, false, 100), hd_rw_upgrade(arena, me(), l, 0, true); }
static void let_a_writer_die(void) { finish(start(die_writing)); }
static void let_an_upgrader_die(void) { finish(start(die_upgraded)); }

static void repair_as(struct hd_seat *s, uint8_t kind)
{
	try_enter(s, kind, false);
	record->repaired = 1;
	hd_rw_recover(s, arena, l);
	leave(s);
}

static void repair_as_writer(struct hd_seat *s) { repair_as(s, HD_WRITE); }
static void repair_as_reader(struct hd_seat *s) { repair_as(s, HD_READ); }

static void repair_and_downgrade(struct hd_seat *s)
{
	try_enter(s, HD_READ, true);
	record->repaired = 1;
	hd_rw_recover(s, arena, l);
	hd_rw_downgrade(arena, s, l);
	leave(s);
}

static void let_go_unrepaired(struct hd_seat *s)
{
	try_enter(s, HD_WRITE, false);
	record->let_go = 1;
	leave(s);
}

static void break_it(void) { l->suspect = 2; }
static void take_broken(struct hd_seat *s) { try_enter(s, HD_WRITE, false), try_enter(s, HD_READ, false); }

// --- beside others
static void hold_read(void) { enter(HD_READ, false, 100); }
static void hold_write(void) { enter(HD_WRITE, false, 100); }
static bool give(void) { return hd_rw_release(arena, me(), l) == HD_OK; }
static void wait_to_write(struct hd_seat *s) { (void)s, enter(HD_WRITE, false, 3); }
static void wait_to_read(struct hd_seat *s) { (void)s, enter(HD_READ, false, 3); }
static void try_to_write(struct hd_seat *s) { hd_rw_try(arena, s, l, HD_WRITE, false, 0, false); }

static void upgrade_and_cancel(struct hd_seat *s)
{
	try_enter(s, HD_READ, false);
	if (hd_rw_upgrade(arena, s, l, 0, true) == HD_INTERRUPTED)
		hd_rw_cancel(arena, s, l);
	leave(s);
}

static void waiting(uint8_t kind)
{
	enum hd_status status = enter(kind, false, 20000);
	if (status == HD_OWNER_DIED)
		atomic_fetch_add(&record->told, 1);
	repair_and_leave(status);
	if (in_lock(status))
		atomic_fetch_add(&record->woken, 1);
}

static void waiting_writer(void) { waiting(HD_WRITE); }
static void waiting_reader(void) { waiting(HD_READ); }

static void read_beside_a_claimer(void)
{
	enter(HD_READ, false, 100);
	other = start(waiting_writer);
	await_activity(other, HD_WAIT_WRITE);
}

static void pass(struct hd_seat *s)
{
	enter(HD_READ, true, 3);
	leave(s);
}

static bool claimer_got_it(void)
{
	bool ours = give();
	finish(other);
	other = 0;
	return ours && record->woken == 1 && !record->told;
}

static void write_before(void) { enter(HD_WRITE, false, 100); }
static void read_before(void) { enter(HD_READ, false, 100); }

static void writer_and_reader_wait(void)
{
	other = start(waiting_writer);
	await_activity(other, HD_WAIT_WRITE);
	another = start(waiting_reader);
	await_activity(another, HD_WAIT_READ);
}

static void writer_waits(void)
{
	other = start(waiting_writer);
	await_activity(other, HD_WAIT_WRITE);
}

static bool waiters_got_it(void)
{
	int expected = 1 + (another != 0);
	finish(other);
	if (another)
		finish(another);
	other = another = 0;
	return record->woken == expected && record->told <= 1;
}

static void downgrade_before_others(struct hd_seat *s)
{
	hd_rw_downgrade(arena, s, l);
	leave(s);
}

const struct operation rw_operations[] = {
	{"rw: read, release", .run = read_once},
	{"rw: write, release", .run = write_once},
	{"rw: write, downgrade, release", .run = downgrade},
	{"rw: read, upgrade, release", .run = upgrade},
	{"rw: read, upgrade, downgrade, release", .run = upgrade_and_downgrade},
	{"rw: read, read again, release both", .run = read_twice},
	{"rw of a dead writer: told, recover, release", .prepare = let_a_writer_die, .run = repair_as_writer, .told = ON_RW},
	{"rw of a dead upgraded writer: told, recover, release", .prepare = let_an_upgrader_die, .run = repair_as_writer, .told = ON_RW},
	{"rw of a dead writer: told as reader, recover, release", .prepare = let_a_writer_die, .run = repair_as_reader, .told = ON_RW},
	{"rw of a dead writer: told as passing reader, downgrade", .prepare = let_a_writer_die, .run = repair_and_downgrade, .told = ON_RW},
	{"rw of a dead writer: told, released unrepaired", .prepare = let_a_writer_die, .run = let_go_unrepaired, .told = ON_RW, .broken = ON_RW},
	{"rw: broken, taken both ways", .prepare = break_it, .run = take_broken, .broken = ON_RW, .broken_before = true},
	{"rw: writer waits 3 ms for a reader", .prepare = hold_read, .run = wait_to_write, .after = give},
	{"rw: reader waits 3 ms for a writer", .prepare = hold_write, .run = wait_to_read, .after = give},
	{"rw: upgrade waits for another reader, cancels", .prepare = hold_read, .run = upgrade_and_cancel, .after = give},
	{"rw: try_write against a reader", .prepare = hold_read, .run = try_to_write, .after = give},
	{"rw: passing reader beside a claimer", .prepare = read_beside_a_claimer, .run = pass, .after = claimer_got_it},
	{"rw: writer releases, writer and reader wait", .before = write_before, .run = leave, .meanwhile = writer_and_reader_wait, .after = waiters_got_it},
	{"rw: writer downgrades, writer and reader wait", .before = write_before, .run = downgrade_before_others, .meanwhile = writer_and_reader_wait, .after = waiters_got_it},
	{"rw: last reader leaves, a writer waits", .before = read_before, .run = leave, .meanwhile = writer_waits, .after = waiters_got_it},
};
const int rw_operation_count = sizeof rw_operations / sizeof *rw_operations;
