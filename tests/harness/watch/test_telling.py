"""The verdict and its dump come at once; the stacks later, and the report after them."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness import _native
from harness.locks.reports import row_at
from harness.watch import dump, pace, snapshot, stacks, watchdog
from harness.watch.telling import NO_STACKS_YET
from harness.watch.watchdog import Watchdog
from tests.harness.actors import LIMIT_S, wait_until
from tests.harness.watch.conftest import Cell
from tests.harness.watch.looking import dumped, me, waiting

MAY_CHOOSE_ITS_SLICE = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 12)
PANIC = _native.CONSTANTS["REPORT_PANIC"]


@pytest.fixture
def told():
    """What a watcher told, with its dump as it was at that moment."""
    return []


@pytest.fixture
def watcher(arena, tmp_path, told):
    return Watchdog(arena, tmp_path, on_finding=lambda found: told.append((found.verdict, dumped(found))))


def silent(monkeypatch):
    """From now on no stack comes in, until the list has something in it, or the time of a test is over."""
    answers: list[bool] = []
    poll, end = stacks.Asking.poll, time.monotonic() + LIMIT_S

    def late(asking):
        return bool(answers or time.monotonic() > end) and poll(asking)

    monkeypatch.setattr(stacks.Asking, "poll", late)
    return answers


def crosswise(arena, actors):
    """Two processes that hold a lock each; told "go", they want the other's."""
    locks = [arena.mutex("fork", number, nest=True) for number in range(2)]

    def philosopher(number):
        def body(actor):
            me(arena, f"philosopher#{number}")
            stacks.enable(arena)
            locks[number].acquire()
            actor.say("holding")
            actor.hear("go")
            locks[1 - number].acquire()

        return body

    crew = [actors.actor(philosopher(number)) for number in range(2)]
    for actor in crew:
        actor.expect("holding")
    return crew


def hang(arena, crew):
    for number, actor in enumerate(crew):
        actor.tell("go")
        wait_until(waiting(arena, f"philosopher#{number}"), f"philosopher {number}")


def look_until(watcher, done, what):
    def looked():
        watcher.one_pass()
        return done()

    wait_until(looked, what)


def test_a_deadlock_is_found_while_stacks_of_another_finding_are_awaited(
    arena, actors, watcher, told, monkeypatch
):
    crew = crosswise(arena, actors)
    answers = silent(monkeypatch)
    arena.native.report(PANIC, "gave up")
    look_until(watcher, lambda: watcher.telling._asked, "the probe")

    hang(arena, crew)
    early: list[Any] = []

    def all_three():
        if len(watcher.findings) == 3 and not early:
            early.extend([*(dumped(found) for found in watcher.findings), list(told)])
            answers.append(True)
        return early

    watcher.run(all_three)

    *first, told_before = early
    assert {one.verdict for one in first} == {"panic", "order_violation", "deadlock"}
    assert all(NO_STACKS_YET in one.notes for one in first)
    assert not any(seat.stack for one in first for seat in one.threads)
    assert told_before == []
    assert [verdict for verdict, _ in told] == [found.verdict for found in watcher.findings]
    whole = dict(told)["deadlock"]
    assert NO_STACKS_YET not in whole.notes
    involved = [seat for seat in whole.threads if seat.number in whole.involved]
    assert len(involved) == 2
    assert all(any(" body" in frame for frame in seat.stack) for seat in involved)
    assert whole.processes, "facts about processes come with the stacks"


def test_the_second_look_comes_before_the_stacks(arena, actors, watcher, cell, monkeypatch):
    """A signal could cure what is only suspected so far."""
    guard, bell = arena.mutex("guard"), arena.channel("bell")
    cell.count = 1

    def sleeper(_actor):
        me(arena, "sleeper")
        stacks.enable(arena)
        guard.acquire()
        bell.sleep(guard, "nap", until=(cell, "count", 0))

    actors.actor(sleeper)
    wait_until(waiting(arena, "sleeper", _native.CONSTANTS["SLEEPING"]), "the sleeper")
    arena.native.begin("store")
    with guard:
        cell.count = 0  # and no wakeup
        arena.native.changed(cell.address + Cell.count.offset)
    arena.native.end()
    known_then, signal = [], stacks._signal

    def note(*who):
        known_then.append({found.verdict for found in watcher.findings})
        signal(*who)

    monkeypatch.setattr(stacks, "_signal", note)
    arena.native.report(PANIC, "gave up")
    look_until(watcher, lambda: known_then, "the first signal")
    watcher.telling.finish()

    assert known_then[0] == {"panic", "lost_wakeup"}


def test_a_circle_is_confirmed_in_the_pass_that_sees_it_first(arena, actors, watcher):
    crew = crosswise(arena, actors)
    watcher.scan()
    hang(arena, crew)

    assert "deadlock" in {found.verdict for found in watcher.scan()}


def test_a_thread_that_reports_goes_on_when_its_stack_is_in(arena, watcher, told, monkeypatch):
    answers = silent(monkeypatch)
    arena.native.report(PANIC, "gave up")
    look_until(watcher, lambda: watcher.findings, "the finding")
    record = row_at(arena, 0)

    assert (record.acked, told) == (0, [])
    answers.append(True)
    watcher.telling.finish()

    assert (record.acked, len(told)) == (1, 1)


def test_a_run_that_is_over_leaves_no_dump_without_its_stacks(arena, actors, watcher, told):
    crew = crosswise(arena, actors)
    hang(arena, crew)

    watcher.run(lambda: any(found.verdict == "deadlock" for found in watcher.findings))

    assert "deadlock" in dict(told)
    for found in watcher.findings:
        assert NO_STACKS_YET not in dumped(found).notes


def test_stacks_that_cannot_be_asked_for_are_noted_and_the_finding_is_told(arena, watcher, told, monkeypatch):
    def broken(*_):
        raise RuntimeError("no signals today")

    monkeypatch.setattr(dump, "Probe", broken)
    arena.native.report(PANIC, "gave up")

    watcher.scan()

    ((verdict, whole),) = told
    assert verdict == "panic"
    assert any("no signals today" in note for note in whole.notes)
    assert NO_STACKS_YET not in whole.notes


def test_without_a_folder_the_finding_has_the_whole_text(arena, actors):
    crew = crosswise(arena, actors)
    hang(arena, crew)
    watcher = Watchdog(arena, None)

    watcher.run(lambda: any(found.verdict == "deadlock" for found in watcher.findings))

    found = next(found for found in watcher.findings if found.verdict == "deadlock")
    assert found.dump == ""
    assert "stack, innermost first" in found.text


# --- its place among others


def slice_of(pid):
    """How many ns the kernel grants it at a time; None: it does not say."""
    lines = Path(f"/proc/{pid}/sched").read_text().splitlines()
    return next((int(line.split(":")[1]) for line in lines if line.startswith("se.slice")), None)


def test_a_watcher_asks_to_be_scheduled_soon_and_gives_that_back():
    before, usual = os.getpriority(os.PRIO_PROCESS, 0), slice_of(os.getpid())

    with pace.hurried():
        inside, small = os.getpriority(os.PRIO_PROCESS, 0), slice_of(os.getpid())

    assert inside <= before
    if MAY_CHOOSE_ITS_SLICE and usual:
        assert small == pace.SLICE_NS
    assert (os.getpriority(os.PRIO_PROCESS, 0), slice_of(os.getpid())) == (before, usual)


def test_a_circle_that_is_gone_at_the_second_look_is_none(arena, actors, watcher, monkeypatch):
    """One of the two is interrupted between the looks, as by an alarm, and gives up."""
    locks = [arena.mutex("fork", number, nest=True) for number in range(2)]

    class Alarm(Exception):
        pass

    def give_up(*_):
        raise Alarm

    def body(actor, first, second):
        locks[first].acquire()
        actor.say("holding")
        actor.hear("go")
        locks[second].acquire()

    def patient(actor):
        me(arena, "patient")
        body(actor, 0, 1)
        actor.hear("never")

    def called_away(actor):
        me(arena, "called away")
        signal.signal(signal.SIGUSR1, give_up)
        with contextlib.suppress(Alarm):
            body(actor, 1, 0)
        locks[1].release()
        actor.say("gave up")
        actor.hear("never")

    crew = [actors.actor(patient), actors.actor(called_away)]
    for actor in crew:
        actor.expect("holding")
    for actor, role in zip(crew, ("patient", "called away"), strict=True):
        actor.tell("go")
        wait_until(waiting(arena, role), role)
    looks, take = [], snapshot.take

    def then_the_alarm(reader):
        looks.append(take(reader))
        if len(looks) == 1:
            os.kill(crew[1].pid, signal.SIGUSR1)
            crew[1].expect("gave up")
        return looks[-1]

    monkeypatch.setattr(watchdog, "take", then_the_alarm)
    watcher.scan()

    assert len(looks) == 2, "there was no circle to look at again"
    assert "deadlock" not in {found.verdict for found in watcher.findings}
