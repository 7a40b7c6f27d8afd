"""A thread that ended with a lock: told once per death, by whichever sees it first, seats or a report."""

import time
from typing import Any

from harness import _native
from harness.locks.reports import Report
from harness.locks.waitgraph import Edge
from harness.shm import native
from harness.shm.names import site_text
from harness.watch.detectors.history import History
from harness.watch.records import SeatFacts, Snapshot, Suspicion
from harness.watch.snapshot import Reader, ended_by

LATE_LOOKS, LATE_S = 50, 0.002
_C = _native.CONSTANTS


def orphans(now: Snapshot, graph: list[Edge], history: History) -> list[Suspicion]:
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
        seen = history.hold(f"orphaned:{seat.id}", now.taken_ns)
        found.append(
            Suspicion(
                verdict="orphaned_lock",
                key=f"orphaned_lock:{seat.id}",
                seats=[seat.number, *waiters],
                why=_sentence(seat, waiters),
                ends={seat.number: seat.ended} if seat.ended else {},
                certain=bool(waiters) and seen.looks > 1,
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


def of_report(reader: Reader, now: Snapshot, report: Report, who: str) -> Suspicion:
    """The next holder was told: it names itself, and the rows of the dead name who it was."""
    dead, ends = _who_died(reader, report.wanted_lock), dict[int, str]()
    if dead is None:
        key, text = (
            f"orphaned_lock:report:{report.number}",
            f"{report.wanted_name}: its last holder died inside",
        )
        seats = [report.seat]
    else:
        row, held = dead
        key, seats = f"orphaned_lock:{int(row.id)}", [report.seat, int(row.number)]
        fact = next((seat for seat in now.seats if seat.id == row.id), None)
        ended = fact.ended if fact else ""
        for _ in range(LATE_LOOKS):  # the kernel marks the locks first and says how it ended a moment later
            if ended:
                break
            time.sleep(LATE_S)
            ended = ended_by(reader, int(row.pid), int(row.tid))
        how = f" ({ended})" if ended else ""
        ends = {int(row.number): ended} if ended else {}
        age = max(0, now.taken_ns - int(held.since)) / 1e9
        name = f"{row.role.decode(errors='replace')} (pid {int(row.pid)})"
        text = (
            f"{name} died inside{how} with {report.wanted_name}, which it had taken {age:.3f} s ago at "
            f"{reader.site(held.site)}"
        )
    return Suspicion(
        verdict="orphaned_lock",
        key=key,
        seats=seats,
        why=f"{text}; {who} has it now, was told, and has to repair it",
        lines=[
            f"{who} {report.text}: {report.wanted_name}",
            f"  {text}",
            f"  at {site_text(report.wanted_site)}",
        ],
        ends=ends,
        certain=True,
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
