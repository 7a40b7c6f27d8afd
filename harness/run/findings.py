"""Findings and incidents of one run: what counts, what is the same thing twice, what ends it.

One failure may be seen twice: as the worker's exception and as the watchdog's dump.
The dump says more, so an exception waits for it a moment.  Refuses to blame the program
for what fault injection did: a worker that we stopped is not *frozen*, one that we killed
did not *crash*; a lock that it held is orphaned all the same.

Times are seconds since the workers were let go; nothing here looks at a clock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.outcome import Finding
from harness.shm.facts import NO_DETAILS, Details

CONFIRM_S = 1.0  # an exception waits that long for the watchdog's version of it
AFTERMATH_S = 5.0  # a stopped worker explains what is seen until so long after
_HANGS = frozenset(
    {"deadlock", "self_deadlock", "lost_wakeup", "orphaned_lock", "frozen", "livelock", "stall", "hung"}
)


@dataclass(frozen=True)
class Candidate:
    """An exception that is a finding unless the watchdog brings the same."""

    verdict: str
    seat: int
    worker: str
    summary: str
    at: float
    details: Details = NO_DETAILS


class FindingStore:
    """``name_of(seat)`` is the worker that has the seat, or empty.

    ``picture(worker, seat, verdict, summary, details=...)`` makes a dump of an exception of which the
    watchdog has said nothing, and returns its path, or empty.
    """

    def __init__(
        self,
        stop_on: frozenset[str],
        linger_s: float | None,
        reproduce: str = "",
        name_of: Callable[[int], str] = lambda _: "",
        picture: Callable[..., str] = lambda *_, **__: "",
    ) -> None:
        self.stop_on, self.linger_s, self.reproduce, self.name_of = stop_on, linger_s, reproduce, name_of
        self.picture = picture
        self.findings: list[Finding] = []
        self.notices: list[Finding] = []
        self.incidents: list[str] = []
        self.candidates: list[Candidate] = []
        self.injured: dict[int, tuple[str, float]] = {}  # seat -> (killed or stopped, when it was over)
        self.died: dict[int, str] = {}  # seat -> how its worker ended
        self._bare: set[int] = set()  # findings known from an exception only
        self.new: list[Finding] = []  # not told to the front yet
        self.stop_at = float("inf")  # a lesser finding ends the run then

    def incident(self, text: str) -> None:
        """Record what happened outside the plan."""
        self.incidents.append(text)

    # --- what was seen

    def from_watchdog(self, found: Finding, now: float) -> Finding | None:
        """A verdict with its dump; None when it is known already or our own doing."""
        if excuse := self._excuse(found, now):
            self.incident(f"{found.verdict} not counted, {excuse}: {found.summary}")
            forget(found)
            return None
        self._withdraw(found.key)
        if found.verdict == "orphaned_lock":
            self.candidates = [c for c in self.candidates if not self._is_same(c, found)]
            return self._orphaned(found, now)
        for i, known in enumerate(self.findings):
            if known.verdict != found.verdict:
                continue
            if known.id in self._bare and set(known.seats) & set(found.seats):
                self._bare.remove(known.id)
                self.findings[i] = _with_dump(known, found)
                return None
            if (known.seats, known.summary) == (found.seats, found.summary):  # a restarted watchdog
                return None
        self.candidates = [c for c in self.candidates if not self._is_same(c, found)]
        return self._add(found, now)

    def from_exception(self, candidate: Candidate, watched: bool) -> None:
        """A worker failed.  Without a watchdog nothing else will report it."""
        if any(f.verdict == candidate.verdict and candidate.seat in f.seats for f in self.findings):
            return
        if candidate.verdict == "orphaned_lock" and (why := self._left_behind([candidate.seat])):
            self.incident(f"orphaned_lock not counted, {why}: {candidate.summary}")
            return
        for known in self.notices:
            if self._is_same(candidate, known):  # who fails with it will not repair it
                self.notices.remove(known)
                self._orphaned(msgspec.structs.replace(known, notice=False), candidate.at)
                return
        self.candidates.append(candidate)
        if not watched:
            self.settle(candidate.at, at_once=True)

    def notice(self, found: Finding, now: float) -> Finding | None:
        """Something that is not proved: reported with its evidence, not counted; None: our own doing."""
        if self._excuse(found, now):
            forget(found)
            return None
        self._withdraw(found.key)
        self.notices.append(self._with_names(found, len(self.notices) + 1, now))
        return self.notices[-1]

    def from_death(
        self, worker: str, seat: int, how: str, now: float, evidence: str = "", held: str = ""
    ) -> Finding | None:
        """A worker died by itself; ``held``: its locks.  None: a finding about one says so already."""
        self.ended(seat, how)
        if any(self._is_orphan_of(known, seat) for known in self.findings):
            return None
        summary = f"worker {worker} died: {how}" + (f", holding {held}" if held else "")
        return self._add(
            Finding(id=0, verdict="crash", summary=summary, seats=(seat,) if seat else (), dump=evidence), now
        )

    def ended(self, seat: int, how: str) -> None:
        """The worker of this seat is gone: a finding about a lock that it held says how."""
        if not seat:
            return
        self.died[seat] = how
        for i, known in enumerate(self.findings):
            if self._is_orphan_of(known, seat):
                self.findings[i] = self._with_end(known)

    def _orphaned(self, found: Finding, now: float) -> Finding | None:
        """One death is one finding: of several locks, waiters and the crash itself."""
        dead = set(found.seats) & set(self.died)
        for i, known in enumerate(self.findings):
            same = dead & set(known.seats)
            if (
                known.verdict == found.verdict
                and known.id in self._bare
                and set(known.seats) & set(found.seats)
            ):
                self._bare.remove(known.id)
                self.findings[i] = self._with_end(_with_dump(known, found))
                return None
            told = known.summary == found.summary or (found.key and known.key == found.key)
            if known.verdict == "orphaned_lock" and (same or told):
                forget(found)
                return None
            if known.verdict == "crash" and same:
                forget(known)
                self.findings[i] = self._with_end(
                    msgspec.structs.replace(
                        known, verdict=found.verdict, summary=found.summary, dump=found.dump, text=found.text,
                        seats=found.seats, workers=self._names(found),
                        ends=found.ends, detected_after_s=found.detected_after_s,
                    )
                )  # fmt: skip
                return self.findings[i]
        return self._add(self._with_end(found), now)

    def _is_same(self, candidate: Candidate, found: Finding) -> bool:
        return candidate.verdict == found.verdict and candidate.seat in found.seats

    def _is_orphan_of(self, known: Finding, seat: int) -> bool:
        return known.verdict == "orphaned_lock" and seat in known.seats

    def _with_end(self, found: Finding) -> Finding:
        """The finding with how those of its threads ended that are dead."""
        fresh = {
            seat: self.died[seat]
            for seat in found.seats
            if seat in self.died and self.died[seat] != found.ends.get(seat)
        }
        if not fresh:
            return found
        told = "; ".join(f"{self.name_of(seat) or f'seat {seat}'}: {how}" for seat, how in fresh.items())
        return msgspec.structs.replace(
            found, summary=f"{found.summary} ({told})", ends={**found.ends, **fresh}
        )

    def _withdraw(self, key: str) -> None:
        """A notice that became a finding, or is reported again, is not kept beside it."""
        for known in [known for known in self.notices if key and known.key == key]:
            self.notices.remove(known)
            forget(known)

    def hung(
        self, names: Sequence[str], seats: Sequence[int], told: tuple[str, str, str], now: float
    ) -> Finding:
        """Workers that were told to end and did not; ``told``: (summary, path of the dump, its text)."""
        summary, dump, text = told
        return self._add(
            Finding(
                id=0, verdict="hung", summary=summary, dump=dump, text=text, workers=tuple(names),
                seats=tuple(seats),
            ),
            now,
        )  # fmt: skip

    def settle(self, now: float, at_once: bool = False) -> list[Finding]:
        """Candidates whose time is over become findings."""
        ripe = [c for c in self.candidates if at_once or now - c.at >= CONFIRM_S]
        self.candidates = [c for c in self.candidates if c not in ripe]
        if any(known.verdict == "orphaned_lock" for known in self.findings):
            for late in [c for c in ripe if c.verdict == "orphaned_lock"]:  # it met what the death left
                self.incident(f"orphaned_lock not counted, the death is a finding already: {late.summary}")
                ripe.remove(late)
        found = [
            self._add(
                Finding(
                    id=0,
                    verdict=c.verdict,
                    summary=c.summary,
                    seats=(c.seat,),
                    workers=(c.worker,),
                    dump=self.picture(c.worker, c.seat, c.verdict, c.summary, details=c.details),
                ),
                now,
            )
            for c in ripe
        ]
        self._bare |= {finding.id for finding in found}
        return found

    def note_injected(self, seat: int, how: str, until: float) -> None:
        """We killed, or stopped until then, the worker of this seat."""
        self.injured[seat] = (how, until)

    # --- what follows

    def ends_run(self, now: float) -> bool:
        """Tell whether the run is to end because of what was found."""
        return now >= self.stop_at

    def hang_of(self, seat: int) -> list[str]:
        """Verdicts of hangs that name a seat."""
        return [f.verdict for f in self.findings if f.verdict in _HANGS and seat in f.seats]

    def _left_behind(self, seats: Sequence[int] = ()) -> str:
        """A worker that failed left its locks behind: the failure is the finding, not the locks.

        After a kill an orphaned lock is reported all the same: it says what the dead worker held.
        """
        causes = [f for f in self.findings if f.verdict in self.stop_on - {"crash", "orphaned_lock"}]
        causes.sort(key=lambda cause: not set(cause.seats) & set(seats))  # those that name its thread first
        return f"a worker that failed in finding {causes[0].id} left it behind" if causes else ""

    def _excuse(self, found: Finding, now: float) -> str:
        if found.verdict == "orphaned_lock" and (why := self._left_behind(found.seats)):
            return why
        for seat in found.seats:
            how, until = self.injured.get(seat, ("", 0.0))
            if how == "stopped" and found.verdict == "frozen" and now < until + AFTERMATH_S:
                return f"seat {seat} was stopped by fault injection"
            if how == "killed" and found.verdict == "crash":
                return f"seat {seat} was killed by fault injection"
        return ""

    def _add(self, found: Finding, now: float) -> Finding:
        whole = self._with_names(found, len(self.findings) + 1, now)
        self.findings.append(whole)
        self.new.append(whole)
        if whole.verdict in self.stop_on:
            self.stop_at = min(self.stop_at, now)
        elif self.linger_s is not None:
            self.stop_at = min(self.stop_at, now + self.linger_s)
        return whole

    def _with_names(self, found: Finding, number: int, now: float) -> Finding:
        return msgspec.structs.replace(
            found,
            id=number,
            workers=self._names(found),
            reproduce=found.reproduce or self.reproduce,
            at_s=round(max(0.0, now), 4),
        )

    def _names(self, found: Finding) -> tuple[str, ...]:
        return found.workers or tuple(name for seat in found.seats if (name := self.name_of(seat)))


def forget(found: Finding) -> None:
    """Take a dump away that no finding names: it would lie beside the others and say what is not so."""
    if found.dump:
        Path(found.dump).unlink(missing_ok=True)


def _with_dump(known: Finding, found: Finding) -> Finding:
    return msgspec.structs.replace(
        known, dump=found.dump, text=found.text, summary=found.summary, ends=found.ends
    )
