"""The supervisor's ears: one poll loop that turns what happens into state.

``pump`` is one turn: messages of workers, watchdog, helpers and front; deaths; injected
faults that are due; findings whose time has come.  Nothing in here blocks but the poll
itself, never longer than a tick.  A death is taken in only after the last message of the
dead one has been read, so no outcome is lost.
"""

import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.clock import Deadline, WatchedClock
from harness.outcome import Crashed, Failed, Finding, Killed
from harness.run import evidence, messages, process_control, scheduling
from harness.run.barrier import Barrier, State
from harness.run.exception_report import Raised
from harness.run.faults import Injection, Injector
from harness.run.findings import Candidate, FindingStore, forget
from harness.run.messages import Wire
from harness.run.plan import RunPlan, derive_seed
from harness.run.watchdog_process import MOST_RESTARTS, Watcher
from harness.run.workers import INJECTED, ChildProcess, Crew, WorkerHandle
from harness.watch.records import End

TICK_S = 0.1


class FrontGone(Exception):
    """The front closed its end: there is no front to work for."""


class EventLoop:
    """State of a run, and how events change it."""

    def __init__(self, plan: RunPlan, front: Wire) -> None:
        self.plan, self.front = plan, front
        self.clock = WatchedClock()
        self.gate = Barrier(plan.arena)
        self.crew = Crew(plan, self.gate)
        self.watcher = Watcher(plan, self.crew)
        self.store = FindingStore(plan.stop_on, plan.linger_s, plan.reproduce, self.name_of, self.picture)
        self.injector = Injector(plan.faults, derive_seed(plan.seed, "faults"))
        self.injecting = False  # between go and the end
        self.listening = True  # findings count until we begin to kill
        self.closing = False
        self.ending = ""  # why the run is to end: RunResult.ended_by
        self.broken = ""
        self.asked = False  # SIGTERM came to this process
        self.begun = self.duration_s = 0.0
        self.epoch = 0
        self.audits: list[Any] = []
        self.audited: tuple[str, Any] | None = None
        self.mode_before = plan.arena.native.mode
        self._poller = select.poll()
        self._ears: dict[int, Callable[[], None]] = {}
        self._told = 0
        self._add_reader(front.fd, self._from_front)

    # --- the loop

    def now(self) -> float:
        """WatchedClock seconds since go; before that 0."""
        return self.clock.now() - self.begun if self.begun else 0.0

    def is_ending(self) -> bool:
        """Something wants the run to end before its last epoch."""
        return self.ending != ""

    def wait_until(
        self, done: Callable[[], Any], limit_s: float | None = None, every_s: float = TICK_S
    ) -> bool:
        """Pump until ``done()``; False when the limit (attended time) passed first."""
        deadline = Deadline(limit_s, self.clock)
        while not done():
            if deadline.passed():
                return False
            self.pump(min(every_s, deadline.left()))
        return True

    def pump(self, timeout: float) -> None:
        """One turn."""
        self._poller.modify(self.front.fd, select.POLLIN | (select.POLLOUT if self.front.pending else 0))
        for member in self.crew.members:
            if member.wire.pending:
                member.wire.flush()
        if self.injecting:
            timeout = min(timeout, max(0.0, self.injector.next_at() - self.now()))
        for fd, _ in self._poller.poll(timeout * 1000 if timeout > 0 else 0):
            if ear := self._ears.get(fd):  # a turn may have closed it
                ear()
        self.clock.now()
        if self.injecting:
            self.inject(self.injector.due(self.now(), self._targets()))
        self.store.settle(self.now())
        if self.asked and self.ending in ("", "time limit"):
            self.ending = "interrupt"
        if not self.ending and self.store.ends_run(self.now()):
            self.ending = "finding"
        self.tell_front()

    def _add_reader(self, fd: int, ear: Callable[[], None]) -> None:
        self._ears[fd] = ear
        self._poller.register(fd, select.POLLIN)

    def remove_reader(self, fd: int) -> None:
        """Listen to it no more."""
        if self._ears.pop(fd, None):
            self._poller.unregister(fd)

    def hear(
        self, wire: Wire, body: ChildProcess, message: Callable[[], None], death: Callable[[], None]
    ) -> None:
        """Listen to a child's messages and its death."""
        self._add_reader(wire.fd, message)
        self._add_reader(body.fd, death)

    # --- the front

    def interrupt(self, _signal: int, _frame: Any) -> None:
        """SIGTERM to the supervisor: like Ctrl-C in the front."""
        self.asked = True

    def _from_front(self) -> None:
        self.front.flush()
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

    # --- workers

    def listen_to_crew(self) -> None:
        """All members, and each process once."""
        for member in self.crew.members:
            self._add_reader(member.wire.fd, lambda member=member: self._from_member(member))  # type: ignore[misc]
        for body in {id(m.body): m.body for m in self.crew.members}.values():
            assert body is not None
            self._add_reader(body.fd, lambda body=body: self._died(body))  # type: ignore[misc]

    def _from_member(self, member: WorkerHandle) -> None:
        for message in member.wire.receive():
            self._heard(member, message)
        if member.wire.ended:
            self.remove_reader(member.wire.fd)
            self._left_by_exec(member)

    def _left_by_exec(self, member: WorkerHandle) -> None:
        """Its pipe is closed and it said nothing: dying, or another program by now.

        The kernel has marked its seat in both cases; a dying process has no program any more.  What it has
        become is none of ours to look at: no signal for its stack, and it ends with the run.
        """
        body = member.body
        if member.over or member.said or not member.seat or body is None or body.ended_because:
            return
        if self.plan.mode == "process" and self.plan.arena.native.seat_dead(member.seat):
            member.program = scheduling.program_of(body.pid)
            if member.program:
                self._settle(member)
                self._report_crashes([member])

    def _heard(self, member: WorkerHandle, message: messages.Message) -> None:
        word, *rest = message
        if word == messages.READY:
            member.seat, member.tid = rest
            member.ready = True
        elif word == messages.PARKED:
            self._parked(member)
        elif word == messages.PAYLOAD:
            self.front.post((messages.PAYLOAD, member.post.name, rest[0]))
        elif word == messages.AUDITED:
            self.audited = (rest[0], rest[1])
            if rest[0] == "failed":
                self.failed(member.post.name, member.seat, rest[1])
        elif word == messages.OUTCOME:
            member.said = tuple(rest)
            self._settle(member)

    def _parked(self, member: WorkerHandle) -> None:
        member.parked = True
        if self.ending or self.gate.gate.state == State.ENDING:
            member.wire.post((messages.FINISH,))
        elif self.gate.gate.state == State.RUNNING:
            if member.post.spec.service:  # it saw the gate closing and came too late: it is open again
                member.parked = False
                member.wire.post((messages.RESUME, self.epoch))
            else:
                self.gate.gate.state = State.PARKING

    def _died(self, body: ChildProcess) -> None:
        self.remove_reader(body.fd)
        for member in self.crew.of_body(body):
            self._from_member(member)  # its last words first
        body.process.join()
        members = [member for member in self.crew.of_body(body) if not member.over]
        for member in members:
            self._settle(member)
        self._report_crashes([m for m in members if isinstance(m.outcome, Crashed)])

    def _settle(self, member: WorkerHandle) -> None:
        member.named_by = self.store.hang_of(member.seat)
        outcome = self.crew.settle(member)
        self.front.post((messages.OUTCOME, outcome))
        if isinstance(outcome, Failed) and member.ready:
            self.failed(outcome.worker, outcome.seat, member.said[2])
        if isinstance(outcome, Killed) and outcome.why == INJECTED:
            self.store.ended(member.seat, f"killed by {INJECTED}")
            self.store.note_injected(member.seat, "killed", self.now())

    def _report_crashes(self, crashed: list[WorkerHandle]) -> None:
        """One process died by itself: one finding, for all threads that lived in it."""
        if not crashed or not crashed[0].ready or not self.listening:
            return
        member = crashed[0]
        assert member.body is not None
        code = member.body.process.exitcode
        if member.program:
            how, end = f"it replaced itself by exec of {member.program}", End(program=member.program)
        else:
            how, end = process_control.died_by(code), process_control.end_of(code)
        names = ", ".join(m.post.name for m in crashed)
        self.report_crash(names, member.seat, how, end)

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

    def failed(self, worker: str, seat: int, raised: Raised) -> None:
        """An exception ended a role or an audit."""
        if self.listening:
            place = f" ({raised.where})" if raised.where else ""
            summary = f"{worker}: {raised.error}: {raised.text}{place}"
            watched = self.plan.watch is not False and not self.broken
            self.store.from_exception(
                Candidate(raised.verdict or "panic", seat, worker, summary, self.now(), raised.details),
                watched,
            )

    def name_of(self, seat: int) -> str:
        """The worker of a seat."""
        return next((m.post.name for m in self.crew.members if m.seat == seat), "")

    # --- the watchdog

    def listen_to_watchdog(self) -> None:
        """Its words and its death."""
        wire, body = self.watcher.wire, self.watcher.body
        assert wire is not None
        assert body is not None
        self.hear(wire, body, lambda: self._from_watchdog(wire), lambda: self._watchdog_died(wire, body))

    def _from_watchdog(self, wire: Wire) -> None:
        for word, *rest in wire.receive():
            if word == messages.READY:
                self.watcher.ready = True
            elif word == messages.ERROR:
                self.watcher.trouble = rest[0]
            elif word == messages.QUIET:
                self.watcher.quiet = True
            elif word in (messages.FINDING, messages.NOTICE):
                self._found(word, rest[0])
        if wire.ended:
            self.remove_reader(wire.fd)

    def _found(self, word: str, found: Finding) -> None:
        """A verdict: it counts until we begin to kill, and what does not count leaves no dump."""
        if not self.listening:
            forget(found)
        elif word == messages.FINDING:
            self.store.from_watchdog(found, self.now())
        elif (notice := self.store.notice(found, self.now())) is not None:
            self.front.post((messages.NOTICE, notice))

    def _watchdog_died(self, wire: Wire, body: ChildProcess) -> None:
        self.remove_reader(body.fd)
        self._from_watchdog(wire)
        self.remove_reader(wire.fd)
        body.process.join()
        if self.closing:
            return
        how = self.watcher.trouble or process_control.died_by(body.process.exitcode)
        if self.watcher.restarts >= MOST_RESTARTS or not self.watcher.ready:
            self.broken = f"the watchdog died, and no thread would have seen a hang: {how}"
            self.ending = self.ending or "broken"
            return
        self.store.incident(f"the watchdog died ({how}) and was started again")
        self.watcher.restarts += 1
        self.watcher.start([self.front.fd, *(m.wire.fd for m in self.crew.members)])
        self.listen_to_watchdog()

    # --- fault injection

    def _targets(self) -> list[int]:
        roles = self.injector.faults.roles
        return [
            m.post.number
            for m in self.crew.members
            if not m.over and (m.post.spec.name in roles if roles else not m.post.spec.service)
        ]

    def inject(self, injections: list[Injection]) -> None:
        """Send them, and say so."""
        for injection in injections:
            member = self.crew.members[injection.target]
            assert member.body is not None
            if member.over or member.body.process.exitcode is not None:
                continue
            when = f"after {self.now():.3f} s"
            if injection.signal == signal.SIGKILL:
                member.body.kill(signal.SIGKILL, INJECTED)
                self.store.note_injected(member.seat, "killed", self.now())
                self.store.incident(f"{INJECTED}: SIGKILL to {member.post.name} {when}")
                continue
            process_control.send_signal(member.body.pid, injection.signal)
            if injection.signal == signal.SIGSTOP:
                self.store.note_injected(member.seat, "stopped", self.now() + injection.stopped_s)
                self.store.incident(
                    f"{INJECTED}: SIGSTOP to {member.post.name} {when} for {injection.stopped_s:.3f} s"
                )
