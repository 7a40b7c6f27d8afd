"""A thread that ended with a lock: told once per death, by whichever sees it first, seats or a report.

The kernel hands the lock to the next thread, which is told and has to repair it.  So a death is a
notice at first.  Repaired, it stays one.  It is certain when the lock is let go unrepaired, and when
it is in doubt for ``repair_s`` while a thread has it or wants it; at the end of the run it is a finding
whenever it is still in doubt.
"""

import time
from dataclasses import dataclass
from typing import Any

import msgspec

from harness import _native
from harness.locks.reports import Report
from harness.locks.waitgraph import Edge
from harness.shm import native
from harness.shm.names import site_text
from harness.watch.detectors.history import History, Limits
from harness.watch.records import SeatFacts, Snapshot, Suspicion
from harness.watch.snapshot import Reader, ended_by

LATE_LOOKS, LATE_S = 50, 0.002
_C = _native.CONSTANTS


@dataclass
class Told:
    """A death of which the next holder was told."""

    offset: int
    who: str  # was told
    seat: int  # of the dead; 0: unknown, and so are the next two
    pid: int
    tid: int
    name: str
    rest: str
    ended: str = ""

    def how(self, reader: Reader) -> str:
        """How it ended, as soon as that is known."""
        self.ended = self.ended or ended_by(reader, self.pid, self.tid)
        return self.ended

    @property
    def ends(self) -> dict[int, str]:
        """The same as data, by seat, as far as it is known."""
        return {self.seat: self.ended} if self.ended else {}

    def death(self, reader: Reader) -> str:
        """The sentence about it."""
        if not self.pid:
            return f"{self.name}: {self.rest}"
        how = self.how(reader)
        return f"{self.name} died inside{f' ({how})' if how else ''} {self.rest}"


def open_stories(
    told: dict[str, tuple[Told, Suspicion]], reader: Reader, now: Snapshot, history: History, limits: Limits
) -> list[Suspicion]:
    """What has become of those that were told; a story that is over is taken out of ``told``."""
    found = []
    for key, (one, suspicion) in list(told.items()):
        doubt = reader.doubt(one.offset)
        if doubt == "repaired":
            del told[key]
            continue
        seen = history.hold(f"doubt:{key}", now.taken_ns)
        why, certain = suspicion.why, True
        if doubt == "broken":
            why = f"{one.death(reader)}; {one.who} was told and let it go unrepaired: it is broken for good"
        elif seen.told >= limits.repair_s:
            why = f"{one.death(reader)}; {one.who} was told and has not repaired it"
        else:
            certain = False
        found.append(msgspec.structs.replace(suspicion, why=why, ends=one.ends, certain=certain, at_end=True))
    return found


def orphans(now: Snapshot, graph: list[Edge], history: History, limits: Limits) -> list[Suspicion]:
    """The kernel marked the holder, and a thread waits for what it has; none waits: told at the end only.

    What an earlier run in the same arena left held is told again only when it stops a thread of this one.
    """
    found = []
    for seat in now.seats:
        waiters = [edge.waiter for edge in graph if edge.holder == seat.number]
        if not seat.dead or not (seat.held or waiters):
            continue
        wanted = {held.offset for held in seat.held}
        waiters += [
            other.number
            for other in now.seats
            if other.polled and other.polled.offset in wanted and other.number not in waiters
        ]
        if seat.id in history.dead_before and not waiters:
            continue
        seen = history.hold(f"orphaned:{seat.id}", now.taken_ns, bool(waiters))
        wanted_twice = bool(waiters) and seen.looks > 1
        found.append(
            Suspicion(
                verdict="orphaned_lock",
                key=f"orphaned_lock:{seat.id}",
                seats=[seat.number, *waiters],
                why=_sentence(seat, waiters),
                ends={seat.number: seat.ended} if seat.ended else {},
                certain=wanted_twice and (not seat.held or seen.told >= limits.repair_s),
                notice=wanted_twice,
                at_end=True,
                since_ns=seen.first_ns,
            )
        )
    return found


def _sentence(seat: SeatFacts, waiters: list[int]) -> str:
    how = f" ({seat.ended})" if seat.ended else ""
    if not seat.held:
        words = ", ".join(claim.word or f"the word at {claim.address}" for claim in seat.claims)
        return f"{seat.name} is dead{how} and was to change {words or 'what others wait for'}"
    locks = ", ".join(
        f"{held.lock} since {held.held_for_s:.3f} s, taken at {held.site}" for held in seat.held
    )
    waits = (
        f"; {len(waiters)} wait{'s' if len(waiters) == 1 else ''} for it"
        if waiters
        else "; no thread wants it"
    )
    return f"{seat.name} is dead{how} and still holds {locks}{waits}"


def of_report(reader: Reader, now: Snapshot, report: Report, who: str) -> tuple[Told, Suspicion]:
    """The next holder was told: it names itself, and the rows of the dead name who it was."""
    dead, lock = _who_died(reader, report.wanted_lock), report.wanted_name
    if dead is None:
        key, seats = f"orphaned_lock:report:{report.number}", [report.seat]
        told = Told(report.wanted_lock, who, 0, 0, 0, lock, "its last holder died inside")
    else:
        row, held = dead
        key, seats = f"orphaned_lock:{int(row.id)}", [report.seat, int(row.number)]
        name = f"{row.role.decode(errors='replace')} (pid {int(row.pid)})"
        age = max(0, now.taken_ns - int(held.since)) / 1e9
        rest = f"with {lock}, which it had taken {age:.3f} s ago at {reader.site(held.site)}"
        told = Told(report.wanted_lock, who, int(row.number), int(row.pid), int(row.tid), name, rest)
    for _ in range(LATE_LOOKS if told.pid else 0):
        if told.how(reader):  # the kernel marks the locks first and says how it ended a moment later
            break
        time.sleep(LATE_S)
    text = told.death(reader)
    return told, Suspicion(
        verdict="orphaned_lock",
        key=key,
        seats=seats,
        why=f"{text}; {who} took it next and was told",
        lines=[f"{who} {report.text}: {lock}", f"  {text}", f"  at {site_text(report.wanted_site)}"],
        ends=told.ends,
        notice=True,
        report=report,
        details=report.details,
        since_ns=report.when,
    )


def _who_died(reader: Reader, offset: int) -> tuple[Any, Any] | None:
    """The dead seat with the newest row for this lock: its row stays until the seat is taken again."""
    best: tuple[Any, Any] | None = None
    for row in reader.live():
        if not reader.dead(row.number):
            continue
        for i in range(min(row.depth, _C["MAX_HELD"])):
            held = row.held[i]
            taken = held.lock == offset and not held.kind & _C["INTENT"] and held.kind != _C["READ"]
            if taken and (best is None or held.since >= best[1].since):
                best = row, native.Held.from_buffer_copy(held)
    return best
