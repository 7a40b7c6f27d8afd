"""What a role is given: its number, its random numbers, its arena, and the gate.

All methods are for the worker's own thread, but ``send``, which any thread may call.
"""

import random
from collections.abc import Callable
from types import TracebackType
from typing import Any

import dill

from harness import _native
from harness.run import messages
from harness.run.barrier import Barrier, Row, State
from harness.run.exception_report import describe
from harness.run.messages import Wire
from harness.run.plan import derive_seed
from harness.run.post import Post
from harness.shm.arena import Arena

_PARKED, _RUNNING = _native.CONSTANTS["PARKED"], _native.CONSTANTS["RUNNING"]


class WorkerStopped(BaseException):
    """The supervisor's SIGTERM, raised in a worker wherever it is; no Exception: roles must not catch it."""


class Step:
    """One operation: counted when it returns.  ContractViolation when it leaves a lock behind."""

    __slots__ = ("_arena",)

    def __init__(self, arena: _native.Arena) -> None:
        self._arena = arena

    def __enter__(self) -> None:
        """Nothing: it has begun already."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An operation that raised stays the current one: a dump should show what failed."""
        if kind is None:
            self._arena.end()


class WorkerContext:
    """One worker's side of a run: what a role gets as its first argument.

    ``arena``: the Arena of the run.  ``name``: of this worker, role#index; ``role``; ``index``: from 0.
    ``rng``: a random.Random of its own, and ``seed``: what it began with, the same in every run of that seed.
    ``seat``: its number in the arena, from 1.  ``epoch``: how many are completed.
    ``prepared``: what the role's ``prepare`` returned.
    ``begin(operation, argument=0)`` and ``end()``: the two ends of a step, for what is no block.
    ``watched``: the run has a watchdog.  ``audit``: the run's audit, or None.
    """

    arena: "Arena"
    role: str
    index: int
    name: str
    seed: int
    rng: random.Random
    seat: int
    epoch: int
    prepared: Any
    begin: Callable[..., None]
    end: Callable[[], None]
    audit: "Callable[[WorkerContext], Any] | None"
    watched: bool

    def __init__(self, arena: "Arena", gate: "Barrier", post: "Post", wire: Wire, seed: int) -> None:
        self.arena, self.role, self.index, self.name = arena, post.spec.name, post.index, post.name
        self.seed = derive_seed(seed, post.name)
        self.rng = random.Random(self.seed)
        self.seat = 0
        self.epoch = 0
        self.prepared = None
        self.begin = arena.native.begin
        self.end = arena.native.end
        self._gate, self._row, self._wire = gate.gate, gate.rows[post.number], wire
        self._step = Step(arena.native)
        self._finished = False
        self._service = post.spec.service
        self.audit = None
        self.watched = False

    def __repr__(self) -> str:
        return f"<WorkerContext {self.name} seat {self.seat} epoch {self.epoch}>"

    def step(self, operation: str, argument: int = 0) -> Step:
        """``with context.step("allocate"):`` one operation, shown in dumps while it runs, counted at its end.

        ``argument``: a number for dumps.  ContractViolation when it leaves a lock held.
        """
        self.begin(operation, argument)
        return self._step

    def should_stop(self) -> bool:
        """Is it time to come to an end?  One read of a shared word."""
        return bool(self._finished or self._gate.stop)

    def send(self, value: Any) -> None:
        """Hand something to the caller of ``run``; it arrives even if this worker dies right after."""
        self._wire.send((messages.PAYLOAD, dill.dumps(value)))

    def park(self) -> bool:
        """For services: if the others are parking, park too.  False: come to an end."""
        if self._gate.state in (State.PARKING, State.AUDIT) and not self.should_stop():
            self._wait_at_gate()
        return not self.should_stop()

    def next_epoch(self) -> bool:
        """Park until every worker has and the audit is over.  True: one more; False: it was the last.

        ContractViolation when this thread holds a lock.
        """
        return self._next_epoch(returned=False)

    def _next_epoch(self, returned: bool) -> bool:
        """``returned``: the role has, so only a new epoch, or the end, is left for this thread."""
        if not self._finished and not self._service:
            self._wait_at_gate(returned)
        return not self._finished and not self._service

    def _wait_at_gate(self, returned: bool = False) -> None:
        self.arena.native.require_nothing_held()
        self.arena.native.set_activity(_PARKED, int(returned))
        self._row.state = Row.PARKED
        try:
            self._wire.send((messages.PARKED,))
            while (message := self._wire.wait())[0] == messages.AUDIT:
                # This process makes the audit: meanwhile it does not wait.
                self.arena.native.set_activity(_RUNNING)
                self._wire.send((messages.AUDITED, *self._run_audit()))
                self.arena.native.set_activity(_PARKED, int(returned))
        finally:
            self._row.state = Row.RUNNING
            self.arena.native.set_activity(_RUNNING)
        if message[0] == messages.RESUME:
            self.epoch = message[1]
        else:
            self._finished = True

    def _run_audit(self) -> tuple[str, Any]:
        assert self.audit is not None
        try:
            return "value", dill.dumps(self.audit(self))
        except Exception as error:  # noqa: BLE001 - whatever an audit raises is a finding
            return "failed", describe(error, self.arena, report=self.watched)
