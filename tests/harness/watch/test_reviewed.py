"""Safe patterns that a review found to be called hangs, and hangs that had the wrong name."""

import time

import pytest

from harness import _native
from harness.errors import OwnerDied
from harness.watch import providers
from harness.watch.detectors.judge import Limits
from harness.watch.snapshot import Reader
from harness.watch.watchdog import GAP_S, Watchdog
from tests.harness.actors import wait_until
from tests.harness.watch.conftest import Cell
from tests.harness.watch.looking import find, find_notice, look_for, me, waiting

C = _native.CONSTANTS


@pytest.fixture
def short(arena, tmp_path):
    """Limits of tenths of a second for what counts time."""
    it = Watchdog(arena, tmp_path, with_stacks=False)
    it.limits = Limits(livelock_s=0.3, stall_s=0.3)
    return it


def test_a_waker_that_works_on_before_it_wakes(arena, actors, watchdog, cell):
    """It makes the condition true, takes and gives other locks, and then wakes: all in one operation."""
    guard, other, chan = arena.mutex("guard"), arena.mutex("other"), arena.channel("bell")

    def sleeper(actor):
        me(arena, "sleeper")
        guard.acquire()
        chan.sleep(guard, "bell", until=(cell, "count", 1))
        actor.hear("stop")

    def waker(actor):
        me(arena, "waker")
        arena.native.begin("produce")
        with guard:
            cell.count = 1
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            with other:
                pass
        chan.wakeup()
        arena.native.end()
        actor.hear("stop")

    arena.native.leave()  # a thread that only looks on does not count as one that might wake
    one = actors.actor(sleeper)
    wait_until(waiting(arena, "sleeper", C["SLEEPING"]), "the sleeper")
    two = actors.actor(waker)

    assert look_for(watchdog, 0.6) == []
    for actor in (one, two):
        actor.tell("stop")
        actor.end()


def test_a_sleeper_that_polls_needs_no_wakeup(arena, actors, watchdog, cell):
    guard, chan = arena.mutex("guard"), arena.channel("poll")
    arena.native.leave()

    def poller(actor):
        me(arena, "poller")
        cell.count = 1
        for _ in range(10):
            guard.acquire()
            chan.sleep(guard, "poll", until=(cell, "count", 1), timeout=0.05)
        actor.hear("stop")

    actor = actors.actor(poller)

    assert look_for(watchdog, 0.6) == []
    actor.tell("stop")
    actor.end()


def test_a_service_that_idles_inside_an_operation_does_not_stall(arena, actors, short, cell):
    guard, chan = arena.mutex("guard"), arena.channel("queue")

    def consumer(actor):
        me(arena, "consumer")
        arena.native.begin("serve")
        guard.acquire()
        chan.sleep(guard, "idle", until=(cell, "count", 1), idle=True)
        actor.hear("stop")

    actors.actor(consumer)
    wait_until(waiting(arena, "consumer", C["IDLE"]), "the consumer")

    assert look_for(short, 1.5) == []


def test_failures_long_ago_are_no_livelock(arena, actors, short):
    lock = arena.mutex("taken")
    lock.acquire()

    def body(actor):
        me(arena, "worker")
        arena.native.begin("work")
        actor.say("begun")
        actor.hear("try")
        for _ in range(500):
            lock.try_acquire()
        actor.say("tried")
        actor.hear("stop")

    worker = actors.actor(body)
    worker.expect("begun")
    look_for(short, 0.6)  # so that it counts from before the failures
    worker.tell("try")
    worker.expect("tried")

    found = look_for(short, 1.5)
    lock.release()
    assert "livelock" not in found


def test_one_of_two_servers_is_enough(arena, actors, watchdog, cell):
    lock, guard = arena.mutex("held", may_sleep=True), arena.mutex("guard")
    chan = arena.channel("bell")
    providers.register(
        arena, name="words", served_by="server", address_offset=cell.address + Cell.busy.offset
    )

    def stuck(actor):
        me(arena, "server#0")
        actor.hear("go")
        lock.acquire()
        lock.release()
        actor.hear("stop")

    def free(actor):
        me(arena, "server#1")
        actor.say("here")
        actor.hear("serve")
        with guard:
            cell.busy = 1
            chan.wakeup()
        actor.hear("stop")

    def client(actor):
        me(arena, "client")
        with lock:
            guard.acquire()
            chan.sleep(guard, "service", until=(cell, "busy", 1))
        actor.hear("stop")

    crew = one, two, three = actors.actor(stuck), actors.actor(free), actors.actor(client)
    two.expect("here")
    wait_until(waiting(arena, "client", C["SLEEPING"]), "the client")
    one.tell("go")
    wait_until(waiting(arena, "server#0"), "the server that is stuck")
    found = look_for(watchdog, 0.4)
    two.tell("serve")

    assert found == []
    for actor in crew:
        actor.tell("stop")
        actor.end()
    assert three is crew[2]


def test_a_lock_that_was_repaired_is_not_still_held(arena, actors, watchdog):
    lock = arena.mutex("precious")

    def victim(actor):
        me(arena, "victim")
        lock.acquire()
        actor.say("holding")
        actor.hear("never")

    actor = actors.actor(victim)
    actor.expect("holding")
    actor.kill()
    with pytest.raises(OwnerDied):
        lock.acquire()
    lock.recover()
    lock.release()

    found = find_notice(watchdog, "orphaned_lock")

    assert look_for(watchdog, 0.2) == []
    assert "died inside" in found.summary
    assert watchdog.settle_notices() == []
    assert len(watchdog.notices) == 1


def test_joining_the_killed_is_no_orphaned_lock(arena, actors, watchdog):
    def victim(actor):
        actor.say(me(arena, "victim") and arena.native.seat())
        actor.hear("never")

    def joiner(actor):
        me(arena, "joiner")
        arena.native.set_activity(C["JOINING"], int(actor.inbox.get()))
        actor.say("joining")
        actor.hear("stop")
        arena.native.set_activity(C["RUNNING"])

    one, two = actors.actor(victim), actors.actor(joiner)
    two.tell(one.listen())
    two.expect("joining")
    one.kill()

    assert look_for(watchdog, 0.3) == []
    two.tell("stop")
    two.end()


def test_a_lock_left_behind_by_an_operation_breaks_its_contract(arena, actors, watchdog):
    lock = arena.mutex("left")

    def body(actor):
        me(arena, "sloven")
        arena.native.begin("work")
        lock.acquire()
        try:
            arena.native.end()
        except Exception as error:  # noqa: BLE001 - its text is the test
            actor.say(str(error))
        lock.release()

    actor = actors.actor(body)
    assert "left[0]" in actor.listen()
    actor.end()

    assert "left[0]" in find(watchdog, "contract_violation").summary


def test_what_the_watcher_did_not_see_is_no_time_of_a_wait(arena, actors, tmp_path):
    """It was stopped, or the machine was: half a second of a longer pause counts."""
    it = Watchdog(arena, tmp_path, limits=Limits(stall_s=GAP_S + 0.1), with_stacks=False)
    lock = arena.mutex("taken")

    def holder(actor):
        me(arena, "holder")
        lock.acquire()
        actor.say("holding")
        actor.hear("never")

    def waiter(_actor):
        me(arena, "waiter")
        lock.acquire()

    actors.actor(holder).expect("holding")
    actors.actor(waiter)
    wait_until(waiting(arena, "waiter"), "the waiter")
    seen = it.history.seen
    wait_until(lambda: it.scan() == [] and any(key.startswith("wait:") for key in seen), "a look at it")
    end = time.monotonic() + GAP_S + 0.4  # less than what makes a look begin anew
    wait_until(lambda: time.monotonic() > end, "the end of the pause")

    assert it.scan() == []


def test_a_class_name_that_is_no_text_is_shown_all_the_same(arena):
    """It was cut in the middle of a character, or damaged."""
    reader, number = Reader(arena), len(Reader(arena).classes) - 1
    reader.classes[number].name = b"caf\xc3"

    assert reader.class_name(number) == "caf\N{REPLACEMENT CHARACTER}"
