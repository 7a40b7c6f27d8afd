"""A thread that was stopped at its own mistake: the dump names the class of the mistake, too."""

from types import SimpleNamespace

import pytest

from harness import _native
from harness.errors import HarnessError
from harness.locks import contract
from harness.locks.contract import contract as seam
from harness.run.exception_report import describe
from harness.shm.pool import JUNK
from tests.harness.actors import wait_until
from tests.harness.shm.test_pool import new_pool
from tests.harness.watch.looking import dumped, find, me, waiting

C = _native.CONSTANTS
FILL = int.from_bytes(bytes([JUNK] * 8), "little")


@seam
def keep(vm, thing):
    """A step that works on a thing.

    Enter:  thing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    vm.act(thing)


@seam
def part(vm, thing):
    """A step that gives the thing back.

    Enter:  thing locked.
    Exit:   thing unlocked.
    Takes:  nothing.
    Sleeps: never.
    """
    vm.act(thing)


@seam
def pause(vm):
    """A step that may wait.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes.
    """


@pytest.fixture
def world(arena, monkeypatch):
    ours = {name: step for name, step in contract.SEAMS.items() if step.where.startswith(__name__)}
    monkeypatch.setattr(contract, "SEAMS", ours)
    lock = arena.mutex("thing", 3)
    thing, more = SimpleNamespace(lock=lock), arena.mutex("more")
    # A thread that reports stays where it is until the watcher has seen it.
    arena.native.mode |= C["WAIT_FOR_WATCHER"]
    yield SimpleNamespace(arena=arena, act=lambda _: None, thing=thing, more=more)
    contract.unbind()


def cause(watchdog, actors, arena, mistake, verdict="contract_violation"):
    """Of what is found when another thread makes this mistake."""

    def body(actor):
        me(arena, "clumsy")
        contract.bind(True, {})
        try:
            mistake()
        except HarnessError as error:
            describe(error, arena, report=True)
        actor.hear("stop")

    watchdog.scan()  # it is watched from now on
    actors.actor(body)
    return dumped(find(watchdog, verdict)).cause


def test_a_step_that_lost_its_callers_lock(arena, actors, watchdog, world):
    def mistake():
        world.act = lambda thing: thing.lock.release()
        world.thing.lock.acquire()
        keep(world, world.thing)

    assert cause(watchdog, actors, arena, mistake) == (
        "Cause: keep came back without thing[3], and its caller goes on as if it had it"
    )


def test_who_took_the_lock_meanwhile_is_named(arena, actors, watchdog, world):
    def other(actor):
        me(arena, "heir")
        actor.hear("take")
        world.thing.lock.acquire()
        actor.say("taken")
        actor.hear("stop")

    heir = actors.actor(other)

    def mistake():
        def lose(thing):
            thing.lock.release()
            heir.tell("take")
            heir.expect("taken")

        world.act = lose
        world.thing.lock.acquire()
        keep(world, world.thing)

    assert cause(watchdog, actors, arena, mistake).endswith("as if it had it; heir holds it now")


def test_a_step_without_the_lock_that_it_needs(arena, actors, watchdog, world):
    assert cause(watchdog, actors, arena, lambda: keep(world, world.thing)) == (
        "Cause: keep works on what thing[3] guards, and its caller has not locked it"
    )


def test_a_lock_kept_on_one_way_out(arena, actors, watchdog, world):
    def mistake():
        world.thing.lock.acquire()
        part(world, world.thing)

    assert cause(watchdog, actors, arena, mistake) == (
        "Cause: on one of its ways out part does not give thing[3] back, and no other thread will"
    )


def test_a_step_that_may_wait_is_called_with_a_mutex_that_another_wants(arena, actors, watchdog, world):
    table = arena.rwlock("table")  # what is no mutex may be held

    def waiter(actor):
        me(arena, "victim")
        actor.hear("go")
        world.more.acquire()

    victim = actors.actor(waiter)

    def mistake():
        with table.reading(), world.more:
            victim.tell("go")
            wait_until(waiting(arena, "victim"), "the victim")
            pause(world)

    said = cause(watchdog, actors, arena, mistake)

    assert said.startswith(
        "Cause: pause may wait or takes locks of its own, and is called with more[0] held "
        "since tests/harness/watch/causes/test_reported.py:"
    )
    assert said.endswith("; victim waits for it already")


def test_a_sleep_with_a_lock(arena, actors, watchdog, world):
    guard, bell = arena.mutex("guard"), arena.channel("bell")

    def mistake():
        with world.more:
            guard.acquire()
            bell.sleep(guard, "nap")

    assert cause(watchdog, actors, arena, mistake) == (
        "Cause: a thread goes to sleep with more[0]: its waker, or who wants the lock, is kept out"
    )


@pytest.mark.parametrize(
    ("reference", "verdict", "said"),
    [
        (lambda _: 0, "panic", "a link is followed that is empty: its owner cleared it, or never set it"),
        (
            lambda _: FILL,
            "panic",
            "a record is still used although it was freed: its links are the fill of freed records",
        ),
        (
            lambda ref: ref,
            "unguarded_access",
            "a link outlived its record: things[1] was freed while another thread still went by the link",
        ),
    ],
)
def test_links_that_lead_nowhere(arena, actors, watchdog, world, reference, verdict, said):
    pool = new_pool(arena)
    gone = pool.allocate()
    ref = pool.ref(gone)
    pool.free(gone)

    assert cause(watchdog, actors, arena, lambda: pool(reference(ref)), verdict) == f"Cause: {said}"


def test_the_words_of_the_system_under_test_are_no_proof(arena, actors, watchdog, world):
    def mistake():
        raise HarnessError("page 4 is already active")

    assert cause(watchdog, actors, arena, mistake, "panic") == ""


def told(arena, watchdog, text, mistake=0):
    """The cause of a report with these words about the lock thing[3]."""
    lock = arena.mutex("thing", 3)
    arena.native.sit("clumsy")
    arena.native.report(C["REPORT_CONTRACT"], text, lock.offset, 0, mistake)
    return dumped(find(watchdog, "contract_violation")).cause


@pytest.mark.parametrize("mistake", [name for name in C if name.startswith("MISTAKE_")])
def test_the_cause_follows_from_the_facts_whatever_the_words_are(arena, watchdog, mistake):
    said = told(arena, watchdog, "page 4 is already active", C[mistake])

    assert said.startswith("Cause: ") == (mistake != "MISTAKE_READ_BOTH_WAYS")  # that is one of orders
    assert "page 4" not in said


def test_words_alone_are_no_facts(arena, watchdog):
    assert told(arena, watchdog, "keep: at exit it must hold thing[3]") == ""
