"""Channel.wait holds its lock before and after, whatever interrupts it and however often."""

import os
import signal
from ctypes import Structure, c_uint32

import pytest

from harness.errors import LockBroken, OwnerDied
from harness.shm.layout import guarded
from harness.shm.roster import Roster
from tests.harness.actors import LIMIT_S, wait_until
from tests.harness.locks import reported

INTERRUPTS = 3


class Cell(Structure):
    _fields_, GUARDS, NOTES = guarded(("O", "ready", c_uint32, ""))


@pytest.fixture(params=["mutex", "rwlock"])
def lock(request, sliced):
    """A signal may come just before the sleep: then it is heard after a slice."""
    sliced.native.sit("test")
    return getattr(sliced, request.param)("guard")


@pytest.fixture
def cell(arena):
    return arena.table("cell", Cell, 1)[1]


def waits(lock, cell, seen):
    """A body that waits under ``with``, and tells each interrupt that it has met."""

    def interrupted(_signal, _frame):
        os.write(seen, b"!")
        raise KeyboardInterrupt

    def body(me):
        lock.home.native.sit("waiter")
        signal.signal(signal.SIGINT, interrupted)
        try:
            with lock:
                try:
                    lock.home.channel("bell").wait(lock, "nap", (cell, "ready", 1))
                except BaseException:
                    me.say(f"held {bool(lock.held())}")
                    raise
        except KeyboardInterrupt as error:
            notes = getattr(error, "__notes__", [])
            me.say(f"interrupted, {len(notes)} notes, context {error.__context__!r}")
        me.say(f"held {bool(lock.held())}")

    return body


def activity(arena):
    return [row.activity for row in Roster(arena).rows() if row.role == "waiter"]


def begun_since(arena, before):
    """Predicate: has another wait begun?"""
    return lambda: waits_begun(arena) > before


def waits_begun(arena) -> int:
    """Grows when a wait has begun (its sequence moves at the begin and at the end)."""
    (seat,) = (seat for seat in Roster(arena).seats if seat.role == b"waiter" and seat.live == 2)
    return seat.wait_seq if seat.activity else 0


def test_many_interrupts_end_the_wait_lock_held_with_the_first_raised(lock, cell, arena, actors):
    seen, into = os.pipe()
    waiter = actors.actor(waits(lock, cell, into))
    wait_until(lambda: activity(arena) == ["sleeping"], "the sleeper")
    lock.acquire()  # it will have to wait for it
    for _ in range(INTERRUPTS):
        before = waits_begun(arena)
        waiter.interrupt()
        assert os.read(seen, 1) == b"!"
        wait_until(begun_since(arena, before), "the wait for the lock")
    assert waiter.says_nothing_for(0.15)
    assert activity(arena)[0].startswith("wait ")

    lock.release()

    waiter.expect("held True")
    waiter.expect(f"interrupted, {INTERRUPTS - 1} notes, context None")
    waiter.expect("held False")
    waiter.end()
    assert reported.reports(arena) == []
    assert lock.acquire(timeout=0)
    lock.release()
    os.close(seen)
    os.close(into)


def dies_holding(lock, actors):
    def body(me):
        lock.acquire()
        me.say("holding")
        me.hear("never")

    actor = actors.actor(body)
    actor.expect("holding")
    return actor


def test_an_interrupt_is_raised_also_after_the_holder_died(lock, cell, arena, actors):
    seen, into = os.pipe()
    waiter = actors.actor(waits(lock, cell, into))
    wait_until(lambda: activity(arena) == ["sleeping"], "the sleeper")
    keeper = dies_holding(lock, actors)
    waiter.interrupt()
    assert os.read(seen, 1) == b"!"
    keeper.kill()

    waiter.expect("held True")
    waiter.expect("interrupted, 1 notes, context None")
    waiter.expect("held False")
    waiter.end()

    with pytest.raises(LockBroken):  # released, and not repaired
        lock.acquire(timeout=LIMIT_S)
    os.close(seen)
    os.close(into)


def test_without_an_interrupt_the_death_is_told_with_the_lock_held(lock, cell, arena, actors):
    def body(me):
        arena.native.sit("waiter")
        lock.acquire()
        with pytest.raises(OwnerDied):
            arena.channel("bell").wait(lock, "nap", (cell, "ready", 1))
        me.say(f"held {bool(lock.held())}")
        lock.recover()
        lock.release()

    waiter = actors.actor(body)
    wait_until(lambda: activity(arena) == ["sleeping"], "the sleeper")
    keeper = dies_holding(lock, actors)
    arena.channel("bell").wakeup()
    wait_until(lambda: activity(arena)[0].startswith("wait "), "the wait for the lock")

    keeper.kill()

    waiter.expect("held True")
    waiter.end()
    assert lock.acquire(timeout=LIMIT_S)
    lock.release()
