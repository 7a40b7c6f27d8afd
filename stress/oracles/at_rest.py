"""Checks that no lock can make: contents, invariants at rest, and that nothing is left at the end.

A failure is an ``OracleFailure`` with its ``verdict``.  ``harness.run`` reports what ends a worker
while the thread is still there, so the watchdog dumps the world around it, and the operation that
failed is still the current one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from harness.clock import WatchedClock
from harness.errors import HarnessError, TableFull
from harness.run.scheduling import OwnTime
from harness.shm.checked import unguarded
from harness.shm.facts import Fact, Subject
from harness.shm.names import role_of
from harness.shm.roster import Roster, SeatInfo
from stress.oracles.hidden_pages import watch_space
from vmcore.audit.audit import all_gone, audit
from vmcore.config import OPTIONS
from vmcore.constants import KERN_RESOURCE_SHORTAGE, KERN_SUCCESS
from vmcore.object.object_cache import cache_clear
from vmcore.page.vm_wait import wake_daemon
from vmcore.show.show import chain_behind, show_entry, walk
from vmcore.structs import Vmspace
from vmcore.vm import Vm
from vmcore.vm_error import Left, kern_text, subjects

SHOWN = 20  # violations in one failure; the rest is counted
REST_S = 10.0  # how long the daemon may take to come to rest with no thread asking for memory


class OracleFailure(HarnessError):
    """The system under test did something wrong, and an oracle saw it.  Each subclass has its verdict."""

    verdict = "invariant_violation"

    def __init__(self, facts: Sequence[str]) -> None:
        more = len(facts) - SHOWN
        super().__init__("; ".join(facts[:SHOWN]) + (f"; and {more} more" if more > 0 else ""))
        self.facts = list(facts)


class InvariantViolated(OracleFailure):
    """An A or Q invariant (docs/reference, section 6) does not hold, or a legal operation was refused."""


class WrongData(OracleFailure):
    """A read returned what no order of the stores explains."""

    verdict = "wrong_data"


class Leak(OracleFailure):
    """Something is still there after every process has gone."""

    verdict = "leak"


def table_full(vm: Vm, table: str) -> TableFull:
    """A table has no record left: not the VM's fault but its configuration's."""
    return TableFull(f"vm_{table}", getattr(vm.config, table), OPTIONS[table])


def require_done(what: str, address: int, code: int) -> None:
    """An operation that is legal must succeed.  InvariantViolated when it did not."""
    if code != KERN_SUCCESS:
        failure = InvariantViolated([f"{what} at {address:#x} failed: {kern_text(code)}"])
        failure.exhausted = code == KERN_RESOURCE_SHORTAGE
        raise failure


@unguarded()  # read without a lock: a hint for people
def wrong_data(vm: Vm, space: Vmspace, va: int, what: str) -> WrongData:
    """The failure for a read that returned the wrong bytes; names the entry and its chain."""
    entries = walk(vm.entries.views, vm.maps(space.map).first, "next")
    entry = next((one for one in entries if one.start <= va < one.end), None)
    chain = show_entry(vm, entry) if entry is not None else "no entry"
    return WrongData(
        [
            Fact(
                "",
                f"vmspace {space.slot} read {va:#x}: {what}; {chain}",
                [Subject("vm_vmspaces", space.slot, va), *subjects(chain_behind(vm, entry))],
            )
        ]
    )


# --- the world at rest


@unguarded()
def come_to_rest(vm: Vm, limit: float = REST_S) -> None:
    """Wait until the daemon and the disk workers have nothing to do.  All workers are parked.

    Looks instead of sleeping on a channel: this is the supervisor, between epochs, and what it does
    must not change what the daemon does.  Errors: InvariantViolated when they never come to rest.
    """
    patience = Patience(vm, limit)
    if services(vm):  # without a daemon no thread would ever take the poke
        wake_daemon(vm)
    while not at_rest(vm):
        if patience.is_over():
            g = vm.g
            left = f"{g.writes_in_flight} writes in flight, pending record {g.inuse_first}"
            raise InvariantViolated([f"the daemon does not come to rest: {left}, poked {g.pages_needed}"])
        time.sleep(0.001)


class Patience:
    """Have the services had so many seconds of their own?

    What does not count: time that was not watched, and time in which one of them was stopped from outside or
    waited for a processor.
    """

    def __init__(self, vm: Vm, limit: float) -> None:
        self.vm, self.limit, self.spent = vm, limit, 0.0
        self.clock, self.own = WatchedClock(), OwnTime(float("inf"))
        self.last = self.clock.now()

    def is_over(self) -> bool:
        """To be asked often."""
        now = self.clock.now()
        passed, self.last = now - self.last, now
        threads = [(row.pid, row.tid) for row in services(self.vm)]
        self.spent += self.own.passed(passed, threads, []) if threads else passed
        return self.spent > self.limit


def at_rest(vm: Vm) -> bool:
    """No write under way, no poke unanswered, and the services sleep idly."""
    g = vm.g
    if g.inuse_first or g.writes_in_flight or g.pages_needed or g.memory_waiters:
        return False
    return all(row.activity == "idle" and row.depth == 0 for row in services(vm))


def services(vm: Vm) -> list[SeatInfo]:
    """The seats of daemon and disk workers."""
    rows = Roster(vm.arena).rows()
    return [row for row in rows if row.alive and role_of(row.role) in ("pageout", "disk")]


def audit_at_rest(vm: Vm) -> None:
    """The quiescent invariants, before and after a sweep, and the space oracle.

    Errors: InvariantViolated naming every violation; Leak naming the objects that hold hidden pages.
    """
    require_in_order(vm)
    facts = watch_space(vm, partial(come_to_rest, vm) if services(vm) else None)
    if facts:
        raise Leak(facts)
    require_in_order(vm)  # a collapse is an operation, too


def require_in_order(vm: Vm) -> None:
    """The daemon rests, and everything fits together.  Errors: InvariantViolated."""
    come_to_rest(vm)
    facts = audit(vm)
    if facts:
        raise InvariantViolated(facts)


def audit_the_end(vm: Vm) -> None:
    """All processes are gone: zero user objects, zero swap, all frames free."""
    come_to_rest(vm)
    cache_clear(vm)
    come_to_rest(vm)
    facts = all_gone(vm)
    if facts:
        raise Leak(facts) if all(isinstance(fact, Left) for fact in facts) else InvariantViolated(facts)
