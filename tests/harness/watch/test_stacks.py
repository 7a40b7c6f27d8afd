"""Stacks of other processes: whose they are, which threads asking wakes, and which are not asked."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from functools import partial

import pytest

from harness.watch import stacks
from harness.watch.snapshot import Reader
from tests.harness.actors import LIMIT_S, wait_until
from tests.harness.watch.looking import built, me, stopped, waiting
from tests.waiting import join


def asleep(arena, actors):
    """A process that publishes its stack and sleeps on a channel for ever; (actor, seat, guard, channel)."""
    guard, bell = arena.mutex("guard"), arena.channel("bell")

    def sleep_in_here(actor):
        me(arena, "sleeper")
        stacks.enable(arena)
        guard.acquire()
        actor.say(arena.native.seat())
        bell.sleep(guard, "nap")
        actor.hear("never")

    actor = actors.actor(sleep_in_here)
    number = int(actor.listen())
    wait_until(waiting(arena, "sleeper"), "the sleeper")
    return actor, number, bell


@pytest.fixture
def patient(monkeypatch):
    """An answer is waited for: on a crowded machine half a second may be over before the thread runs."""
    monkeypatch.setattr(stacks, "ask", partial(stacks.ask, wait_s=LIMIT_S))


def test_a_stack_is_that_of_the_thread_and_asking_for_it_wakes_no_thread(arena, actors, patient):
    _, number, _ = asleep(arena, actors)

    told = built(arena, with_stacks=True, seats=[number])

    sleeper = next(seat for seat in told.threads if seat.number == number)
    assert any("sleep_in_here" in frame for frame in sleeper.stack)
    assert told.notes == []


def test_threads_that_begin_at_once_share_one_file(arena, actors, monkeypatch):
    """The first one's would be closed again when the second took its place, and it could never be asked."""
    made = os.memfd_create

    def begin_together(actor):
        opened, both = [], threading.Barrier(2)

        def slow(*given):
            opened.append(made(*given))
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(1.0)  # the other is at the same place, if nothing keeps it away
            return opened[-1]

        def thread():
            me(arena, "beginner")
            stacks.enable(arena)
            arena.native.leave()

        monkeypatch.setattr(os, "memfd_create", slow)
        threads = [threading.Thread(target=thread) for _ in range(2)]
        for one in threads:
            one.start()
        for one in threads:
            join(one)
        actor.say(len(opened))

    actors.actor(begin_together).expect("1")


def churn(depth=40):
    """Frames come and go all the time."""
    while depth:
        churn(depth - 1)
        depth -= 1


def test_a_running_thread_is_asked_for_its_stack_many_times_and_lives(arena, actors):
    """No other thread may walk its frames, as they change under it: that killed one process in three."""

    def two_threads(actor):
        me(arena, "runner")
        stacks.enable(arena)
        runner = threading.Thread(target=churn, daemon=True)
        runner.start()
        actor.say(f"{runner.native_id} {Reader(arena).seats[arena.native.seat() - 1].stack_fd}")
        actor.hear("enough")

    actor = actors.actor(two_threads)
    tid, fd = map(int, actor.listen().split())

    of_runner = [stacks.collect([(1, actor.pid, tid, fd)], LIMIT_S).get(1, []) for _ in range(50)]
    of_main = stacks.collect([(1, actor.pid, actor.pid, fd)], LIMIT_S)[1]

    assert any("two_threads" in frame for frame in of_main)
    assert sum("churn" in frames[0] for frames in of_runner if frames) > 40
    assert [frames for frames in of_runner if any("two_threads" in frame for frame in frames)] == []


def test_a_waiter_that_goes_on_while_its_stack_is_taken_is_noted_as_cured(arena, actors, monkeypatch):
    _, number, bell = asleep(arena, actors)
    ask = stacks.ask

    def cure(seats):
        asking = ask(seats)
        bell.wakeup()
        row = Reader(arena).seats[number - 1]
        wait_until(lambda: not row.activity, "its waking up")
        return asking

    monkeypatch.setattr(stacks, "ask", cure)

    told = built(arena, with_stacks=True, seats=[number])

    assert told.notes == [
        f"cured_by_probe: asking for its stack woke seat {number}: the wait may be a missed signal"
    ]


def test_a_stopped_process_is_not_asked_for_its_stack(arena, actors, monkeypatch):
    actor, number, _ = asleep(arena, actors)
    os.kill(actor.pid, signal.SIGSTOP)
    wait_until(stopped(actor.pid), "the stop")
    asked = []

    monkeypatch.setattr(stacks, "_signal", lambda *who: asked.append(who))

    told = built(arena, with_stacks=True, seats=[number])
    os.kill(actor.pid, signal.SIGCONT)

    assert asked == [], "it would answer when it goes on, too late for the dump"
    assert next(seat for seat in told.threads if seat.number == number).stack == []


def test_a_process_without_that_descriptor_has_no_stack(arena, actors):
    actor, _, _ = asleep(arena, actors)

    assert stacks.collect([(1, actor.pid, actor.pid, 10_000)]) == {}


def three_threads(actor_number, arena):
    """An actor's body: three threads wait, each so many calls deep; says (seat, tid, fd) of each."""

    def down(levels, actor, bell):
        if levels:
            return down(levels - 1, actor, bell)
        seat = arena.native.seat()
        actor.say(f"{seat} {threading.get_native_id()} {Reader(arena).seats[seat - 1].stack_fd}")
        return bell.wait(LIMIT_S)

    def body(actor):
        bell = threading.Event()

        def thread(levels):
            me(arena, f"thread {levels}")
            stacks.enable(arena)
            down(levels, actor, bell)
            arena.native.leave()

        threads = [threading.Thread(target=thread, args=(3 * actor_number + i,)) for i in range(3)]
        for one in threads:
            one.start()
        actor.hear("enough")
        bell.set()
        for one in threads:
            one.join(LIMIT_S)

    return body


def test_threads_of_several_processes_each_tell_their_own_stack(arena, actors):
    crew = [actors.actor(three_threads(number, arena)) for number in range(2)]
    asked, role_of = [], {}
    for actor in crew:
        for _ in range(3):
            seat, tid, fd = map(int, actor.listen().split())
            asked.append((seat, actor.pid, tid, fd))
            role_of[seat] = Reader(arena).seats[seat - 1].role.decode()

    found = stacks.collect(asked, LIMIT_S)

    depth = {role_of[seat]: sum(" down" in frame for frame in frames) for seat, frames in found.items()}
    assert depth == {f"thread {levels}": levels + 1 for levels in range(6)}
    for actor in crew:
        actor.tell("enough")
        actor.end()


REPLACED = """
import os
file = os.memfd_create("hangdog-stack", 0)  # inherited, so that only the handler is missing
print(os.getpid(), file, flush=True)
os.execvp("cat", ["cat"])
"""


def line_of(child):
    """The next line that it prints, in time."""
    ready, _, _ = select.select([child.stdout], [], [], LIMIT_S)
    assert ready, "the child printed nothing"
    return child.stdout.readline()


def test_a_process_that_runs_another_program_by_now_is_not_signalled():
    """SIGUSR2 would end it: the handler went with the program that had asked for it."""
    child = subprocess.Popen(
        [sys.executable, "-c", REPLACED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert child.stdin is not None
    pid, fd = map(int, line_of(child).split())
    child.stdin.write(b"here\n")
    assert line_of(child) == b"here\n", "the other program did not start"

    found = stacks.collect([(1, pid, pid, fd)])

    child.stdin.write(b"still here\n")
    assert (found, line_of(child)) == ({}, b"still here\n")
    child.communicate(timeout=LIMIT_S)
    assert child.returncode == 0
