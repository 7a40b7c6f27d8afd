"""Kills at every moment: no seat is lost, nothing that was repaired breaks, nothing broken heals."""

import os
import resource
import signal
from contextlib import suppress

import pytest

from harness.errors import LockBroken, OwnerDied
from harness.shm import Arena
from harness.shm.roster import Roster
from tests.harness.actors import LIMIT_S, fork, wait_until
from tests.harness.locks import reported
from tests.waiting import reap

KILLS = 40


@pytest.fixture
def small():
    """Room for the test, one that dies, and one more."""
    with Arena.create("small", seats=3) as arena:
        arena.native.sit("test")
        yield arena


def killed_inside(take, actors) -> None:
    def body(me):
        take()
        me.say("inside")
        me.hear("never")

    actor = actors.actor(body)
    actor.expect("inside")
    actor.kill()


@pytest.mark.parametrize("kind", ["mutex", "rwlock"])
def test_seats_are_not_used_up_by_deaths_that_were_repaired(kind, small, actors):
    lock = getattr(small, kind)("tested")
    for _ in range(10):
        killed_inside(lock.acquire, actors)
        with pytest.raises(OwnerDied):
            lock.acquire(timeout=LIMIT_S)
        lock.recover()
        lock.release()

    newcomer = actors.actor(lambda me: me.say(small.native.sit("new") > 0))

    newcomer.expect("True")
    newcomer.end()


def test_seats_are_not_used_up_by_kills_while_sitting_down(small, actors):
    for _ in range(KILLS):
        out, into = os.pipe()

        def sits_again_and_again(into=into):
            os.write(into, b".")
            while True:
                small.native.sit("loop")
                small.native.leave()

        pid = fork(sits_again_and_again)
        assert os.read(out, 1) == b"."
        os.kill(pid, signal.SIGKILL)
        reap(pid)
        os.close(out)
        os.close(into)

    for _ in range(2):
        newcomer = actors.actor(lambda me: me.say(small.native.sit("new") > 0))
        newcomer.expect("True")
        newcomer.end()


@pytest.mark.parametrize("kind", ["mutex", "rwlock"])
def test_the_next_thread_in_a_killed_ones_seat_does_not_hold_its_locks(kind, small, actors):
    """The looper dies at any instruction of acquire and release; the next one sits in its seat."""
    lock = getattr(small, kind)("tested")
    told = []

    def looper():
        os.write(into, b".")
        while True:
            lock.acquire()
            lock.release()

    def newcomer(me):
        seat = small.native.sit("newcomer")
        assert not lock.held()
        try:
            lock.acquire(timeout=LIMIT_S)
        except OwnerDied:
            lock.recover()
            told.append(1)
        assert lock.held()
        lock.release()
        me.say(seat)

    for _ in range(KILLS):
        out, into = os.pipe()
        pid = fork(looper)
        assert os.read(out, 1) == b"."
        os.sched_yield()
        os.kill(pid, signal.SIGKILL)
        reap(pid)
        os.close(out)
        os.close(into)

        actor = actors.actor(newcomer)
        assert actor.listen() in ("2", "3")
        actor.end()

    assert lock.acquire(timeout=LIMIT_S)
    lock.release()


def test_a_repaired_lock_stays_repaired_through_waits(small, actors):
    lock = small.rwlock("map")
    killed_inside(lock.write, actors)
    with pytest.raises(OwnerDied):
        lock.write(LIMIT_S)
    lock.recover()

    def waits_for_slices(me):
        me.say("ready")
        lock.write(LIMIT_S)
        lock.release()

    waiting = actors.actor(waits_for_slices)
    waiting.expect("ready")
    wait_until(lambda: [r for r in Roster(small).rows() if r.activity == "wait write"], "the writer")
    assert waiting.says_nothing_for(0.25)  # two slices: it has looked at everything again
    lock.release()
    waiting.end()

    with lock:
        assert lock.held() == "write"
    assert [report.kind for report in reported.reports(small)] == ["owner_died"]


@pytest.mark.parametrize("kind", ["mutex", "rwlock"])
def test_a_broken_lock_stays_broken_whichever_thread_is_killed_at_it(kind, small, actors):
    lock = getattr(small, kind)("tested")
    killed_inside(lock.acquire, actors)
    with pytest.raises(OwnerDied), lock:
        pass

    def looper():
        os.write(into, b".")
        while True:
            with suppress(LockBroken):
                lock.acquire()

    for _ in range(KILLS):
        out, into = os.pipe()
        pid = fork(looper)
        assert os.read(out, 1) == b"."
        os.sched_yield()
        os.kill(pid, signal.SIGKILL)
        reap(pid)
        os.close(out)
        os.close(into)

        with pytest.raises(LockBroken):
            lock.acquire(timeout=LIMIT_S)
        assert not lock.held()


@pytest.mark.parametrize(
    "take", [lambda lock: lock.try_write(), lambda lock: lock.write(0), lambda lock: lock.write(0.01)]
)
def test_a_dead_reader_keeps_no_writer_out_however_short_it_tries(take, small, actors):
    lock = small.rwlock("map")
    killed_inside(lock.read, actors)

    assert take(lock) is True

    lock.release()


def test_a_dead_upgrader_keeps_no_other_from_upgrading(small, actors):
    lock = small.rwlock("map")
    lock.read()

    def upgrades(me):
        lock.read()
        me.say("reading")
        lock.upgrade()

    actor = actors.actor(upgrades)
    actor.expect("reading")
    wait_until(lambda: [r for r in Roster(small).rows() if r.activity == "wait upgrade"], "the upgrader")
    assert lock.upgrade() is False
    actor.kill()

    assert lock.upgrade() is True

    lock.release()


def test_a_process_without_descriptors_still_sees_which_holders_live(small, actors):
    """Nothing about life is asked of /proc."""
    lock = small.rwlock("map")

    def reader(me):
        lock.read()
        me.say("reading")
        me.hear("release")
        lock.release()

    reading = actors.actor(reader)
    reading.expect("reading")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd")) + max(map(int, os.listdir("/proc/self/fd")))
    taken = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, limits[1]))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        with pytest.raises(OSError, match="Too many open files"):
            os.dup(0)

        got = lock.write(0.25)
        dead = [small.native.seat_dead(row.number) for row in Roster(small).rows()]
        holders = [row.alive for row in lock.holders()]
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert (got, dead, holders) == (False, [False, False], [True])
    reading.tell("release")
    reading.end()
    assert lock.write(LIMIT_S)
    lock.release()
