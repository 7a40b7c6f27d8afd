"""Nothing gets on: the dump says which way a thread goes round, and where all waiting ends."""

import os
import signal
import time

from harness import _native
from tests.harness.actors import wait_until
from tests.harness.watch.looking import dumped, find, me, stopped, waiting

C = _native.CONSTANTS


def round_and_round(arena, role, locks, sleep=0.0):
    """One operation without an end that takes these locks in turn, restarting each time."""

    def body(actor):
        me(arena, role)
        arena.native.begin("attempt")
        actor.say("begun")
        while True:
            arena.native.failure()
            for lock in locks:
                lock.acquire()
                lock.release()
            time.sleep(sleep)

    return body


def resting(arena, role, lock):
    """Waits for a lock within an operation."""

    def body(actor):
        me(arena, role)
        arena.native.begin("rest")
        lock.acquire()
        actor.hear("stop")

    return body


def test_a_livelock_shows_its_way_round_and_that_no_other_is_at_work(arena, actors, quick):
    first, second = arena.mutex("first"), arena.mutex("second")
    arena.native.mode |= C["RECORD"]
    actors.actor(round_and_round(arena, "faulter", (first, second))).expect("begun")

    said = dumped(find(quick, "livelock")).cause

    assert said.startswith("Cause: it starts again and again, by way of ")
    assert said.count("test_stuck.py:") == 1  # both locks are taken at one line
    assert said.endswith("; no other thread is at work, so it will find the same every time")


def test_a_livelock_beside_waiters_differs_from_one_beside_workers(arena, actors, quick):
    mine, taken = arena.mutex("mine"), arena.mutex("taken")
    taken.acquire()
    actors.actor(resting(arena, "patient", taken))
    wait_until(waiting(arena, "patient"), "the patient one")
    actors.actor(round_and_round(arena, "faulter", (mine,))).expect("begun")

    said = dumped(find(quick, "livelock")).cause
    taken.release()

    assert said.endswith("; all others wait, so it will find the same every time")


def test_a_livelock_names_who_is_at_work_beside_it(arena, actors, quick):
    mine = arena.mutex("mine")

    def worker(actor):
        me(arena, "mover")
        arena.native.begin("move")
        actor.say("begun")
        actor.hear("stop")

    actors.actor(worker).expect("begun")
    actors.actor(round_and_round(arena, "faulter", (mine,))).expect("begun")

    assert dumped(find(quick, "livelock")).cause.endswith("; mover is at work beside it")


def test_all_that_wait_for_a_stopped_process_are_counted_directly_or_not(arena, actors, quick):
    one, two = arena.mutex("one", nest=True), arena.mutex("two", nest=True)

    def holder(actor):
        me(arena, "holder")
        arena.native.begin("hold")
        one.acquire()
        actor.say("holding")
        actor.hear("never")

    def middle(actor):
        me(arena, "middle")
        two.acquire()
        actor.say("holding")
        one.acquire()

    def last(_actor):
        me(arena, "last")
        two.acquire()

    first = actors.actor(holder)
    first.expect("holding")
    actors.actor(middle).expect("holding")
    actors.actor(last)
    for role in ("middle", "last"):
        wait_until(waiting(arena, role), role)
    os.kill(first.pid, signal.SIGSTOP)
    wait_until(stopped(first.pid), "the stop")

    said = dumped(find(quick, "frozen")).cause

    os.kill(first.pid, signal.SIGCONT)
    assert said == (
        f"Cause: 2 wait, directly or not, for holder, which is stopped in hold (try: kill -CONT {first.pid})"
    )


def test_a_stall_names_the_one_in_io_that_all_wait_for(arena, actors, quick):
    lock = arena.mutex("wanted", may_sleep=True)

    def reader(actor):
        me(arena, "reader")
        arena.native.begin("read")
        lock.acquire()
        arena.native.io_begin("disk")
        actor.say("reading")
        actor.hear("never")

    actors.actor(reader).expect("reading")
    actors.actor(resting(arena, "patient", lock))
    wait_until(waiting(arena, "patient"), "the patient one")

    said = dumped(find(quick, "stall")).cause

    assert said.startswith(
        "Cause: 1 wait, directly or not, for reader, which is in I/O (`disk`) in read for "
    )
