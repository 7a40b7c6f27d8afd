"""The supervisor: one single-threaded process per run that starts, hears, ends and reaps.

States, each a method of ``Supervisor``::

    start      fork watchdog and workers; wait until all are ready       (StartFailed)
    epochs     go; workers run; gate; audit; resume ... until the last epoch or ``ending`` is set
    end        steppers: word, SIGTERM, SIGKILL;  services: stop(), word, SIGTERM, SIGKILL
    close      open candidates settled; watchdog told; orphans swept; result sent

Who may die when, and what follows:

* front, at any time: end of its pipe, or PDEATHSIG; the supervisor leaves and takes all along.
* supervisor, at any time: PDEATHSIG ends workers, helpers and watchdog; the front reports SupervisorDied.
* worker before ready: the run does not begin (StartFailed with the cause).  After: its outcome is kept,
  the others go on without it (at the gate too), unless it was a finding that ends the run.
* watchdog: restarted once with an incident; a second time ends the run with WatchdogDied.
* helper (audit, stop of a service): its death is a finding; no other process is touched.
* any process may be *stopped*: no read blocks on a half message, and all limits count watched time.

The supervisor takes no lock of the arena: audits and stops run in processes of their own,
because a lock whose holder was killed would wedge the only process that can end the run.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import dill

from harness import _native, probe
from harness.errors import shortage
from harness.locks import reports
from harness.outcome import RunResult
from harness.run import leaving, messages, process_control
from harness.run.barrier import State
from harness.run.ending import Lateness, seat_of
from harness.run.errors import StartFailed, WatchdogDied
from harness.run.findings import CONFIRM_S
from harness.run.helper import Helper
from harness.run.injections import Injections
from harness.run.messages import PeerGone, Wire
from harness.run.plan import RunPlan
from harness.run.run_state import FrontGone, RunState
from harness.run.watchdog_events import WatchdogEvents
from harness.run.worker_events import WorkerEvents
from harness.run.workers import END_OF_RUN, WorkerHandle
from harness.watch import bystanders

_C = _native.CONSTANTS
TERM_S = 0.5  # from SIGTERM to SIGKILL; a native wait sees the signal within its slice of 0.1 s
HANG_GRACE_S = 0.3  # after a finding: a worker that hangs will not end, and one that runs ends at once
QUIET_S = 10.0  # services have so long to rest before an audit
SETTLE_S = 2 * CONFIRM_S  # the watchdog has so long to say what it knows


class Supervisor:
    """One run.  The event loop calls the parts, they change ``state``; here is what the run does with it."""

    def __init__(self, plan: RunPlan, front: Wire) -> None:
        self.state = state = RunState(plan, front)
        self.plan, self.front, self.loop = plan, front, state.loop
        self.gate, self.crew, self.store = state.gate, state.crew, state.store
        self.watcher, self.watchdog = state.watcher, WatchdogEvents(state)
        self.workers = WorkerEvents(state)
        self.injections = Injections(state)
        self.lateness = Lateness(state)
        self.audits: list[Any] = []
        self.duration_s = 0.0
        self.mode_before = plan.arena.native.mode

    def run(self) -> RunResult:
        """The whole life."""
        self.start()
        self.epochs()
        self.end()
        self.close()
        if self.state.broken:
            raise WatchdogDied(self.state.broken)
        return self.result()

    # --- start

    def start(self) -> None:
        """All workers are there and have a seat.  StartFailed, WatchdogDied."""
        # A seat says "this thread may take part"; we never do, and a watcher should not wait for us.
        self.plan.arena.native.leave()
        bystanders.register(self.plan.arena)
        self.gate.clear()
        reports.forget(self.plan.arena)
        self.mode_before = self.plan.arena.native.mode
        self.delays()
        if self.plan.watch is not False:
            self.plan.arena.native.mode |= _C["RECORD"] | _C["WAIT_FOR_WATCHER"]
            self.watchdog.start()
        self.crew.start(self.state.descriptors())
        self.workers.begin()
        self.lateness.in_time(self.all_ready, self.not_yet_ready, self.plan.ready_limit_s, ends=False)
        if not self.all_ready():
            self.not_ready()

    def not_ready(self) -> None:
        """A set-up that hangs is a finding; one that was stopped, or our own watchdog, is an error."""
        late = [member for member in self.crew.members if not member.ready]
        limit = f"{self.plan.ready_limit_s:g} s"
        if not late or any(self.lateness.standing(member).stopped for member in late):
            raise StartFailed(late[0].post.name if late else "watchdog", f"it said nothing for {limit}")
        self.lateness.hung(
            [(m.post.name, seat_of(self.state, m)) for m in late], f"the set-up did not end within {limit}"
        )
        self.state.ending = "finding"

    def not_yet_ready(self) -> list[tuple[int, int]]:
        """The threads of workers that have not said so, and of the watchdog."""
        bodies = [m.body for m in self.crew.members if not m.ready]
        bodies += [] if self.watcher.ready else [self.watcher.body]
        return [(body.pid, 0) for body in bodies if body is not None]

    def all_ready(self) -> bool:
        """Every worker and the watchdog; a worker that is over already will never be."""
        for member in self.crew.members:
            if member.over and not member.ready and self.state.ending in ("", "finding"):
                raise StartFailed(member.post.name, cause_of(member))
        watched = self.plan.watch is False or self.watcher.ready
        return self.state.is_ending() or (watched and all(m.ready for m in self.crew.members))

    # --- epochs

    def epochs(self) -> None:
        """Let them go and gather them at the gate, again and again."""
        state = self.state
        if state.is_ending():
            return  # the set-up hung, or the run is not wanted any more
        state.begun = state.clock.now()
        self.gate.gate.go_ns = self.plan.arena.native.now()
        self.gate.gate.state = State.RUNNING
        self.injections.begin()
        self.front.post((messages.STARTED,))
        self.crew.tell(self.crew.members, messages.GO)
        while not state.is_ending():
            self.loop.wait_until(lambda: state.is_ending() or all(m.parked for m in self.crew.steppers()))
            if state.is_ending() or not self.crew.steppers():
                return
            if self.plan.audit is not None and self.services_rest():
                self.audit(self.plan.audit)
            if state.is_ending():
                return
            state.epoch += 1
            self.gate.gate.epoch = state.epoch
            if self.plan.epochs is not None and state.epoch >= self.plan.epochs:
                return
            self.delays()
            self.resume()

    def delays(self) -> None:
        """The noise of the epoch that is to begin."""
        kind = probe.in_epoch(self.plan.noise, self.state.epoch)
        probe.noise(self.plan.arena, kind, self.plan.seed + self.state.epoch)

    def resume(self) -> None:
        """Open the gate."""
        self.gate.gate.state = State.RUNNING
        for member in self.crew.members:
            if member.parked:
                member.parked = False
                member.wire.post((messages.RESUME, self.state.epoch))

    def services_rest(self) -> bool:
        """Wait until two looks see every service at rest.  False: one would not, or the run ends."""
        first: list[tuple[int, int] | None] = []

        def resting() -> bool:
            nonlocal first
            now = [self.gate.quiet(m.post.number, m.parked) for m in self.crew.services()]
            same, first = now == first and None not in now, now
            return same or not now or self.state.is_ending()

        rested = self.loop.wait_until(resting, QUIET_S, every_s=0.002)
        if not rested:
            self.store.incident(
                f"epoch {self.state.epoch + 1} has no audit: a service did not rest for {QUIET_S:g} s"
            )
        return rested and not self.state.is_ending()

    def audit(self, function: Callable[..., Any]) -> None:
        """Run the audit while every worker is parked and every service rests."""
        self.gate.gate.state = State.AUDIT
        chosen = next((m for m in self.crew.steppers() if m.parked), None)
        if self.plan.audit_in == "worker" and chosen is not None:
            self.state.audited = None
            chosen.wire.post((messages.AUDIT,))
            self.loop.wait_until(
                lambda: self.state.audited is not None or chosen.over or self.state.is_ending(),
                self.plan.audit_limit_s,
            )
            said = self.answer()
            if said is None and not chosen.over and not self.state.is_ending():
                self.audit_hung(chosen.post.name, chosen.seat)
        else:
            said = self.help("audit", function, wants_context=True)
        if said is not None and said[0] == "value":
            self.audits.append(dill.loads(said[1]))

    def answer(self) -> tuple[str, Any] | None:
        """What the worker that audits has said so far."""
        return self.state.audited

    def help(self, role: str, function: Any, wants_context: bool, limit_s: float | None = None) -> Any:
        """Run something in a process of its own; its (word, value), or None when it came to nothing."""
        helper = Helper(self.state, role, function, wants_context)
        helper.start()
        self.lateness.helper = helper
        # Time that is up is no reason to kill an audit at once: it may be in the middle of a change,
        # and what it leaves would be found by the next look.  But one that hangs must end, too.
        urgent = ("finding", "interrupt", "broken")

        def late() -> list[tuple[int, int]]:
            return [] if helper.over else [(helper.body.pid, helper.tid)]

        if limit_s is None:
            self.lateness.in_time(
                lambda: helper.over or self.state.is_ending(), late, self.plan.audit_limit_s, ends=False
            )
            if self.state.is_ending():
                most = 10 * self.plan.grace_s
                self.lateness.in_time(lambda: helper.over or self.state.ending in urgent, late, most)
        else:
            self.lateness.in_time(lambda: helper.over, late, limit_s)
        if not helper.over and self.state.ending not in urgent:
            self.audit_hung(helper.post.name, helper.seat)
        if not helper.over:
            self.lateness.hush(settle=False)
        helper.end()
        return helper.said

    def audit_hung(self, name: str, seat: int) -> None:
        """It is looked at by the watchdog first, which may know the reason."""
        self.lateness.hush(settle=True)
        if not self.store.hang_of(seat):
            self.lateness.hung([(name, seat)], f"epoch {self.state.epoch + 1}: {name} did not end")

    # --- end

    def end(self) -> None:
        """Steppers first: services work for them."""
        self.injections.end()
        self.gate.gate.state = State.ENDING
        self.lateness.go_on()
        hurried = self.state.ending in ("finding", "broken")
        grace = min(HANG_GRACE_S, self.plan.grace_s) if hurried else self.plan.grace_s
        if self.state.is_ending():
            self.gate.gate.stop = 1
        self.crew.tell(self.crew.steppers(), messages.FINISH)
        self.end_members(self.crew.steppers, grace)
        self.gate.gate.stop = 1
        self.stop_services(grace)
        self.end_members(self.crew.services, grace)
        if self.state.ending in ("", "time limit"):
            self.see_them_leave(grace)
        self.duration_s = self.state.clock.now() - self.state.begun if self.state.begun else 0.0

    def see_them_leave(self, grace: float) -> None:
        """A worker that has said its last word, and whose process does not end, hangs as well."""
        for name, where in leaving.late(self.state, grace):
            why = f"{name} said its last word, and {grace:g} s later its process is still there: {where}"
            self.lateness.hung([(name, 0)], why)

    def stop_services(self, grace: float) -> None:
        """Their own way to end: ``stop()`` of each role, in a process made for it."""
        self.crew.tell(self.crew.services(), messages.FINISH)
        for spec in self.plan.roles:
            if spec.stop and any(m.post.spec is spec for m in self.crew.services()):
                self.help(f"stop {spec.name}"[:24], spec.stop, wants_context=False, limit_s=grace)

    def end_members(self, who: Callable[[], list[WorkerHandle]], grace: float) -> None:
        """By word, by SIGTERM, by SIGKILL; each has its time."""
        if not self.state.is_ending() and who == self.crew.steppers:
            # Without a reason to hurry, what a role does after its last epoch is simply work.
            self.loop.wait_until(lambda: not who() or self.state.is_ending())
            self.gate.gate.stop = 1

        def threads() -> list[tuple[int, int]]:
            return [(m.body.pid, m.tid) for m in who() if m.body]

        self.lateness.in_time(lambda: not who(), threads, grace)
        if who():
            self.lateness.last_look(who())
        if who():
            self.crew.end(who(), signal.SIGTERM, *self.reason())
            self.lateness.in_time(lambda: not who(), threads, TERM_S)
        if who():
            self.crew.end(who(), signal.SIGKILL, *self.reason())
            self.loop.wait_until(lambda: not who())

    def reason(self) -> tuple[str, bool]:
        """Why we kill, in the outcome's words, and whether it is for being late."""
        why = {"finding": "a finding ended the run", "interrupt": "interrupt", "broken": END_OF_RUN}
        late = self.state.ending not in why
        return why.get(self.state.ending, f"did not end within {self.plan.grace_s:g} s of the word"), late

    # --- close

    def close(self) -> None:
        """Nothing is left: no report unread, no candidate, no process."""
        # A short run may be over before the watchdog's next look.
        self.loop.wait_until(
            lambda: not (self.state.watched() and self.watchdog.has_unread_reports()), SETTLE_S, every_s=0.002
        )
        self.loop.wait_until(lambda: not (self.state.watched() and self.store.candidates), SETTLE_S)
        if self.state.watched():
            self.lateness.hush(settle=self.state.ending in ("", "time limit"))
        self.store.settle(self.state.now(), at_once=True)
        self.state.tell_front()
        self.end_everything()

    def end_everything(self, grace: float = TERM_S) -> None:
        """Reap what is ours, kill and reap what they left behind."""
        self.state.closing = True
        self.watcher.stop()
        if self.watcher.body is not None:
            self.watcher.body.process.join(grace)  # it may be writing a dump
            self.state.counting = False  # what it says last is in its pipe: its dump goes
            self.watchdog.read_rest()
        for body in self.crew.bodies:
            body.kill(signal.SIGKILL, END_OF_RUN)
            body.process.join()
        self.plan.arena.native.mode = self.mode_before
        if left := process_control.sweep():
            self.store.incident(f"{len(left)} processes that workers had started were still there: ended")

    def result(self) -> RunResult:
        """What the front gets; payloads and audits travel by themselves."""
        outcomes = tuple(m.outcome for m in self.crew.members if m.outcome is not None)
        return RunResult(
            outcomes=outcomes,
            findings=tuple(self.store.findings),
            notices=tuple(self.store.notices),
            limits=dict(self.plan.limits),
            incidents=tuple(self.store.incidents),
            audits=tuple(self.audits),
            epochs=self.state.epoch,
            steps=sum(outcome.steps for outcome in outcomes),
            duration_s=round(self.duration_s, 6),
            ended_by=self.state.ending or "done",
            seed=self.plan.seed,
            mode=self.plan.mode,
        )


def cause_of(member: WorkerHandle) -> str:
    """Why a worker never got ready."""
    if member.said and member.said[1] == "failed":
        return f"{member.said[2].error}: {member.said[2].text}"
    code = member.body.process.exitcode if member.body else None
    return process_control.died_by(code) if code is not None else "it ended without reporting"


def main(parent: int, connection: Any, front_fd: int, packed: bytes | RunPlan) -> None:
    """The supervisor's process.  ``packed``: the plan itself after a fork, dill's bytes after a spawn."""
    process_control.die_with_parent(parent)
    if front_fd >= 0:
        os.close(front_fd)  # the front's end of our pipe came with the fork
    process_control.adopt_orphans()
    wire = Wire(connection)
    supervisor: Supervisor | None = None
    last: tuple[Any, ...]
    try:
        plan = dill.loads(packed) if isinstance(packed, bytes) else packed
        supervisor = Supervisor(plan, wire)
        process_control.install_handlers(process_control.ignore, supervisor.state.interrupt)
        last = (messages.RESULT, dill.dumps(supervisor.run()))
    except FrontGone:  # no peer to tell
        if supervisor is not None:
            supervisor.end_everything(grace=0.0)
        os._exit(1)
    except StartFailed as error:
        last = (messages.ERROR, "start", error.worker, error.cause)
    except WatchdogDied as error:
        last = (messages.ERROR, "watchdog", str(error), "")
    except BaseException as error:  # noqa: BLE001 - raised again in the front
        what = f"{type(error).__name__}: {error}"
        if short := shortage(error):
            last = (messages.ERROR, "shortage", short, what)
        else:
            last = (messages.ERROR, "supervisor", what, traceback.format_exc())
    if supervisor is not None:
        try:
            supervisor.end_everything()
        except Exception:  # noqa: BLE001 - the first error is the one to report
            traceback.print_exc(file=sys.stderr)
    with suppress(PeerGone):
        wire.send(last)
