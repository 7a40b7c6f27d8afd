"""The watcher: a process of its own that only looks.

Each pass reads a few words per seat.  Only when somebody has waited through two passes, or
a report has come, or nothing has been looked at for a while, is a whole snapshot taken and
judged.  What is proved is a finding; the rest is a notice, which becomes a finding when it
still holds after its limit or at the end (``settle_notices``).  The watcher never takes a lock
of the arena and never needs the workers' help; killed or stopped, it leaves nothing behind
that anybody waits for.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from harness import _native
from harness.shm import native
from harness.shm.arena import Arena
from harness.watch import census, orphans
from harness.watch import dump as dumps
from harness.watch.records import Dump, Finding, ReportFact, RunMeta, Snapshot, Suspicion
from harness.watch.render_text import render
from harness.watch.snapshot import Reader, report_at, take
from harness.watch.verdicts import REPORTS, History, Limits, judge

_C = _native.CONSTANTS
_BLOCKED = {
    _C[name] for name in ("WAIT_MUTEX", "WAIT_READ", "WAIT_WRITE", "WAIT_UPGRADE", "SLEEPING", "JOINING")
}
_ORDER = (_C["REPORT_ORDER"], _C["REPORT_ORDER_NOTE"])
OWN = "harness/run/account.py"
PERIOD_S = 0.002  # a pass reads two words of a seat: cheap
WHOLE_S = 0.004  # between two whole looks, which are some hundred times dearer
CENSUS_S = 0.5  # the threads without a seat are counted this often at most: it reads much of /proc
GAP_GIVEN_UP_S = 1.0
LOOK_S = 0.25  # a whole look at least this often
# The file is there before the stacks are: threads on a crowded machine take their time to write theirs down.
NO_STACKS_YET = "the stacks of the threads were still being asked for when this was written"
AGAIN_S = 0.001  # something was suspected for the first time: the second look comes at once
GAP_S = 0.5  # between two passes; what is longer was not watched: we were stopped, or the machine was


def _report_key(report: ReportFact) -> str:
    """What counts as the same report: of an order, the two classes; else the thread and the place.

    Both threads of a pair that is taken both ways at once may report it, each its own side.
    """
    if report.kind in _ORDER:
        return "order:" + ":".join(sorted(lock.split("[")[0] for lock in (report.lock_a, report.lock_b)))
    return (
        f"report:{report.kind}:{report.seat}:{report.lock_a}:{report.lock_b}:{report.site_a}:{report.site_b}"
    )


class Watchdog:
    """``scan()`` is one pass; ``run(stop)`` passes until ``stop()`` is true."""

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
    ) -> None:
        self.arena, self.dump_dir, self.meta = arena, dump_dir, meta or RunMeta()
        self.on_finding, self.period_s, self.with_stacks = on_finding, period_s, with_stacks
        self.limits = limits or Limits()
        self.reader = Reader(arena)
        dumps.versions()
        self.history = History(dead_before=dead_before)
        self.findings: list[Finding] = []
        self.notices: list[Finding] = []
        self._known: set[str] = set()  # keys of findings
        self._noticed: set[str] = set()
        self._next_report = 0
        self._gaps: dict[
            int, float
        ] = {}  # numbers of reports that are being written, and when we first saw so
        self._last_pass = self._last_look = time.monotonic()
        self._pulse: dict[int, int] = {}
        self._again = False
        self._suspected: set[str] = set()  # at the last look, and not yet certain
        self._counted = float("-inf")

    def run(self, stop: Callable[[], bool]) -> None:
        """Scan until told to stop.  For a process of its own: it gives its seat in the arena back."""
        self.arena.native.leave()
        while not stop():
            self.scan()
            time.sleep(AGAIN_S if self._again else self.period_s)

    def scan(self) -> list[Finding]:
        """One pass; the findings that are new."""
        now = time.monotonic()
        self.history.clock += min(now - self._last_pass, GAP_S)
        self._last_pass = now
        self.arena.header.watcher_beat = self.reader.native.now()
        new: list[Finding] = []
        reports = self._reports()
        blocked = self._blocked()
        since = now - self._last_look
        if not (reports or self._again or (blocked and since >= WHOLE_S) or since >= LOOK_S):
            return new
        self._again = False
        self._last_look = now
        snapshot = take(self.reader)
        for report in reports:
            new += self._settle(snapshot, self._from_report(snapshot, report))
            self._ack(report)
        suspected = self._judge(snapshot)
        for suspicion in suspected:
            new += self._settle(snapshot, suspicion)
        self._again = self._is_new(suspected)
        return new

    def _is_new(self, suspected: list[Suspicion]) -> bool:
        """Is one suspected for the first time, so that nothing but a second look is missing?"""
        before = self._suspected
        self._suspected = {one.key for one in suspected if not one.certain}
        return not self._suspected <= before

    def _judge(self, snapshot: Snapshot) -> list[Suspicion]:
        """What the rules say; once more with the threads without a seat, when a rule asks for them.

        The count lies between two looks that agree: whoever waited in both waited all the time, and
        could start no thread.
        """
        found = judge(snapshot, self.history, self.limits)
        due = self.history.clock - self._counted >= CENSUS_S or any(
            one.verdict == "stall" and not {one.key} & (self._known | self._noticed) for one in found
        )
        if not self.history.wants_census or not due:
            return found
        self._counted = self.history.clock
        outsiders, closed = census.outsiders(self.reader, snapshot)
        again = msgspec.structs.replace(take(self.reader), outsiders=outsiders, closed=closed)
        return judge(again, self.history, self.limits)

    def _reports(self) -> list[ReportFact]:
        """Those that are complete.  One whose writer was killed or is slow does not stop the later ones."""
        now, found = self.reader.native.now(), []
        end = int(self.arena.header.report_count)
        numbers = [*self._gaps, *range(max(self._next_report, end - _C["REPORTS"]), end)]
        self._next_report = end
        for number in numbers:
            try:
                report = report_at(self.reader, number, now)
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
        new = self.scan()
        snapshot = take(self.reader)
        for suspicion in self._judge(snapshot):
            if suspicion.certain or suspicion.at_end or suspicion.key in self._noticed:
                new += self._settle(snapshot, msgspec.structs.replace(suspicion, certain=True))
        return new

    def _blocked(self) -> bool:
        """Has anybody been in one and the same wait since the last pass?"""
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

    def _from_report(self, snapshot: Snapshot, report: ReportFact) -> Suspicion:
        seat = next((seat for seat in snapshot.seats if seat.number == report.seat), None)
        who = seat.name if seat else f"seat {report.seat}"
        if report.kind == _C["REPORT_OWNER_DIED"]:
            return orphans.of_report(self.reader, snapshot, report, who)
        lines = [f"{who} {report.text}"]
        note = report.kind == _C["REPORT_ORDER_NOTE"]  # one thread alone: it cannot meet itself
        if report.kind in _ORDER and not report.text.startswith("holds "):  # a writer among readers
            lines.append(f"  others read {report.lock_a} first, at {report.site_a}")
        elif report.lock_a:
            # A complaint may be about a lock that it should hold, and does not.
            lines.append(
                f"  holds {report.lock_a} since {report.site_a}"
                if report.site_a != "?"
                else f"  about {report.lock_a}"
            )
        if OWN not in report.site_b:  # of an exception: where it was caught says nothing
            lines.append(f"  at {report.site_b}")
        return Suspicion(
            verdict="order_violation" if note else REPORTS.get(report.kind, "panic"),
            key=_report_key(report),
            seats=[report.seat],
            why=f"{who} {report.text}",
            lines=lines,
            certain=not note,
            notice=note,
            report=report.number,
            locks=(report.lock_a, report.lock_b),
            since=report.site_a if report.site_a != "?" else "",
            since_ns=snapshot.taken_ns - int(report.age_s * 1e9),
        )

    def _ack(self, report: ReportFact) -> None:
        """The thread that reported may go on: it has been dumped."""
        self._report_record(report.number).acked = report.number + 1

    def _report_record(self, number: int) -> Any:
        size = _native.LAYOUT["hd_report"][0]
        at = self.arena.header.reports + number % _C["REPORTS"] * size
        return native.Report.from_buffer(self.arena.mapping, at)

    def _settle(self, snapshot: Snapshot, suspicion: Suspicion) -> list[Finding]:
        """Write it down, once as a notice and once as a finding; only findings are handed back."""
        notice = not suspicion.certain
        if suspicion.key in self._known:
            return []
        if notice and (not suspicion.notice or suspicion.key in self._noticed):
            return []
        (self._noticed if notice else self._known).add(suspicion.key)
        now = self.reader.native.exact_now()
        after = max(0.0, (now - suspicion.since_ns) / 1e9) if suspicion.since_ns else 0.0
        stacks = self.with_stacks
        if stacks and self.dump_dir is not None:
            first = self._built(snapshot, suspicion, with_stacks=False)
            dump = msgspec.structs.replace(first, notes=[*first.notes, NO_STACKS_YET])
        else:
            first = dump = self._built(snapshot, suspicion, with_stacks=stacks)
        number = len(self.findings) + len(self.notices) + 1
        path, trouble = self._write(number, notice, dump, lasting=not stacks)
        if trouble:
            dump = msgspec.structs.replace(first, notes=[*first.notes, trouble])
        on_disk = self.reader.native.exact_now()
        if path and first is not dump:
            self._write(number, notice, self._with_stacks(first, suspicion), lasting=True)
        finding = Finding(
            id=number,
            verdict=suspicion.verdict,
            summary=dump.summary,
            dump=path,
            detected_after_s=round(after, 4),
            dumped_after_s=round(after + (on_disk - now) / 1e9, 4),
            reproduce=self.meta.reproduce,
            seats=suspicion.seats,
            text="" if path else render(dump),
            notice=notice,
            key=suspicion.key,
        )
        (self.notices if notice else self.findings).append(finding)
        # Only now: whoever is told may end the threads, and with them their stacks.
        if self.on_finding:
            self.on_finding(finding)
        return [] if notice else [finding]

    def _built(self, snapshot: Snapshot, suspicion: Suspicion, with_stacks: bool) -> Dump:
        try:
            return dumps.build(self.reader, snapshot, suspicion, self.meta, with_stacks)
        except Exception as error:  # noqa: BLE001 - a finding without its trimmings is better than none
            return dumps.bare(snapshot, suspicion, self.meta, f"{type(error).__name__}: {error}")

    def _with_stacks(self, dump: Dump, suspicion: Suspicion) -> Dump:
        try:
            return dumps.add_stacks(self.reader, dump, suspicion)
        except Exception as error:  # noqa: BLE001 - the same
            why = f"the stacks could not be taken: {type(error).__name__}: {error}"
            return msgspec.structs.replace(dump, notes=[*dump.notes, why])

    def _write(self, number: int, notice: bool, dump: Dump, lasting: bool) -> tuple[str, str]:
        """(path, trouble): one of them is empty; both where dumps are not kept."""
        if self.dump_dir is None:
            return "", ""
        name = f"{self.arena.name}-{number}-{dump.verdict}{'-notice' if notice else ''}.json"
        try:
            return str(dumps.write(self.dump_dir / name, dump, lasting)), ""
        except dumps.DumpError as error:
            return "", str(error)
