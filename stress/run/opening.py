"""A mistake that shows while the world is set up, before any thread runs: a finding like any other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.outcome import Finding, RunResult
from harness.shm.arena import Arena
from harness.shm.facts import NO_DETAILS, Details, said_by
from harness.watch import dump as dumps
from harness.watch.records import RunMeta, Suspicion
from harness.watch.render.text import render
from harness.watch.snapshot import Reader, take
from stress.run.options import RunOptions
from stress.run.world import World


class OwnFindings:
    """Findings of one run that are ours and not the watchdog's; ``options`` are those of the run."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options

    def setup_failure(self, world: World, error: HarnessError) -> RunResult:
        """The run that ended before it began; an error without a verdict is raised again."""
        verdict = getattr(error, "verdict", "")
        if not verdict:
            raise error
        why = f"while {self.options.what} was set up: {error}"
        seats, details = [world.arena.native.seat()], said_by(error)
        finding = self.record(world.arena, verdict, why, seats, details=details)
        return RunResult(
            outcomes=(),
            findings=(finding,),
            ended_by="finding",
            seed=self.options.seed,
            mode=self.options.mode,
        )

    def record(
        self,
        arena: Arena | None,
        verdict: str,
        why: str,
        seats: list[int],
        stack: Sequence[str] = (),
        workers: tuple[str, ...] = (),
        details: Details = NO_DETAILS,
    ) -> Finding:
        """The finding, with its dump; no other thread works in the arena now.

        ``stack``: of the threads in ``seats``, innermost line first.  Without an arena there is no dump.
        """
        options = self.options
        meta = RunMeta(seed=options.seed, scenario=options.what, reproduce=options.command())
        found = Finding(
            id=1, verdict=verdict, summary=why, reproduce=meta.reproduce, seats=tuple(seats), workers=workers
        )
        if arena is None:
            return found
        reader = Reader(arena)
        suspicion = Suspicion(verdict=verdict, key="own", seats=seats, why=why, details=details)
        dump = dumps.build(reader, take(reader), suspicion, meta, with_stacks=False)
        if stack:
            threads = [
                msgspec.structs.replace(one, stack=list(stack)) if one.number in seats else one
                for one in dump.threads
            ]
            dump = msgspec.structs.replace(dump, threads=threads, summary=why)
        try:
            path = options.dump_dir and str(
                dumps.write(Path(options.dump_dir).absolute() / f"{arena.name}-own-{verdict}.json", dump)
            )
        except dumps.DumpError:  # a full disk loses the file, not the finding
            path = ""
        return msgspec.structs.replace(found, dump=path, text="" if path else render(dump))
