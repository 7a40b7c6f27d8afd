"""The caller's side: one ``Session`` with an arena, and runs in it.

``with Session(workers=4) as s: result = s.run(role)``.  The caller (the front) only asks and waits: it
never forks workers and takes no lock.  Guarantees: when ``run`` returns, or raises, every
process of the run is gone; Ctrl-C and SIGTERM give a partial result with ``interrupted``;
a time limit counts only time in which the front itself was not stopped.
"""

import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.errors import BadInput, require, require_whole
from harness.outcome import Progress, RunResult
from harness.run.arguments import folder_of, own_command, require_callable, require_strings, verdicts_of
from harness.run.barrier import Barrier
from harness.run.client import Client
from harness.run.faults import Faults
from harness.run.plan import (
    STOP_ON,
    AuditIn,
    Mode,
    RoleSpec,
    RunPlan,
    RunSettings,
    validate_roles,
    validate_times,
)
from harness.shm.arena import Arena
from harness.watch.detectors.judge import Limits

SPARE_SEATS = 16  # front, audits, threads of roles, any other thread that takes a lock


class Session:
    """An arena and the rules of its runs; the arguments apply to every run, ``workers`` only to ``run()``.

    ``workers``: how many run() starts.  ``mode``: "process", or "thread" for threads of one process.
    ``seed``: of every random choice; the same seed gives the same plan, not the same interleaving;
    None: another one each time (``session.seed``).
    ``dump_dir``: folder for the dumps of findings; None: a finding carries its dump as text.
    ``time_limit_s``: a run is told to end after so many seconds; None: never.  ``grace_s``: seconds that its
    workers may take to end.  ``linger_s``: seconds to continue after a finding whose verdict is not in
    ``stop_on``; None: to the run's end.  ``stop_on``: the verdicts that end a run at once.
    ``stall_s``, ``livelock_s``, ``frozen_s``: seconds of watched time after which a wait, an operation
    that starts again and again, a stopped holder is reported (see Limits).
    ``ready_limit_s``, ``audit_limit_s``: seconds for the set-up of a worker, and for one audit.  These, and
    ``grace_s``, do not count time in which one of the run is stopped, or waits for a processor.
    ``watch``: False, or a maker with the signature of harness.watch's Watchdog.
    ``noise``: random delays where races are likely: "none", "light", ... or a harness.probe Profile.
    ``faults``: workers killed or stopped at random moments (Faults).
    ``arena``: an existing one (it stays open); else one is made, with ``name``, ``arena_size`` bytes, and
    ``seats``: room for so many threads, 0: enough for the workers.
    ``scenario``: what is run, for dumps.  ``reproduce``: the command that findings name; by default this
    program's own command line.

    Attributes: ``arena``, ``workers``, ``mode``, ``seed``, ``time_limit_s``; ``settings``: the rest, as one
    record; ``options``: that by name.
    Errors: BadInput.
    """

    def __init__(
        self,
        workers: int = 4,
        mode: Mode = "process",
        seed: int | None = 0,
        *,
        dump_dir: str | Path | None = None,
        time_limit_s: float | None = None,
        watch: Any = True,
        noise: Any = "none",
        faults: Faults | None = None,
        arena: Arena | None = None,
        arena_size: int = 1 << 20,
        seats: int = 0,
        name: str = "",
        scenario: str = "",
        reproduce: str | None = None,
        stop_on: Iterable[str] = STOP_ON,
        linger_s: float | None = 3.0,
        grace_s: float = 2.0,
        ready_limit_s: float = 30.0,
        audit_limit_s: float = 120.0,
        stall_s: float = Limits.stall_s,
        livelock_s: float = Limits.livelock_s,
        frozen_s: float = Limits.frozen_s,
    ) -> None:
        require_whole("workers", workers, 1)
        require_whole("seats", seats, 0)
        require_whole("arena_size", arena_size, 0)
        require_strings(name=name)
        require(arena is None or isinstance(arena, Arena), "arena", arena, "an Arena, or None")
        if time_limit_s is not None:
            validate_times({"time_limit_s": time_limit_s})
        self.settings = RunSettings(
            mode=mode,
            seed=secrets.randbits(48) if seed is None else seed,
            noise=noise,
            faults=faults,
            watch=watch,
            dump_dir=folder_of(dump_dir),
            scenario=scenario,
            reproduce=own_command() if reproduce is None else reproduce,
            stop_on=verdicts_of(stop_on, STOP_ON | {"order_violation"}),
            linger_s=linger_s,
            grace_s=grace_s,
            ready_limit_s=ready_limit_s,
            audit_limit_s=audit_limit_s,
            limits={"stall_s": stall_s, "livelock_s": livelock_s, "frozen_s": frozen_s},
        )
        self.workers, self.mode, self.seed = workers, mode, self.settings.seed
        self.time_limit_s = time_limit_s
        self._own = arena is None
        self._made = (name or f"run-{os.getpid()}", arena_size, seats or max(128, 2 * workers + SPARE_SEATS))
        self._arena = arena
        self._runs = 0

    @property
    def options(self) -> dict[str, Any]:
        """What the arguments were taken for, by name; those of the three limits lie in ``limits``."""
        return dict(vars(self.settings))

    @property
    def arena(self) -> Arena:
        """The arena, made at the first use."""
        if self._arena is None:
            name, size, seats = self._made
            self._arena = Arena.create(name, size=size, seats=seats)
        return self._arena

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give an arena of our own back."""
        if self._own and self._arena is not None:
            self._arena.close()
            self._arena = None

    def run(
        self,
        role: Callable[..., Any],
        *args: Any,
        epochs: int | None = 1,
        audit: Callable[..., Any] | None = None,
        audit_in: AuditIn = "child",
        services: Iterable[RoleSpec] = (),
        on_progress: Callable[[Progress], None] | None = None,
        name: str = "worker",
        time_limit_s: float | None = None,
    ) -> RunResult:
        """Run ``workers`` workers that call ``role(context, *args)``; the first argument is a WorkerContext.

        ``services``: RoleSpecs beside them; ``name``: of the role, for findings and outcomes;
        ``time_limit_s``: of this run.  All else, and the errors: see ``run_roles``.
        """
        specs = [RoleSpec(name, role, args, self.workers), *services]
        return self.run_roles(
            specs,
            epochs=epochs,
            audit=audit,
            audit_in=audit_in,
            on_progress=on_progress,
            time_limit_s=time_limit_s,
        )

    def run_roles(
        self,
        roles: Iterable[RoleSpec],
        *,
        epochs: int | None = 1,
        audit: Callable[..., Any] | None = None,
        audit_in: AuditIn = "child",
        on_progress: Callable[[Progress], None] | None = None,
        time_limit_s: float | None = None,
    ) -> RunResult:
        """Run these roles: ``epochs`` times (None: until something ends the run), each with an audit.

        ``audit(context)`` is called when all workers are parked, in a process made for it (``audit_in``
        "child") or in the first worker ("worker"); what it returns is kept, what it raises is a finding.
        ``on_progress(progress)`` is called about five times a second, with a Progress.
        ``time_limit_s``: seconds, in place of the session's.
        Errors: BadInput, StartFailed (a worker never got ready), SupervisorDied, WatchdogDied,
        SupervisorFailed, Shortage; all else is in the result.
        """
        specs = tuple(roles)
        require_callable(audit=audit, on_progress=on_progress)
        require(audit_in in ("child", "worker"), "audit_in", audit_in, "'child' or 'worker'")
        if time_limit_s is not None:
            validate_times({"time_limit_s": time_limit_s})
        validate_roles(specs)
        count = sum(spec.count for spec in specs)
        if epochs is not None:
            require_whole("epochs", epochs, 1)
        if count + 2 + (self.mode == "thread") > self.arena.header.seat_count:
            raise BadInput(f"{count} workers do not fit into {self.arena.header.seat_count} seats")
        plan = RunPlan(
            **{**vars(self.settings), "dump_dir": self._folder()},
            arena=self.arena,
            roles=specs,
            epochs=epochs,
            audit=audit,
            audit_in=audit_in,
        )
        self._runs += 1
        limit = self.time_limit_s if time_limit_s is None else time_limit_s
        # The gate is opened here first, so that an arena without room for it says so to the caller.
        return Client(plan, Barrier(self.arena), limit, on_progress).run()

    def _folder(self) -> str:
        """Later runs have dumps of their own: a watchdog numbers its findings from 1."""
        folder = self.settings.dump_dir
        return str(Path(folder) / f"run-{self._runs + 1}") if folder and self._runs else folder
