import os
import threading

import pytest

from harness.shm import native
from harness.shm.roster import Roster
from tests.harness.actors import wait_until


def test_a_seat_says_which_thread_has_it_and_what_that_does(arena):
    number = arena.native.sit("reader")
    arena.native.begin("look", 77)
    arena.native.end()
    arena.native.begin("look again", 78)
    arena.native.failure()
    with arena.mutex("lock"):
        row = Roster(arena).row(number)

    assert (row.number, row.role, row.pid, row.tid) == (
        number,
        "reader",
        os.getpid(),
        threading.get_native_id(),
    )
    assert (row.operation, row.operation_argument, row.steps, row.failures) == ("look again", 78, 1, 1)
    assert (row.activity, row.depth) == ("running", 1)
    assert row.alive
    assert not row.left
    assert not row.dead
    assert row.seated > 0


def test_a_thread_that_ends_has_left_and_a_killed_process_is_dead(arena, actors):
    arena.native.sit("test")

    def body(me):
        arena.native.sit("guest")
        me.say("seated")
        me.hear("end")

    thread, process = actors.actor(body, "thread"), actors.actor(body)
    for actor in (thread, process):
        actor.expect("seated")
    roster = Roster(arena)
    assert [row.role for row in roster.rows()] == ["test", "guest", "guest"]
    assert [row.pid for row in roster.rows()].count(process.pid) == 1

    pid = process.pid
    process.kill()
    thread.tell("end")
    thread.end()

    def guests():
        return {row.pid: row for row in roster.rows(left=True) if row.role == "guest"}

    # A thread gives its seat back in its very last moment, after ``join`` has returned.
    wait_until(lambda: guests()[os.getpid()].left, "the thread's seat given back")
    assert guests()[pid].dead
    assert not guests()[pid].alive
    assert [row.role for row in roster.rows()] == ["test", "guest"]
    assert [row.alive for row in roster.rows()] == [True, False]


def test_a_seat_is_dead_by_the_kernels_mark_and_not_by_its_pid(arena):
    number = arena.native.sit("me")
    roster = Roster(arena)

    roster.seats[number - 1].pid += 1  # shown, and nothing else
    assert not roster.row(number).dead

    roster.seats[number - 1].tid += 1  # not the thread that the kernel has in `life`
    assert roster.row(number).dead


def test_waiting_shows_as_what_one_waits_for(arena, actors):
    arena.native.sit("test")
    channel = arena.channel("bell")

    def sleeper(me):
        arena.native.sit("sleeper")
        me.say(arena.native.seat())
        channel.block(channel.intend(), "nap")

    actor = actors.actor(sleeper)
    number = int(actor.listen())
    roster = Roster(arena)
    while roster.row(number).activity != "sleeping":
        os.sched_yield()

    channel.wakeup()
    actor.end()

    assert roster.row(number).activity == "running"


def test_a_seat_that_does_not_exist_is_an_error(arena):
    for number in (0, 33):
        with pytest.raises(IndexError, match=f"seat {number} of 32"):
            Roster(arena).row(number)


def test_seats_are_read_in_place(arena):
    roster = Roster(arena)

    assert len(roster.seats) == 32
    assert [seat.number for seat in roster.seats] == list(range(1, 33))
    assert all(isinstance(seat, native.Seat) for seat in roster.seats)
