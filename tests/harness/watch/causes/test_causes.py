"""A dump names the class of the cause and the thread that brought it about, not only those that wait."""

import inspect
import re

import pytest

from harness import _native
from tests.harness.actors import wait_until
from tests.harness.watch.looking import dumped, find, me, waiting

C = _native.CONSTANTS


def address_of(cell):
    return cell.address + type(cell).count.offset


def line_of(function, text):
    """file:line of the line of a function that contains this text."""
    lines, first = inspect.getsourcelines(function)
    return f"test_causes.py:{first + next(i for i, line in enumerate(lines) if text in line)}"


def sleeper(arena, role, guard, chan, cell, more=()):
    def body(actor):
        me(arena, role)
        for lock in more:
            lock.acquire()
        actor.say("here")
        actor.hear("sleep")
        guard.acquire()
        chan.sleep(guard, "nap", until=(cell, "count", 0))
        actor.hear("stop")

    return body


def giver(arena, role, guard, cell):
    """Promises to change the word, then changes it without a wakeup."""

    def body(actor):
        me(arena, role)
        cell.count = 1
        arena.native.claim(address_of(cell))
        actor.say("promised")
        actor.hear("change")
        arena.native.begin("give")
        with guard:
            cell.count = 0
            arena.native.unclaim(address_of(cell))
        arena.native.end()
        actor.say("changed")
        actor.hear("stop")

    return body


def asleep(arena, role):
    wait_until(waiting(arena, role, C["SLEEPING"]), role)


def test_a_forgotten_sleeper_is_told_with_who_made_its_condition_true(arena, actors, watchdog, cell):
    guard, chan = arena.mutex("guard"), arena.channel("bell")
    one, two = actors.actor(giver(arena, "giver", guard, cell)), None
    one.expect("promised")
    two = actors.actor(sleeper(arena, "victim", guard, chan, cell))
    two.expect("here")
    two.tell("sleep")
    asleep(arena, "victim")
    one.tell("change")
    one.expect("changed")

    found = find(watchdog, "lost_wakeup")

    told = dumped(found)
    change = next(seat.wait.changed for seat in told.threads if seat.role == "victim")
    assert change.who == f"giver (pid {one.pid})"
    place = line_of(giver, "unclaim")
    assert place in change.site
    assert told.witnesses == [seat.number for seat in told.threads if seat.role == "giver"]
    assert f"last changed by giver (pid {one.pid}) at " in found.summary
    assert place in found.summary
    assert f"it is 0 since {change.age_s:.3f} s" in found.summary
    assert "no thread has ever posted a wakeup to bell[0]" in found.summary
    assert told.cause == "Cause: the thread that made the condition true did not wake its sleepers"
    assert told.cause in found.summary


def test_a_word_passed_on_is_not_changed_by_the_thread_that_passed_it_on(arena, actors, watchdog, cell):
    guard, chan = arena.mutex("guard"), arena.channel("bell")

    def passer(actor):
        me(arena, "passer")
        cell.count = 1
        arena.native.claim(address_of(cell))
        arena.native.pass_on(address_of(cell))
        actor.say("passed")
        actor.hear("stop")

    def heir(actor):
        me(arena, "heir")
        actor.hear("change")
        arena.native.begin("give")
        with guard:
            cell.count = 0
            arena.native.changed(address_of(cell))
        arena.native.end()
        actor.say("changed")
        actor.hear("stop")

    actors.actor(passer).expect("passed")
    two, three = actors.actor(sleeper(arena, "victim", guard, chan, cell)), actors.actor(heir)
    two.expect("here")
    two.tell("sleep")
    asleep(arena, "victim")
    three.tell("change")
    three.expect("changed")

    assert "last changed by heir" in find(watchdog, "lost_wakeup").summary


def test_a_sleep_although_the_condition_was_true_already_is_told_apart(arena, actors, watchdog, cell):
    guard, chan = arena.mutex("guard"), arena.channel("bell")
    one = actors.actor(giver(arena, "giver", guard, cell))
    one.expect("promised")
    one.tell("change")
    one.expect("changed")
    two = actors.actor(sleeper(arena, "victim", guard, chan, cell))
    two.expect("here")
    two.tell("sleep")

    told = dumped(find(watchdog, "lost_wakeup"))

    assert told.cause == "Cause: it went to sleep although the condition was already true"


def test_one_woken_of_two_is_told_apart(arena, actors, watchdog, cell):
    guard, chan = arena.mutex("guard"), arena.channel("bell")
    cell.count = 1
    for role in ("first", "second"):
        actor = actors.actor(sleeper(arena, role, guard, chan, cell))
        actor.expect("here")
        actor.tell("sleep")
        asleep(arena, role)
    arena.native.begin("give")
    with guard:
        cell.count = 0
        arena.native.changed(address_of(cell))
        chan.wakeup_one()
    arena.native.end()

    found = find(watchdog, "lost_wakeup")

    assert dumped(found).cause == "Cause: one sleeper was woken where several slept"
    assert re.search(r"a wakeup of bell\[0\], at \S*test_causes\.py:\d+ .* after it slept", found.summary)


def crosswise(arena, role, first, second):
    def body(actor):
        me(arena, role)
        first.acquire()
        actor.say("one")
        actor.hear("go")
        second.acquire()

    return body


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("alpha", "beta"), "two locks are taken in opposite orders"),
        (("alpha", "alpha"), "two locks of one class (alpha) are taken in opposite orders"),
    ],
)
def test_two_locks_taken_crosswise_are_called_so(arena, actors, watchdog, names, said):
    a, b = (arena.mutex(name, number, nest=True) for number, name in enumerate(names))
    crew = [actors.actor(crosswise(arena, "one", a, b)), actors.actor(crosswise(arena, "two", b, a))]
    for actor in crew:
        actor.expect("one")
    for actor in crew:
        actor.tell("go")

    told = dumped(find(watchdog, "deadlock"))

    assert told.cause == f"Cause: {said}"
    assert any(f"{b.name} is held by two" in line for line in told.cycle)
    assert any(f"{a.name} is held by one" in line for line in told.cycle)


def test_a_sleeper_with_the_lock_that_its_waker_needs_is_named_with_it(arena, actors, watchdog, cell):
    guard, kept, chan = arena.mutex("guard"), arena.mutex("kept", may_sleep=True), arena.channel("bell")

    def waker(actor):
        me(arena, "waker")
        cell.count = 1
        arena.native.claim(address_of(cell))
        actor.say("promised")
        actor.hear("go")
        kept.acquire()

    one = actors.actor(waker)
    one.expect("promised")
    two = actors.actor(sleeper(arena, "greedy", guard, chan, cell, more=(kept,)))
    two.expect("here")
    two.tell("sleep")
    asleep(arena, "greedy")
    one.tell("go")

    told = dumped(find(watchdog, "deadlock"))

    assert told.cause == (
        "Cause: greedy sleeps until waker has made cells[1].count == 0 true, and keeps kept[0], "
        "which waker needs first"
    )
    assert any("waker is to change that word" in line for line in told.cycle)


def test_a_broken_order_says_which_comes_first(arena, actors, watchdog):
    low, high = arena.mutex("low", rank=1), arena.mutex("high", rank=2)

    def body(actor):
        me(arena, "rebel")
        with high, low:
            pass

    actors.actor(body).end()

    assert "low comes before high" in dumped(find(watchdog, "order_violation")).cause
