"""W2: an operation that restarts again and again without an end is a livelock; one that ends is none."""

import re
import time

import pytest

from harness.watch.detectors.judge import MOST_RESTARTS, Limits
from harness.watch.watchdog import Watchdog
from tests.harness.actors import wait_until
from tests.harness.watch.looking import dumped, find, look_for, me, waiting
from tests.waiting import LIMIT_S


def restarting(arena, between):
    """One operation that restarts for ever; ``between`` two attempts."""

    def body(actor):
        me(arena, "faulter")
        arena.native.begin("write", 0x5000)
        actor.say("begun")
        while True:
            arena.native.failure()
            between()

    return body


def test_an_endlessly_restarted_operation_is_named_with_its_count(arena, actors, quick):
    actor = actors.actor(restarting(arena, lambda: None))
    actor.expect("begun")

    found = find(quick, "livelock")

    said = re.search(r"faulter .*restarted (\d+) times in one write \(0x5000\) in [\d.]+ s", found.summary)
    assert said, found.summary
    assert int(said[1]) > MOST_RESTARTS
    seat = next(seat for seat in dumped(found).threads if seat.role == "faulter")
    assert seat.number in dumped(found).involved
    assert seat.failures >= int(said[1])


def test_an_operation_that_sleeps_between_attempts_is_a_livelock_too(arena, actors, quick):
    actor = actors.actor(restarting(arena, lambda: time.sleep(0.001)))
    actor.expect("begun")

    assert "in one write" in find(quick, "livelock").summary


def test_a_few_restarts_are_none_however_long_the_operation_takes(arena, actors, quick):
    def body(actor):
        me(arena, "faulter")
        arena.native.begin("write")
        actor.say("begun")
        for _ in range(MOST_RESTARTS - 1):
            arena.native.failure()
            time.sleep(0.005)
        arena.native.end()
        actor.hear("stop")

    actor = actors.actor(body)
    actor.expect("begun")

    assert "livelock" not in look_for(quick, 0.8)
    actor.tell("stop")
    actor.end()


def test_many_restarts_are_none_when_operations_end(arena, actors, quick):
    def body(actor):
        me(arena, "faulter")
        actor.say("begun")
        while True:
            arena.native.begin("write")
            for _ in range(MOST_RESTARTS):
                arena.native.failure()
            arena.native.end()

    actor = actors.actor(body)
    actor.expect("begun")

    assert "livelock" not in look_for(quick, 0.8)


def test_a_thread_that_restarted_and_then_waits_for_its_turn_is_none(arena, actors, quick):
    bell, guard = arena.channel("bell"), arena.mutex("guard")

    def body(actor):
        me(arena, "faulter")
        arena.native.begin("write")
        for _ in range(10 * MOST_RESTARTS):
            arena.native.failure()
        guard.acquire()
        bell.sleep(guard, "turn", timeout=3.0)

    actors.actor(body)
    wait_until(waiting(arena, "faulter"), "the faulter")

    assert "livelock" not in look_for(quick, 0.8)


@pytest.mark.parametrize("through", [False, True], ids=["by the holder", "through another"])
def test_a_thread_that_polls_a_lock_whose_release_it_prevents_is_one(arena, actors, tmp_path, through):
    """The holder of the polled lock waits without limit for the one that polls: no time lets it through."""
    mine, yours, between = arena.mutex("mine"), arena.mutex("yours"), arena.mutex("between")

    def holder(actor):
        me(arena, "holder")
        yours.acquire()
        actor.say("holding")
        actor.hear("go")
        (between if through else mine).acquire()

    def link(actor):
        me(arena, "link")
        between.acquire()
        actor.say("holding")
        mine.acquire()

    def body(actor):
        me(arena, "spinner")
        mine.acquire()
        actor.say("holding")
        actor.hear("go")
        arena.native.begin("try hard", 3)
        while not yours.try_acquire():
            pass

    spinner = actors.actor(body)
    spinner.expect("holding")
    holding = actors.actor(holder)
    holding.expect("holding")
    if through:
        actors.actor(link).expect("holding")
        wait_until(waiting(arena, "link"), "the link")
    holding.tell("go")
    wait_until(waiting(arena, "holder"), "the holder")
    spinner.tell("go")

    # A spinner that gets no processor for a quarter of the limit would seem to have got through.
    watchdog = Watchdog(arena, tmp_path, limits=Limits(livelock_s=2.0), with_stacks=False)
    assert "spinner" in find(watchdog, "livelock", LIMIT_S).summary


def test_polling_beside_a_holder_that_waits_with_a_limit_is_none(arena, actors, tmp_path):
    """Not within ``livelock_s``: the wait may end and let it through.  After ``stall_s`` both retry."""
    mine, yours = arena.mutex("mine"), arena.mutex("yours")

    def holder(actor):
        me(arena, "holder")
        yours.acquire()
        actor.say("holding")
        actor.hear("go")
        mine.acquire(timeout=60.0)

    def body(actor):
        me(arena, "spinner")
        mine.acquire()
        actor.say("holding")
        actor.hear("go")
        arena.native.begin("try hard", 3)
        while not yours.try_acquire():
            pass

    spinner = actors.actor(body)
    spinner.expect("holding")
    holding = actors.actor(holder)
    holding.expect("holding")
    holding.tell("go")
    wait_until(waiting(arena, "holder"), "the holder")
    spinner.tell("go")

    limits = Limits(livelock_s=0.2, stall_s=LIMIT_S)
    watchdog = Watchdog(arena, tmp_path, limits=limits, with_stacks=False)
    assert "livelock" not in look_for(watchdog, 0.8)
