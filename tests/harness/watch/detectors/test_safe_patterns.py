"""What looks like a hang and is none: none of these may ever produce a verdict.

Every pattern runs in real processes while a watchdog scans as fast as in a run.  Where time
counts, its limits are a tenth of the real ones, so that a detector that goes by the clock
alone would be caught.
"""

import os
import signal
import time
from itertools import pairwise

from harness import _native
from harness.watch.detectors.judge import Limits
from harness.watch.watchdog import Watchdog
from tests.harness.actors import wait_until
from tests.harness.watch.looking import assert_nothing_found, busy, look_for, me, stopped, waiting
from tests.waiting import reap

C = _native.CONSTANTS


def test_one_gate_lock_makes_both_orders_safe(arena, actors, strict):
    gate, a, b = arena.mutex("gate"), arena.mutex("pair", 1, nest=True), arena.mutex("pair", 2, nest=True)

    def ab():
        with gate, a, b:
            pass

    def ba():
        with gate, b, a:
            pass

    assert_nothing_found(strict, [actors.actor(busy(arena, "ab", ab)), actors.actor(busy(arena, "ba", ba))])


def test_hand_over_hand_along_a_chain(arena, actors, strict):
    chain = [arena.mutex("link", i, nest=True) for i in range(6)]

    def walk():
        chain[0].acquire()
        for here, there in pairwise(chain):
            there.acquire()
            here.release()
        chain[-1].release()

    assert_nothing_found(strict, [actors.actor(busy(arena, f"walker#{i}", walk)) for i in range(3)])


def test_try_lock_with_back_off_against_the_order(arena, actors, strict):
    a, b = arena.mutex("low"), arena.mutex("high")

    def up():
        with a, b:
            pass

    def down():
        with b:
            while not a.try_acquire():
                b.release()
                os.sched_yield()
                b.acquire()
            a.release()

    assert_nothing_found(
        strict, [actors.actor(busy(arena, "up", up)), actors.actor(busy(arena, "down", down))]
    )


def test_a_condition_with_a_time_out_that_never_comes(arena, actors, strict, cell):
    guard, chan = arena.mutex("guard"), arena.channel("bell")
    arena.native.leave()

    def nap():
        guard.acquire()
        chan.sleep(guard, "nap", until=(cell, "count", 9), timeout=0.2)

    assert_nothing_found(strict, [actors.actor(busy(arena, "napper", nap))])


def test_upgrade_by_release(arena, actors, strict):
    lock = arena.rwlock("map")

    def change():
        lock.read()
        if lock.upgrade():
            lock.downgrade()
            lock.release()
            return
        lock.release()
        with lock:
            pass

    assert_nothing_found(strict, [actors.actor(busy(arena, f"changer#{i}", change)) for i in range(3)])


def test_a_lock_that_a_parent_lets_go_for_its_child(arena, actors, strict):
    lock = arena.mutex("heirloom")

    def body(actor):
        me(arena, "parent")
        lock.acquire()
        pid = os.fork()
        if pid == 0:
            me(arena, "child")
            lock.acquire()
            lock.release()
            arena.native.leave()
            os._exit(0)
        wait_until(waiting(arena, "child"), "the child")
        time.sleep(0.2)  # the child waits; not an order of events, only its length
        lock.release()
        reap(pid)
        actor.hear("stop")

    assert_nothing_found(strict, [actors.actor(body)])


def test_a_long_computation_under_a_lock_that_others_want(arena, actors, strict):
    lock = arena.mutex("slow")

    def compute():
        with lock:
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                pass

    assert_nothing_found(strict, [actors.actor(busy(arena, f"worker#{i}", compute)) for i in range(3)], 1.0)


def test_an_idle_consumer_and_no_other_thread(arena, actors, strict, cell):
    guard, chan = arena.mutex("guard"), arena.channel("queue")
    arena.native.leave()

    def consumer(actor):
        me(arena, "consumer")
        guard.acquire()
        chan.sleep(guard, "idle", until=(cell, "count", "!=", 0), idle=True)

    actor = actors.actor(consumer)
    wait_until(waiting(arena, "consumer", C["IDLE"]), "the consumer")
    assert look_for(strict, 0.8) == []
    chan.wakeup()
    actor.end()


def test_a_watchdog_that_was_stopped_for_longer_than_all_its_limits(arena, actors, tmp_path):
    limits = Limits(waker_s=0.3, none_left_s=0.3, frozen_s=0.3, livelock_s=0.6, stall_s=0.6)

    def watch(actor):
        watchdog = Watchdog(arena, tmp_path, limits=limits, with_stacks=False)
        actor.say("watching")
        end = time.monotonic() + 4.0
        while time.monotonic() < end:
            watchdog.scan()
            time.sleep(0.004)
        actor.say([f.verdict for f in watchdog.findings])

    def worker(actor):
        me(arena, "worker")
        while True:  # a step is much shorter than the limits, and much longer than a scan
            arena.native.begin("step")
            time.sleep(0.02)
            arena.native.end()

    actors.actor(worker)
    watcher = actors.actor(watch)
    watcher.expect("watching")
    os.kill(watcher.pid, signal.SIGSTOP)
    wait_until(stopped(watcher.pid), "the stop")
    time.sleep(1.5)  # the length of the stop is the test
    os.kill(watcher.pid, signal.SIGCONT)

    watcher.expect("[]")
    watcher.end()


def test_a_slow_waker_that_still_has_the_guard(arena, actors, strict, cell):
    guard, chan = arena.mutex("guard", may_sleep=True), arena.channel("bell")

    def sleeper(actor):
        me(arena, "sleeper")
        guard.acquire()
        chan.wait(guard, "bell", (cell, "count", 1))
        guard.release()
        actor.hear("stop")

    def waker(actor):
        me(arena, "waker")
        guard.acquire()
        cell.count = 1
        time.sleep(0.8)  # true, and not woken yet
        chan.wakeup()
        guard.release()
        actor.hear("stop")

    one = actors.actor(sleeper)
    wait_until(waiting(arena, "sleeper", C["SLEEPING"]), "the sleeper")
    assert_nothing_found(strict, [one, actors.actor(waker)], 1.2)


def test_a_waker_that_wakes_only_after_it_let_the_guard_go(arena, actors, strict, cell):
    guard, chan = arena.mutex("guard"), arena.channel("bell")

    def sleeper(actor):
        me(arena, "sleeper")
        guard.acquire()
        chan.wait(guard, "bell", (cell, "count", 1))
        guard.release()
        actor.hear("stop")

    def waker(actor):
        me(arena, "waker")
        arena.native.begin("produce")
        with guard:
            cell.count = 1
        end = time.monotonic() + 0.3
        while time.monotonic() < end:  # preempted here, say
            pass
        chan.wakeup()
        arena.native.end()
        actor.hear("stop")

    one = actors.actor(sleeper)
    wait_until(waiting(arena, "sleeper", C["SLEEPING"]), "the sleeper")
    assert_nothing_found(strict, [one, actors.actor(waker)], 0.8)


def test_a_circle_in_which_another_gives_up(arena, actors, strict):
    a, b = arena.mutex("left", nest=True), arena.mutex("right", nest=True)

    def one():
        with a:
            if b.acquire(timeout=0.05):
                b.release()

    def two():
        with b:
            a.try_acquire() and a.release()

    assert_nothing_found(
        strict, [actors.actor(busy(arena, "one", one)), actors.actor(busy(arena, "two", two))]
    )


def test_readers_beside_a_queued_writer(arena, actors, strict):
    lock = arena.rwlock("shared")

    def look():
        with lock.reading():
            pass

    def change():
        with lock:
            pass

    crew = [actors.actor(busy(arena, f"reader#{i}", look)) for i in range(3)]
    assert_nothing_found(strict, [*crew, actors.actor(busy(arena, "writer", change))])


def test_a_reader_that_passes_a_queued_writer(arena, actors, strict):
    lock = arena.rwlock("shared")

    def twice():
        lock.read()
        lock.read(pass_writers=True)
        lock.release()
        lock.release()

    def change():
        with lock:
            pass

    assert_nothing_found(
        strict, [actors.actor(busy(arena, "twice", twice)), actors.actor(busy(arena, "writer", change))]
    )


def test_many_waiters_on_one_busy_lock(arena, actors, strict):
    lock = arena.mutex("hot")

    def touch():
        with lock:
            time.sleep(0.005)

    assert_nothing_found(strict, [actors.actor(busy(arena, f"w#{i}", touch)) for i in range(8)])


def test_a_worker_that_ends_after_it_let_go(arena, actors, strict):
    lock = arena.mutex("once")

    def body(_actor):
        me(arena, "brief")
        with lock:
            pass

    for _ in range(5):
        actors.actor(body).end()
        strict.scan()

    assert look_for(strict, 0.3) == []


def test_a_stopped_worker_that_holds_nothing(arena, actors, quick):
    lock = arena.mutex("free")

    def body(actor):
        me(arena, "resting")
        actor.say("here")
        actor.hear("stop")

    def other():
        with lock:
            pass

    rest, work = actors.actor(body), actors.actor(busy(arena, "working", other))
    rest.expect("here")
    os.kill(rest.pid, signal.SIGSTOP)
    wait_until(stopped(rest.pid), "the stop")
    found = look_for(quick, 0.8)
    os.kill(rest.pid, signal.SIGCONT)
    for actor in (rest, work):
        actor.tell("stop")
        actor.end()

    assert found == []


def test_a_worker_that_was_killed_while_it_held_nothing(arena, actors, strict):
    lock = arena.mutex("other")

    def body(actor):
        me(arena, "unlucky")
        actor.say("here")
        actor.hear("never")

    def other():
        with lock:
            pass

    victim, work = actors.actor(body), actors.actor(busy(arena, "working", other))
    victim.expect("here")
    victim.kill()

    assert_nothing_found(strict, [work])
