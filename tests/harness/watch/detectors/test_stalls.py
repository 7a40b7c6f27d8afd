"""One lock waited for too long: told whatever others do, and only reported when its holder works on."""

import queue
import re
import select
import time
from functools import partial

import pytest

from harness import _native
from harness.shm.roster import Roster
from harness.watch import stacks
from harness.watch.detectors.judge import Limits
from harness.watch.watchdog import Watchdog
from tests.harness.actors import LIMIT_S, wait_until
from tests.harness.watch.looking import dumped, find, find_notice, look_for, me

WAIT_MUTEX = _native.CONSTANTS["WAIT_MUTEX"]


def at_least(arena, number):
    """Do so many wait for a lock?"""
    return sum(seat.live == 2 and seat.activity == WAIT_MUTEX for seat in Roster(arena).seats) >= number


def test_a_lock_that_is_polled_for_long_is_a_stall_and_no_livelock(arena, actors, quick):
    lock = arena.mutex("taken")

    def holder(actor):
        me(arena, "holder")
        lock.acquire()
        actor.say("holding")
        actor.hear("never")

    def body(actor):
        me(arena, "spinner")
        arena.native.begin("try hard", 3)
        while not lock.try_acquire():
            time.sleep(0.001)

    actors.actor(holder).expect("holding")
    actors.actor(body)

    found = find(quick, "stall")

    assert re.search(r"spinner .*polls taken\[0\] .*held by holder .*test_stalls.py:\d+", found.summary)
    assert look_for(quick) == ["stall"]


@pytest.mark.parametrize("beat", [False, True])
def test_a_lock_that_is_held_too_long_is_a_stall_whatever_others_do(arena, actors, quick, beat):
    lock = arena.mutex("taken")

    def holder(actor):
        me(arena, "holder")
        lock.acquire()
        actor.say("holding")
        actor.hear("never")

    def waiter(_actor):
        me(arena, "waiter")
        lock.acquire()

    def heart(_actor):
        me(arena, "heart")
        while True:
            arena.native.begin("beat")
            arena.native.end()
            time.sleep(0.001)

    actors.actor(holder).expect("holding")
    if beat:
        actors.actor(heart)
    for number in range(2):
        actors.actor(waiter)
        wait_until(partial(at_least, arena, number + 1), "a waiter")

    found = find(quick, "stall")

    for word in ("taken[0]", "held by holder", "test_stalls.py:", "2 wait for it", "state S"):
        assert word in found.summary
    assert len(found.seats) == 3
    assert look_for(quick) == ["stall"], "one finding per lock and holder"


def test_a_stall_says_where_its_holder_is_now(arena, actors, tmp_path):
    """In its own code: that it waits inside of a library says nothing."""
    lock, asked = arena.mutex("taken"), Watchdog(arena, tmp_path, limits=Limits(stall_s=0.3))

    def rest_in_here(actor):
        queue.Queue().get(timeout=LIMIT_S)
        actor.hear("never")

    def holder(actor):
        me(arena, "holder")
        stacks.enable(arena)
        lock.acquire()
        actor.say("holding")
        rest_in_here(actor)

    def waiter(_actor):
        me(arena, "waiter")
        lock.acquire()

    actors.actor(holder).expect("holding")
    actors.actor(waiter)

    found = find(asked, "stall")

    here = r"tests/harness/watch/detectors/test_stalls.py:\d+"
    sentence = rf"held by holder .* since [\d.]+ s, {here} [^ ]+; .*, at {here} rest_in_here\. Cause: "
    assert re.search(sentence, found.summary), found.summary
    assert dumped(found).summary == found.summary


def test_a_holder_that_completes_steps_is_only_reported(arena, actors, tmp_path):
    """It does so within half of the limit: that is long enough for one that has to wait for its processor."""
    slow = Watchdog(arena, tmp_path, limits=Limits(stall_s=4.0), with_stacks=False)
    lock = arena.mutex("taken")

    def working(actor):
        me(arena, "holder")
        with lock:
            actor.say("holding")
            other = arena.mutex("other")
            while not select.select([actor.inbox.out], [], [], 0)[0]:
                with other:
                    pass
        actor.hear("stop")

    def waiter(actor):
        me(arena, "waiter")
        with lock:
            pass
        actor.hear("stop")

    one = actors.actor(working)
    one.expect("holding")
    two = actors.actor(waiter)

    find_notice(slow, "stall")

    assert "stall" not in look_for(slow, 1.0)
    for actor in (one, two):
        actor.tell("stop")
        actor.end()
    assert slow.settle_notices() == [], "it holds no more"
