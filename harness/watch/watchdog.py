"""The watcher: a process of its own that only looks.

Each pass reads a few words per seat.  Only when a thread has waited through two passes, or
a report has come, or nothing has been looked at for a while, is a whole snapshot taken and
judged.  What is proved is a finding; the rest is a notice, which becomes a finding when it
still holds after its limit or at the end (``settle_notices``).  The watcher never takes a lock
of the arena and never needs the workers' help; killed or stopped, it leaves nothing behind
that any thread waits for.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from harness import _native
from harness.locks.reports import Report, report_at, row_at
from harness.outcome import Finding
from harness.shm.arena import Arena
from harness.shm.names import site_text
from harness.watch import census, pace
from harness.watch import dump as dumps
from harness.watch.detectors import orphans
from harness.watch.detectors.judge import History, Limits, judge
from harness.watch.records import RunMeta, Snapshot, Suspicion
from harness.watch.snapshot import Reader, take
from harness.watch.telling import Telling

_C = _native.CONSTANTS
_BLOCKED = {
    _C[name] for name in ("WAIT_MUTEX", "WAIT_READ", "WAIT_WRITE", "WAIT_UPGRADE", "SLEEPING", "JOINING")
}
ORDER = ("order", "order_note")
CIRCLES = ("deadlock", "self_deadlock")
PERIOD_S = 0.002  # a pass reads two words of a seat: cheap
WHOLE_S = 0.004  # between two whole looks, which are some hundred times dearer
CENSUS_S = 0.5  # the threads without a seat are counted this often at most: it reads much of /proc
GAP_GIVEN_UP_S = 1.0
LOOK_S = 0.25  # a whole look at least this often
AGAIN_S = 0.001  # something was suspected for the first time: the second look comes at once
GAP_S = 0.5  # between two passes; what is longer was not watched: we were stopped, or the machine was


def _nothing() -> None:
    """No thread waits until this is recorded."""


def _report_key(report: Report) -> str:
    """What counts as the same report: of an order, the two classes; else the thread and the place.

    Both threads of a pair that is taken both ways at once may report it, each its own side.
    """
    if report.kind in ORDER:
        return "order:" + ":".join(sorted((report.held, report.wanted)))
    where = (report.held_lock, report.wanted_lock, site_text(report.held_site), site_text(report.wanted_site))
    return f"report:{report.kind}:{report.seat}:{':'.join(map(str, where))}"


def _report_lines(report: Report, who: str) -> list[str]:
    since = site_text(report.held_site)
    lines = [f"{who} {report.text}"]
    if report.details.mistake == "read_both_ways":
        lines.append(f"  others read {report.held_name} first, at {since}")
    elif report.held_lock:
        # A complaint may be about a lock that it should hold, and does not.
        name = report.held_name
        lines.append(f"  holds {name} since {since}" if report.held_site[1] else f"  about {name}")
    if report.wanted_site[1]:
        lines.append(f"  at {site_text(report.wanted_site)}")
    return lines


class Watchdog:
    """``scan()`` is one pass; ``run(stop)`` looks until ``stop()`` is true.

    ``gatekeeper()`` names what may now let a parked thread go on; empty: nothing, as long as no other
    thread parks.
    """

    def __init__(
        self,
        arena: Arena,
        dump_dir: Path | None,
        meta: RunMeta | None = None,
        on_finding: Callable[[Finding], None] | None = None,
        *,
        period_s: float = PERIOD_S,
        limits: Limits | None = None,
        with_stacks: bool = True,
        dead_before: frozenset[int] = frozenset(),
        gatekeeper: Callable[[], str] = lambda: "the gate where threads are parked",
    ) -> None:
        self.arena, self.period_s, self.limits = arena, period_s, limits or Limits()
        self.reader = Reader(arena)
        self.telling = Telling(self.reader, dump_dir, meta or RunMeta(), on_finding, with_stacks)
        dumps.versions()
        self.history = History(dead_before=dead_before)
        self._gatekeeper = gatekeeper
        self._known: set[str] = set()  # keys of findings
        self._noticed: set[str] = set()
        self._next_report = 0
        self._gaps: dict[
            int, float
        ] = {}  # numbers of reports that are being written, and when we first saw so
        self._last_pass = self._last_look = time.monotonic()
        self._pulse: dict[int, int] = {}
        self._again = self._put_off = False
        self._told: dict[str, tuple[orphans.Told, Suspicion]] = {}  # deaths whose locks are in doubt
        self._suspected: set[str] = set()  # at the last look, and not yet certain
        self._counted = float("-inf")

    @property
    def findings(self) -> list[Finding]:
        """What was found so far."""
        return self.telling.findings

    @property
    def notices(self) -> list[Finding]:
        """What was noticed and is not proved."""
        return self.telling.notices

    def run(self, stop: Callable[[], bool]) -> None:
        """Look until told to stop.  For a process of its own: it gives its seat in the arena back."""
        self.arena.native.leave()
        with pace.hurried():
            while not stop():
                self.one_pass()
                time.sleep(AGAIN_S if self._again or self.telling.waits else self.period_s)
            self.telling.finish()

    def scan(self) -> list[Finding]:
        """One pass with all that it leads to; the findings that are new, with their stacks."""
        before = len(self.findings)
        self._pass()
        self.telling.finish()
        return self.findings[before:]

    def one_pass(self) -> None:
        """One pass that waits for nothing: what it finds is written down, and told when its stacks are in."""
        self._pass()
        # A signal may cure what is only suspected so far, and the answers cost time: the second look first.
        self._put_off = self._again and not self._put_off
        if not self._put_off:
            self.telling.move_on()

    def _pass(self) -> None:
        now = time.monotonic()
        self.history.clock += min(now - self._last_pass, GAP_S)
        self._last_pass = now
        self.arena.header.watcher_beat = self.reader.native.now()
        reports = self._reports()
        blocked = self._blocked()
        since = now - self._last_look
        if not (reports or self._again or (blocked and since >= WHOLE_S) or since >= LOOK_S):
            return
        self._last_look = now
        snapshot = take(self.reader)
        decided = self.reader.native.exact_now()
        found = [(snapshot, self._from_report(snapshot, report), self._ack_of(report)) for report in reports]
        found += [(snapshot, one, _nothing) for one in self._certain_or_new(self._judge(snapshot))]
        if any(one.verdict in CIRCLES and not one.certain for _, one, _ in found):
            # What waits in two looks in one and the same wait has waited all the time between them, however
            # short that was.  So nothing is gained by a pause, and much lost on a crowded machine.
            snapshot = take(self.reader)
            found += [(snapshot, one, _nothing) for one in self._certain_or_new(self._judge(snapshot))]
            decided = self.reader.native.exact_now()
        for at, suspicion, then in found:
            self._settle(at, suspicion, decided, then)

    def _certain_or_new(self, suspected: list[Suspicion]) -> list[Suspicion]:
        """Those of a look that lead to something: a word, or a second look, which is all that is missing."""
        before = self._suspected
        self._suspected = {one.key for one in suspected if not one.certain}
        self._again = not self._suspected <= before
        return [one for one in suspected if one.certain or one.notice or one.key not in before]

    def _judge(self, snapshot: Snapshot) -> list[Suspicion]:
        """What the rules say; once more with the threads without a seat, when a rule asks for them.

        The count lies between two looks that agree: a thread that waited in both waited all the time, and
        could start no other.
        """
        found = judge(snapshot, self.history, self.limits)
        found += orphans.open_stories(self._told, self.reader, snapshot, self.history, self.limits)
        due = self.history.clock - self._counted >= CENSUS_S or any(
            one.verdict == "stall" and not {one.key} & (self._known | self._noticed) for one in found
        )
        if not self.history.wants_census or not due:
            return found
        self._counted = self.history.clock
        outsiders, closed = census.outsiders(self.reader, snapshot)
        if any(seat.wait and seat.wait.kind == "parked" and not seat.dead for seat in snapshot.seats):
            outsiders += [name] if (name := self._gatekeeper()) else []
        again = msgspec.structs.replace(take(self.reader), outsiders=outsiders, closed=closed)
        return [*judge(again, self.history, self.limits), *(one for one in found if one.key in self._told)]

    def _reports(self) -> list[Report]:
        """Those that are complete.  One whose writer was killed or is slow does not stop the later ones."""
        found = []
        end = int(self.arena.header.report_count)
        numbers = [*self._gaps, *range(max(self._next_report, end - _C["REPORTS"]), end)]
        self._next_report = end
        for number in numbers:
            try:
                report = report_at(self.arena, number)
            except (LookupError, ValueError):  # overwritten, or not to be read
                self._gaps.pop(number, None)
                continue
            if report is not None:
                self._gaps.pop(number, None)
                found.append(report)
            elif self.history.clock - self._gaps.setdefault(number, self.history.clock) > GAP_GIVEN_UP_S:
                del self._gaps[number]
        return sorted(found, key=lambda report: report.number)

    def settle_notices(self) -> list[Finding]:
        """At the end of a run, before anything is ended: what was a notice and still holds is a finding."""
        before = len(self.findings)
        self._pass()
        snapshot = take(self.reader)
        suspected, decided = self._judge(snapshot), self.reader.native.exact_now()
        for suspicion in suspected:
            if suspicion.certain or suspicion.at_end or suspicion.key in self._noticed:
                self._settle(snapshot, msgspec.structs.replace(suspicion, certain=True), decided)
        self.telling.finish()
        return self.findings[before:]

    def _blocked(self) -> bool:
        """Has any thread been in one and the same wait since the last pass?"""
        before, self._pulse = self._pulse, {}
        found = False
        for seat in self.reader.seats:
            if seat.live != 2:
                continue
            self.reader.endings.watch(int(seat.pid))  # at the first pass: it may be killed before a look
            if seat.activity in _BLOCKED:
                number, sequence = seat.number, seat.wait_seq
                self._pulse[number] = sequence
                found = found or before.get(number) == sequence
        return found

    def _from_report(self, snapshot: Snapshot, report: Report) -> Suspicion:
        seat = next((seat for seat in snapshot.seats if seat.number == report.seat), None)
        who = seat.name if seat else f"seat {report.seat}"
        if report.kind == "owner_died":
            told, suspicion = orphans.of_report(self.reader, snapshot, report, who)
            self._told[suspicion.key] = told, suspicion
            return suspicion
        note = report.kind == "order_note"  # one thread alone: it cannot meet itself
        return Suspicion(
            verdict=report.verdict,
            key=_report_key(report),
            seats=[report.seat],
            why=f"{who} {report.text}",
            lines=_report_lines(report, who),
            certain=not note,
            notice=note,
            report=report,
            details=report.details,
            since_ns=report.when,
        )

    def _ack_of(self, report: Report) -> Callable[[], None]:
        """Call it, and the thread that reported goes on: it has been dumped."""
        return partial(setattr, row_at(self.arena, report.number), "acked", report.number + 1)

    def _settle(
        self,
        snapshot: Snapshot,
        suspicion: Suspicion,
        decided: int,
        then: Callable[[], None] = _nothing,
    ) -> None:
        """Write it down, once as a notice and once as a finding.  ``then``: when its stacks are in."""
        notice = not suspicion.certain
        if suspicion.key in self._known or (
            notice and (not suspicion.notice or suspicion.key in self._noticed)
        ):
            then()
            return
        (self._noticed if notice else self._known).add(suspicion.key)
        self.telling.put_down(snapshot, suspicion, decided, then)
