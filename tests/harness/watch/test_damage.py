"""A damaged or unfinished row costs that row and not the watcher; a pause of it is not counted."""

import os
import signal

import pytest

from harness import _native
from harness.locks.reports import row_at
from harness.shm.roster import Roster
from harness.watch.detectors.judge import Limits
from harness.watch.watchdog import Watchdog
from tests.harness.actors import wait_until
from tests.harness.watch.looking import find, find_notice, look_for, me, stopped, waiting

C = _native.CONSTANTS


def test_reports_behind_one_that_was_never_finished_are_read(arena, actors, watchdog):
    arena.header.report_count += 1  # as one leaves it that is killed in the middle
    a, b = arena.mutex("first"), arena.mutex("second")

    def body(actor):
        me(arena, "turncoat")
        with a, b:
            pass
        with b, a:
            pass

    actors.actor(body).end()

    assert "second[0]" in find_notice(watchdog, "order_violation").summary  # one thread: told, no finding


def test_a_report_that_is_finished_late_is_read(arena, watchdog):
    arena.native.report(C["REPORT_PANIC"], "late words")
    row = row_at(arena, 0)
    state, row.state = row.state, 0
    assert look_for(watchdog, 0.1) == []

    row.state = state

    assert "late words" in find(watchdog, "panic").summary


@pytest.mark.parametrize("field", ["wait_lock", "polled_lock"])
def test_a_wild_row_costs_that_row_only(arena, actors, watchdog, field):
    def wild(actor):
        me(arena, "wild")
        seat = next(seat for seat in Roster(arena).seats if seat.role == b"wild")
        setattr(seat, field, (1 << 62) + 4)
        seat.activity = C["SLEEPING"]
        actor.say("wild")
        actor.hear("never")

    lock = arena.mutex("precious")

    def victim(actor):
        me(arena, "victim")
        lock.acquire()
        actor.say("holding")
        actor.hear("never")

    actors.actor(wild).expect("wild")
    other = actors.actor(victim)
    other.expect("holding")
    other.kill()

    assert look_for(watchdog, 0.1) == []
    assert "precious[0]" in watchdog.settle_notices()[0].summary


def held_up(arena, actors):
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
    return one


def test_a_stopped_holder_is_a_notice_and_at_the_stall_limit_a_finding(arena, actors, tmp_path):
    watchdog = Watchdog(arena, tmp_path, limits=Limits(frozen_s=0.2, stall_s=1.0), with_stacks=False)
    one = held_up(arena, actors)
    os.kill(one.pid, signal.SIGSTOP)
    wait_until(stopped(one.pid), "the stop")

    notice = find_notice(watchdog, "frozen")
    found = find(watchdog, "frozen")

    os.kill(one.pid, signal.SIGCONT)
    assert notice.key == found.key
    assert (notice.notice, found.notice) == (True, False)
    assert f"kill -CONT {one.pid}" in found.summary
    assert [one.verdict for one in watchdog.findings] == ["frozen"], "not a stall beside it"


def test_what_the_watcher_did_not_see_is_not_counted(arena, actors, tmp_path):
    watchdog = Watchdog(arena, tmp_path, limits=Limits(stall_s=3.0), with_stacks=False)
    held_up(arena, actors)
    watchdog.scan()
    for _ in range(3):
        watchdog._last_pass -= 60.0  # as after a minute in which it was stopped

        assert watchdog.scan() == []
    assert watchdog.history.clock < 3.0
