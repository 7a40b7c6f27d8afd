"""The state of a run, which the parts of the supervisor share, and how an event becomes a finding.

The parts are callbacks of the event loop: of the front here; of workers, watchdog and injected faults in
files of their own.  Only the supervisor's thread touches any of it.
"""

from pathlib import Path
from typing import Any

from harness.clock import WatchedClock
from harness.run import evidence, messages
from harness.run.barrier import Barrier
from harness.run.event_loop import EventLoop
from harness.run.exception_report import Raised
from harness.run.findings import Candidate, FindingStore
from harness.run.messages import Wire
from harness.run.plan import RunPlan
from harness.run.watchdog_process import Watcher
from harness.run.workers import Crew
from harness.watch.records import End


class FrontGone(Exception):
    """The front closed its end: there is no front to work for."""


class RunState:
    """``ending``: why the run is to end, RunResult.ended_by; empty: it goes on."""

    def __init__(self, plan: RunPlan, front: Wire) -> None:
        self.plan, self.front = plan, front
        self.clock = WatchedClock()
        self.loop = EventLoop(self.clock, self._after_turn)
        self.gate = Barrier(plan.arena)
        self.crew = Crew(plan, self.gate)
        self.watcher = Watcher(plan, self.crew)
        self.store = FindingStore(plan.stop_on, plan.linger_s, plan.reproduce, self.name_of, self.picture)
        self.counting = True  # findings count until we begin to kill
        self.closing = False
        self.ending = ""
        self.broken = ""  # why no result of this run would mean anything
        self.asked = False  # SIGTERM came to this process
        self.begun = 0.0
        self.epoch = 0
        self.audited: tuple[str, Any] | None = None  # what the worker that audits has said
        self._told = 0  # incidents that the front knows
        self.loop.add_wire(front, self._from_front)

    def now(self) -> float:
        """WatchedClock seconds since go; before that 0."""
        return self.clock.now() - self.begun if self.begun else 0.0

    def is_ending(self) -> bool:
        """Something wants the run to end before its last epoch."""
        return self.ending != ""

    def watched(self) -> bool:
        """There is a watchdog whose word counts."""
        return self.plan.watch is not False and self.counting and not self.broken

    def descriptors(self) -> tuple[int, ...]:
        """The supervisor's own that a child must let go of, beside those of the crew."""
        wire = self.watcher.wire
        return (self.front.fd,) if wire is None else (self.front.fd, wire.fd)

    def name_of(self, seat: int) -> str:
        """The worker of a seat."""
        return next((m.post.name for m in self.crew.members if m.seat == seat), "")

    def _after_turn(self) -> None:
        """Findings whose time has come, and what they mean for the run."""
        self.store.settle(self.now())
        if self.asked and self.ending in ("", "time limit"):
            self.ending = "interrupt"
        if not self.ending and self.store.ends_run(self.now()):
            self.ending = "finding"
        self.tell_front()

    # --- the front

    def interrupt(self, _signal: int, _frame: Any) -> None:
        """SIGTERM to the supervisor: like Ctrl-C in the front."""
        self.asked = True

    def _from_front(self) -> None:
        for message in self.front.receive():
            if message[0] == messages.STOP and self.ending in ("", "time limit"):
                self.ending = message[1]
        if self.front.ended:
            raise FrontGone

    def tell_front(self) -> None:
        """Pass on what is new."""
        for finding in self.store.new:
            self.front.post((messages.FINDING, finding))
        self.store.new.clear()
        for text in self.store.incidents[self._told :]:
            self.front.post((messages.INCIDENT, text))
        self._told = len(self.store.incidents)

    # --- findings

    def failed(self, worker: str, seat: int, raised: Raised) -> None:
        """An exception ended a role or an audit."""
        if self.counting:
            place = f" ({raised.where})" if raised.where else ""
            summary = f"{worker}: {raised.error}: {raised.text}{place}"
            watched = self.plan.watch is not False and not self.broken
            self.store.from_exception(
                Candidate(raised.verdict or "panic", seat, worker, summary, self.now(), raised.details),
                watched,
            )

    def report_crash(self, name: str, seat: int, how: str, end: End) -> None:
        """Record that a worker died by itself."""
        held = ", ".join(f"{one.lock} since {one.site}" for one in evidence.held_by(self.plan, seat))
        dump = self.picture(name, seat, "crash", f"worker {name} died: {how}", end=end)
        if self.store.from_death(name, seat, how, self.now(), dump, held) is None:
            Path(dump).unlink(missing_ok=True) if dump else None

    def picture(self, name: str, seat: int, verdict: str, why: str, **known: Any) -> str:
        """The path of a dump made here and now; empty when there can be none, which is written down.

        ``known``: what is known as data, by the names of Suspicion.
        """
        dump, trouble = evidence.of_worker(self.plan, name, seat, verdict, why, **known)
        if trouble:
            self.store.incident(trouble)
        return dump
