"""One run as the front (the process that called Session.run) sees it.

It starts the supervisor, waits, passes on what it says, and tidies up.  The supervisor is forked when
this process has one thread only, else it is spawned clean: a fork of a process with threads copies
whatever locks they hold at that moment.  However the supervisor ends, ``run`` comes back with no
process of the run left: the sentinel of the supervisor is a pipe that every process below it inherits,
so its end is the end of them all.
"""

import io
import os
import select
import signal
import types
from collections.abc import Callable
from importlib import import_module
from typing import Any

import dill
import msgspec
import multiprocess
from multiprocess import resource_tracker

from harness.clock import Deadline, WatchedClock
from harness.errors import BadInput, shortage
from harness.outcome import Finding, Outcome, Payload, Progress, RunResult
from harness.run import messages, process_control, supervisor
from harness.run.barrier import Barrier, State
from harness.run.errors import (
    RunFailed,
    Shortage,
    StartFailed,
    SupervisorDied,
    SupervisorFailed,
    WatchdogDied,
)
from harness.run.messages import Wire
from harness.run.plan import RunPlan
from harness.watch import bystanders

TICK_S = 0.2
GONE_S = 5.0  # processes with PDEATHSIG end within milliseconds; a loaded machine may take longer
_MAX_INTERRUPTS = 2  # the second Ctrl-C does not wait for any process


class Client:
    """One run; not to be used twice."""

    def __init__(
        self,
        plan: RunPlan,
        gate: Barrier,
        time_limit_s: float | None,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.plan, self.gate, self.on_progress = plan, gate, on_progress
        self.clock = WatchedClock()
        self.time_limit_s = time_limit_s
        self.limit = Deadline(None, self.clock)  # a limit is one on the work, not on the start
        self.interrupts = 0
        self.stopping = ""
        self.result: RunResult | None = None
        self.error: RunFailed | StartFailed | None = None
        self.payloads: list[Payload] = []
        self.outcomes: list[Outcome] = []
        self.findings: list[Finding] = []
        self.notices: list[Finding] = []
        self.incidents: list[str] = []
        self.handlers: dict[int, Any] = {}

    def run(self) -> RunResult:
        """Start, wait, and leave nothing behind."""
        self.gate.clear()
        self._release_seat()
        self._take_signals()
        try:
            self._start()
            try:
                self._wait()
            finally:
                self._tidy()
        finally:
            bystanders.unregister(self.plan.arena)
            self._give_signals_back()
        return self._conclude()

    def _release_seat(self) -> None:
        """Our seat is no part of the run: it would count as a thread that could still wake a sleeper."""
        seat = self.plan.arena.native
        if seat.seat() and not seat.depth():
            seat.leave()
        bystanders.register(self.plan.arena)

    # --- signals

    def _take_signals(self) -> None:
        """Ctrl-C and SIGTERM end the run, not us; a handler that the program has installed stays."""
        if not process_control.in_main_thread():
            return
        usual = (signal.default_int_handler, signal.SIG_DFL)
        for number in process_control.SIGNALS:
            # SIG_DFL for Ctrl-C is no accident: that program wants to die by it.
            if signal.getsignal(number) in usual[: 1 + (number == signal.SIGTERM)]:
                self.handlers[number] = signal.signal(number, self._interrupted)

    def _give_signals_back(self) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def _interrupted(self, _signal: int, _frame: Any) -> None:
        self.interrupts += 1

    # --- the supervisor

    def _start(self) -> None:
        fork = process_control.single_threaded()
        context = multiprocess.get_context("fork" if fork else "spawn")
        packed: Any = self.plan
        if not fork:
            packed = pack(self.plan)
            # It unblocks signals when it starts its process: that must not happen inside signals_blocked().
            resource_tracker.ensure_running()
        ours, theirs = context.Pipe()
        args = (os.getpid(), theirs, ours.fileno() if fork else -1, packed)
        self.process = context.Process(target=supervisor.main, args=args, name="hangdog supervisor")
        try:
            with process_control.signals_blocked():
                self.process.start()
        except Exception as error:
            if what := shortage(error):
                raise Shortage(what, f"its supervisor: {error}") from error
            raise
        theirs.close()
        self.wire = Wire(ours)
        self.death = process_control.death_fd(self.process)

    def _wait(self) -> None:
        """Until the supervisor has said its last word or is gone."""
        over = False
        while self.result is None and self.error is None and not over:
            ready = readable(
                [self.wire.fd, self.death], TICK_S if self.stopping else min(TICK_S, self.limit.left())
            )
            over = self.death in ready
            self._receive()
            self._tick()

    def _receive(self) -> None:
        for message in self.wire.receive():
            word, *rest = message
            if word == messages.STARTED:
                self.limit = Deadline(self.time_limit_s, self.clock)
            elif word == messages.PAYLOAD:
                self.payloads.append(Payload(worker=rest[0], value=dill.loads(rest[1])))
            elif word == messages.OUTCOME:
                self.outcomes.append(rest[0])
            elif word == messages.FINDING:
                self.findings.append(rest[0])
            elif word == messages.NOTICE:
                self.notices.append(rest[0])
            elif word == messages.INCIDENT:
                self.incidents.append(rest[0])
            elif word == messages.RESULT:
                self.result = dill.loads(rest[0])
            elif word == messages.ERROR:
                self.error = error_of(*rest)

    def _tick(self) -> None:
        """What is to be done now and then."""
        self.clock.now()
        if self.interrupts >= _MAX_INTERRUPTS:
            self.process.kill()
        wanted = "interrupt" if self.interrupts else "time limit" if self.limit.passed() else ""
        # An interrupt hurries what a time limit began.
        if wanted and self.stopping not in (wanted, "interrupt"):
            self.stopping = wanted
            self.wire.post((messages.STOP, wanted))
        self.wire.flush()
        if self.on_progress is not None:
            self.on_progress(self.progress())

    def progress(self) -> Progress:
        """From the arena, without asking any process."""
        steps, alive = self.gate.total()
        go = int(self.gate.gate.go_ns)
        elapsed = (self.plan.arena.native.now() - go) / 1e9 if go else 0.0
        return Progress(
            elapsed_s=max(0.0, elapsed),
            steps=steps,
            epoch=int(self.gate.gate.epoch),
            state=State(self.gate.gate.state).name.lower(),
            workers=alive,
            findings=len(self.findings),
            notices=len(self.notices),
        )

    # --- the end

    def _tidy(self) -> None:
        """No process is left, whatever happened; also on the way out of an exception."""
        if self.result is None and self.error is None:
            self.process.kill()
        self.process.join(GONE_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.all_gone = bool(readable([self.process.sentinel], GONE_S))
        self._receive()
        self.exit_code = self.process.exitcode
        os.close(self.death)
        self.wire.close()
        self.process.close()

    def _conclude(self) -> RunResult:
        if self.result is not None:
            return msgspec.structs.replace(self.result, payloads=tuple(self.payloads))
        if self.interrupts >= _MAX_INTERRUPTS:
            raise KeyboardInterrupt
        error = self.error
        if error is None:
            code = int(self.exit_code)
            error = SupervisorDied(process_control.died_by(code), max(0, -code), 0 if self.all_gone else 1)
        if isinstance(error, RunFailed):
            error.outcomes, error.findings = tuple(self.outcomes), tuple(self.findings)
            error.incidents = tuple(self.incidents)
        raise error


def readable(fds: list[int], timeout: float) -> list[int]:
    """Those that have something, or their end, to read."""
    poller = select.poll()
    for fd in fds:
        poller.register(fd, select.POLLIN)
    return [fd for fd, _ in poller.poll(timeout * 1000)]


class ByName(dill.Pickler):  # type: ignore[misc]
    """dill, but a module is its name: by itself it would send the values of all its globals."""

    def reducer_override(self, thing: Any) -> Any:
        """Modules only; the rest is dill's."""
        if isinstance(thing, types.ModuleType):
            return import_module, (thing.__name__,)
        return NotImplemented


def pack(plan: RunPlan) -> bytes:
    """The plan for a process that shares nothing with us.  BadInput names what cannot travel."""
    try:
        file = io.BytesIO()
        # recurse: take along the globals that a function of __main__ uses.  Otherwise dill refers to the
        # dictionary of __main__, and the one over there has only what an import of the script made.
        ByName(file, recurse=True).dump(plan)
        return file.getvalue()
    except Exception as error:
        names = ", ".join(role.name for role in plan.roles)
        raise BadInput(
            f"the roles ({names}) cannot be sent to another process: {type(error).__name__}: {error}"
        ) from error


def error_of(kind: str, first: str, second: str) -> RunFailed | StartFailed:
    """The exception that the supervisor's last word means."""
    if kind == "start":
        return StartFailed(first, second)
    if kind == "watchdog":
        return WatchdogDied(first)
    if kind == "shortage":
        return Shortage(first, second)
    return SupervisorFailed(f"the supervisor failed: {first}", second)
