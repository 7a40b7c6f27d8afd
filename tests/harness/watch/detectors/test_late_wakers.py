"""A waker on its way is not accused: inside its step, with the guard, or between two reads of the watcher."""

import pytest

from harness import _native
from harness.watch.snapshot import Reader, _again, seat_facts, take
from tests.harness.actors import wait_until
from tests.harness.watch.conftest import Cell
from tests.harness.watch.looking import find, find_notice, look_for, me, waiting

C = _native.CONSTANTS


@pytest.fixture
def asleep(arena, actors, cell):
    guard, chan = arena.mutex("guard"), arena.channel("bell")

    def sleeper(actor):
        me(arena, "sleeper")
        guard.acquire()
        chan.sleep(guard, "bell", until=(cell, "count", 1))
        actor.hear("stop")

    actors.actor(sleeper)
    wait_until(waiting(arena, "sleeper", C["SLEEPING"]), "the sleeper")
    return guard, chan


def store(arena, cell):
    cell.count = 1
    arena.native.changed(cell.address + Cell.count.offset)


def test_the_step_of_the_change_has_to_be_over(arena, watchdog, asleep, cell):
    guard, _ = asleep
    arena.native.begin("put")
    with guard:
        store(arena, cell)

    assert look_for(watchdog, 0.4) == []

    arena.native.end()
    assert "last changed by" in find(watchdog, "lost_wakeup").summary


def test_a_change_outside_any_step_is_not_past_when_a_later_step_ends(arena, watchdog, asleep, cell):
    guard, _ = asleep
    with guard:
        store(arena, cell)
    for _ in range(3):
        arena.native.begin("other")
        arena.native.end()

    assert look_for(watchdog, 0.4) == []


def test_the_guard_has_to_be_let_go(arena, actors, watchdog, asleep, cell):
    """Another thread took it before the watcher's first look: it may be the one that wakes."""
    guard, _ = asleep

    def busy(actor):
        me(arena, "busy")
        guard.acquire()
        actor.say("has it")
        actor.hear("go")
        guard.release()
        actor.hear("stop")

    arena.native.begin("put")
    store(arena, cell)
    other = actors.actor(busy)
    other.expect("has it")
    arena.native.end()

    assert look_for(watchdog, 0.4) == []

    other.tell("go")
    find(watchdog, "lost_wakeup")


def test_a_sleeper_that_was_woken_after_it_was_read_is_torn(arena, watchdog, asleep, cell):
    _, chan = asleep
    cell.count = 1
    row = next(row for row in watchdog.reader.live() if row.role == b"sleeper")
    facts = seat_facts(watchdog.reader, row, arena.native.now())
    assert facts.wait is not None
    assert facts.wait.unwoken
    assert not _again(watchdog.reader, facts).torn

    chan.wakeup()

    assert _again(watchdog.reader, facts).torn


def test_a_lock_that_was_repaired_is_not_held_by_the_dead_at_the_end(arena, actors, watchdog):
    lock = arena.mutex("precious")

    def victim(actor):
        me(arena, "victim")
        lock.acquire()
        actor.say("holding")
        actor.hear("never")

    actor = actors.actor(victim)
    actor.expect("holding")
    actor.kill()
    with pytest.raises(Exception, match="died inside"):
        lock.acquire()
    lock.recover()
    lock.release()

    find_notice(watchdog, "orphaned_lock")
    assert watchdog.settle_notices() == []
    assert [one for row in watchdog.reader.live() for one in seat_facts(watchdog.reader, row, 0).held] == []


def test_a_look_reads_a_sleeper_again_after_all_others(arena, asleep, cell):
    _, chan = asleep
    cell.count = 1

    class Slow(Reader):
        """Reads as every reader; the wakeup comes between its seats and its locks."""

        def lock(self, offset):
            chan.wakeup()
            return super().lock(offset)

    looked = next(seat for seat in take(Slow(arena)).seats if seat.role == "sleeper")

    assert looked.wait is not None
    assert looked.wait.unwoken, "it was read before the wakeup"
    assert looked.torn
