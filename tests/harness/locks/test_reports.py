"""A report waits for its watcher, but no thread waits for the reporter's interpreter."""

import threading
from typing import Any

import pytest

from harness import _native
from harness.errors import ContractViolation, NotOwner, OwnerDied, SelfDeadlock
from harness.locks import reports
from harness.shm import native
from tests.harness.actors import LIMIT_S, wait_until
from tests.harness.locks import reported

C = _native.CONSTANTS


class Watcher:
    """A thread of this process that sees a report only when another thread of it may run."""

    def __init__(self, arena) -> None:
        self.arena, self.stop = arena, threading.Event()
        self.acked: list[Any] = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.beat()
        arena.native.mode |= C["WAIT_FOR_WATCHER"]

    def beat(self) -> None:
        self.arena.header.watcher_beat = self.arena.native.now()

    def _run(self) -> None:
        while not self.stop.wait(0.001):
            self.beat()
            for number in range(len(self.acked), self.arena.header.report_count):
                row = reports.row_at(self.arena, number)
                if row.state == number + 1:
                    seat = native.Seat.from_buffer(
                        self.arena.mapping, self.arena.native.offset_of_seat(row.seat)
                    )
                    self.acked.append((reports.KINDS[row.kind], seat.activity))
                    row.acked = number + 1


@pytest.fixture
def watcher(arena):
    arena.native.sit("reporter")
    it = Watcher(arena)
    it.thread.start()
    yield it
    it.stop.set()
    it.thread.join(LIMIT_S)


def dead_holder(lock, actors) -> None:
    def body(me):
        lock.acquire()
        me.say("holding")
        me.hear("never")

    actor = actors.actor(body)
    actor.expect("holding")
    actor.kill()


def releases_anothers(arena, _actors):
    with pytest.raises(NotOwner):
        arena.mutex("m").release()


def takes_its_own(arena, _actors):
    with arena.mutex("m"), pytest.raises(SelfDeadlock):
        arena.mutex("m").acquire()


def takes_a_dead_ones(arena, actors):
    lock = arena.mutex("dead")
    dead_holder(lock, actors)
    with pytest.raises(OwnerDied):
        lock.acquire(timeout=LIMIT_S)
    lock.recover()
    lock.release()


def tries_a_dead_ones(arena, actors):
    lock = arena.rwlock("dead")
    dead_holder(lock, actors)
    with pytest.raises(OwnerDied):
        lock.try_read()
    lock.recover()
    lock.release()


def takes_two_of_a_class(arena, _actors):
    """Of a rank, so that it may not: without one the order between the two would count."""
    two = [arena.mutex("two", i, rank=7) for i in (1, 2)]
    with two[0], two[1]:
        pass


def ends_an_operation_with_a_lock(arena, _actors):
    arena.native.begin("step")
    with arena.mutex("m"), pytest.raises(ContractViolation):
        arena.native.end()


def sleeps_with_a_lock(arena, _actors):
    with arena.mutex("m"):
        arena.native.io_begin("disk")
        arena.native.io_end()


def says_so_itself(arena, _actors):
    arena.native.report(C["REPORT_INVARIANT"], "it does not fit")


MISUSES = [
    releases_anothers,
    takes_its_own,
    takes_a_dead_ones,
    tries_a_dead_ones,
    takes_two_of_a_class,
    ends_an_operation_with_a_lock,
    sleeps_with_a_lock,
    says_so_itself,
]


@pytest.mark.parametrize("misuse", MISUSES, ids=lambda it: it.__name__)
def test_a_watcher_in_the_same_process_sees_every_report_while_it_waits(misuse, arena, actors, watcher):
    misuse(arena, actors)

    wait_until(lambda: len(watcher.acked) == arena.header.report_count == 1, "the report")
    assert watcher.acked[0][1] == C["REPORTING"], "the reporter had gone on: it could not be seen"
    assert arena.header.watcher_beat
    arena.native.require_nothing_held()


def test_a_report_that_was_never_finished_hides_no_later_one(arena, watcher):
    arena.native.mode &= ~C["WAIT_FOR_WATCHER"]
    arena.header.report_count += 1  # a reporter that was killed before it had written anything

    for word in ("one", "two"):
        arena.native.report(C["REPORT_INVARIANT"], word)

    assert [report.text for report in reported.reports(arena)] == ["one", "two"]
