"""Each way to hang, made by real processes or threads, gets its name, its place and its reason."""

import faulthandler
import os
import signal
import subprocess
import sys
import threading

import pytest

from harness import _native
from harness.errors import SelfDeadlock
from harness.watch import providers
from harness.watch.detectors.judge import Limits
from harness.watch.watchdog import Watchdog
from tests.harness.actors import wait_until
from tests.harness.locks import reported
from tests.harness.watch.conftest import Cell
from tests.harness.watch.looking import (
    at_the_end,
    dumped,
    find,
    look_for,
    me,
    stopped,
    waiting,
)
from tests.waiting import LIMIT_S

C = _native.CONSTANTS


def forever(arena, role, first, second):
    """Take one lock, say so, and on the word take the other."""

    def body(actor):
        me(arena, role)
        first.acquire()
        actor.say("one")
        actor.hear("go")
        second.acquire()

    return body


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_two_locks_taken_crosswise_are_a_deadlock_that_names_everything(arena, actors, watchdog, mode):
    a, b = arena.mutex("alpha"), arena.mutex("beta")
    if mode == "thread":  # a thread that hangs cannot be killed: both live in a child that can
        host = actors.actor(two_threads(arena, a, b))
    else:
        pair = [
            actors.actor(forever(arena, "one", a, b)),
            actors.actor(forever(arena, "two", b, a)),
        ]
        for actor in pair:
            actor.expect("one")
        for actor in pair:
            actor.tell("go")

    found = find(watchdog, "deadlock")

    for word in ("one", "two", "alpha[0]", "beta[0]"):
        assert word in found.summary
    told = dumped(found)
    assert sum("test_judge.py:" in line for line in told.cycle) == 2
    assert {seat.role for seat in told.threads if seat.number in told.involved} == {"one", "two"}
    assert told.reproduce == "hangdog list scenarios"
    if mode == "thread":
        host.kill()


def two_threads(arena, a, b):
    def body(actor):
        barrier = threading.Barrier(2)

        def take(role, first, second):
            arena.native.sit(role)
            first.acquire()
            barrier.wait(LIMIT_S)
            second.acquire()

        for role, first, second in (("one", a, b), ("two", b, a)):
            threading.Thread(target=take, args=(role, first, second), daemon=True).start()
        actor.hear("never")

    return body


def test_three_in_a_circle_are_one_deadlock_in_reading_order(arena, actors, watchdog):
    locks = [arena.mutex("ring", i, nest=True) for i in range(3)]
    trio = [actors.actor(forever(arena, f"p{i}", locks[i], locks[(i + 1) % 3])) for i in range(3)]
    for actor in trio:
        actor.expect("one")
    for actor in trio:
        actor.tell("go")

    told = dumped(find(watchdog, "deadlock"))

    assert len(told.cycle) == 3
    seats = {seat.number: seat for seat in told.threads}
    order = [seats[number] for number in told.involved]
    for here, there in zip(order, order[1:] + order[:1], strict=True):
        assert here.wait.lock in [held.lock for held in there.held]


def test_two_readers_that_both_want_to_write_are_a_deadlock(arena, actors, watchdog):
    lock, gate = arena.rwlock("map"), arena.mutex("gate")

    def first(actor):  # holds read, wants the mutex
        me(arena, "first")
        lock.read()
        actor.say("one")
        actor.hear("go")
        gate.acquire()

    def second(actor):  # holds the mutex, wants write
        me(arena, "second")
        gate.acquire()
        actor.say("one")
        actor.hear("go")
        lock.write()

    pair = [actors.actor(first), actors.actor(second)]
    for actor in pair:
        actor.expect("one")
    for actor in pair:
        actor.tell("go")

    found = find(watchdog, "deadlock")

    assert "map[0]" in found.summary
    assert "gate[0]" in found.summary


def test_a_circle_through_a_claimed_word_is_a_deadlock(arena, actors, watchdog, cell):
    lock, guard, chan = arena.mutex("outer", may_sleep=True), arena.mutex("guard"), arena.channel("bell")
    cell.count = 1

    def owner(actor):
        me(arena, "owner")
        arena.native.claim(cell.address + Cell.count.offset)
        actor.say("claimed")
        actor.hear("go")
        lock.acquire()

    def sleeper(actor):
        me(arena, "sleeper")
        lock.acquire()
        guard.acquire()
        actor.say("going")
        chan.sleep(guard, "paging", until=(cell, "count", 0))

    one = actors.actor(owner)
    one.expect("claimed")
    two = actors.actor(sleeper)
    two.expect("going")
    wait_until(waiting(arena, "sleeper", C["SLEEPING"]), "the sleeper")
    one.tell("go")

    found = find(watchdog, "deadlock")

    assert "paging" in found.summary
    assert "outer[0]" in found.summary


def test_a_circle_through_a_registered_service_is_a_deadlock(arena, actors, watchdog, cell):
    lock, guard, chan = arena.mutex("held", may_sleep=True), arena.mutex("guard"), arena.channel("bell")
    address = cell.address + Cell.busy.offset
    providers.register(arena, name="words", served_by="server", address_offset=address)

    def server(actor):
        me(arena, "server#0")
        actor.hear("go")
        lock.acquire()

    def client(actor):
        me(arena, "client")
        lock.acquire()
        guard.acquire()
        chan.sleep(guard, "service", until=(cell, "busy", 1))

    one = actors.actor(server)
    actors.actor(client)
    wait_until(waiting(arena, "client", C["SLEEPING"]), "the client")
    one.tell("go")

    found = find(watchdog, "deadlock")

    assert "server#0" in found.summary


def test_two_that_wait_for_each_others_end_are_a_deadlock(arena, actors, watchdog):
    def joiner(role):
        def body(actor):
            actor.say(arena.native.sit(role))
            target = int(actor.inbox.get())
            arena.native.set_activity(C["JOINING"], target)
            actor.hear("never")

        return body

    pair = [actors.actor(joiner("left")), actors.actor(joiner("right"))]
    seats = [actor.listen() for actor in pair]
    pair[0].tell(seats[1])
    pair[1].tell(seats[0])

    found = find(watchdog, "deadlock")

    assert len(found.seats) == 2


def test_taking_ones_own_lock_is_seen_while_the_thread_is_still_there(arena, actors, watchdog):
    lock = arena.mutex("own")
    watchdog.scan()  # there is a watcher: the thread will wait for it
    arena.native.mode |= C["WAIT_FOR_WATCHER"]

    def body(actor):
        me(arena, "narcissus")
        lock.acquire()
        try:
            lock.acquire()
        except SelfDeadlock:
            actor.say("raised")
        lock.release()

    actor = actors.actor(body)
    found = find(watchdog, "self_deadlock")
    actor.expect("raised")
    actor.end()

    seat = next(seat for seat in dumped(found).threads if seat.role == "narcissus")
    assert [held.lock for held in seat.held] == ["own[0]"]
    assert seat.activity == "reporting"


def test_an_inversion_is_a_finding_with_both_lines_though_nothing_hangs(arena, actors, watchdog):
    a, b = arena.mutex("first"), arena.mutex("second")

    def body(first, second):
        def take(actor):
            me(arena, "turncoat")
            with first, second:
                pass

        return take

    actors.actor(body(a, b)).end()
    actors.actor(body(b, a)).end()

    found = find(watchdog, "order_violation")
    text = " ".join(dumped(found).cycle)
    assert "second[0]" in text
    assert text.count("test_judge.py:") == 2


def test_both_orders_by_one_thread_are_no_finding(arena, actors, watchdog):
    a, b = arena.mutex("first"), arena.mutex("second")

    def body(actor):
        me(arena, "alone")
        with a, b:
            pass
        with b, a:
            pass

    actors.actor(body).end()

    assert len(reported.notes(arena)) == 1
    assert look_for(watchdog, 0.1) == []
    assert reported.notes(arena)[0].acked


def test_an_unwoken_sleeper_whose_condition_holds_is_a_lost_wakeup(arena, actors, watchdog, cell):
    guard, chan = arena.mutex("guard"), arena.channel("bell")
    cell.count = 1

    def body(actor):
        me(arena, "sleeper")
        guard.acquire()
        chan.sleep(guard, "vospgc", until=(cell, "count", 0))

    actors.actor(body)
    wait_until(waiting(arena, "sleeper", C["SLEEPING"]), "the sleeper")
    assert look_for(watchdog, 0.2) == []
    arena.native.begin("store")
    with guard:
        cell.count = 0  # and no wakeup
        arena.native.changed(cell.address + Cell.count.offset)
    arena.native.end()

    found = find(watchdog, "lost_wakeup")

    assert "vospgc" in found.summary
    assert "cells[1].count == 0" in found.summary
    assert "no thread woke it" in found.summary


ALONE = """
import os, signal, sys, time
import harness.locks
from harness.shm.arena import Arena
from harness.watch.detectors.judge import Limits
from harness.watch.watchdog import Watchdog

arena = Arena.create("alone")
guard, chan = arena.mutex("guard"), arena.channel("bell")
watchdog = Watchdog(arena, None, limits=Limits(none_left_s=0.1), with_stacks=False)
child = os.fork()
if child == 0:
    arena.native.sit("abandoned")
    guard.acquire()
    chan.sleep(guard, "never")
end = time.monotonic() + 60
watchdog.run(lambda: bool(watchdog.findings) or time.monotonic() > end)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
print([(found.verdict, "no thread is left" in found.summary) for found in watchdog.findings])
"""


def test_a_sleeper_that_no_thread_can_wake_is_a_lost_wakeup():
    """A program of its own: the test runner has threads without a seat, which might wake it."""
    said = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=2 * LIMIT_S, check=False
    )

    assert (said.stdout, said.returncode) == ("[('lost_wakeup', True)]\n", 0), said.stderr


def test_a_thread_without_a_seat_may_be_the_one_that_wakes_it(arena, actors, tmp_path, cell):
    guard, chan = arena.mutex("guard"), arena.channel("bell")
    watchdog = Watchdog(arena, tmp_path, limits=Limits(none_left_s=0.1, stall_s=1.0), with_stacks=False)
    faulthandler.cancel_dump_traceback_later()
    arena.native.leave()

    def body(actor):
        threading.Thread(target=actor.hear, args=("fire",), daemon=True).start()
        me(arena, "waiter")
        guard.acquire()
        chan.sleep(guard, "timer", until=(cell, "count", 5))

    actors.actor(body)
    wait_until(waiting(arena, "waiter", C["SLEEPING"]), "the sleeper")

    found = find(watchdog, "stall")

    assert "without a seat: pid" in found.summary
    assert [f.verdict for f in watchdog.findings] == ["stall"]


def test_a_lock_whose_holder_was_killed_is_orphaned(arena, actors, watchdog):
    lock = arena.mutex("precious")

    def body(actor):
        me(arena, "victim")
        lock.acquire()
        actor.say("holding")
        actor.hear("never")

    actor = actors.actor(body)
    actor.expect("holding")
    actor.kill()

    found = at_the_end(watchdog, "orphaned_lock")

    assert "victim" in found.summary
    assert "precious[0]" in found.summary
    assert "test_judge.py:" in found.summary


def test_a_stopped_holder_that_others_wait_for_is_frozen(arena, actors, quick):
    lock = arena.mutex("wanted")

    def holder(actor):
        me(arena, "holder")
        lock.acquire()
        actor.say("holding")
        actor.hear("never")

    def waiter(_actor):
        me(arena, "waiter")
        lock.acquire()

    one = actors.actor(holder)
    one.expect("holding")
    actors.actor(waiter)
    wait_until(waiting(arena, "waiter"), "the waiter")
    os.kill(one.pid, signal.SIGSTOP)
    wait_until(stopped(one.pid), "the stop")

    found = find(quick, "frozen")

    os.kill(one.pid, signal.SIGCONT)
    assert "holder" in found.summary
    assert "stopped" in found.summary
