"""A mistake that shows while the world is set up, before anybody runs: a finding like any other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.outcome import Finding, RunResult
from harness.watch import dump as dumps
from harness.watch.records import RunMeta, Suspicion
from harness.watch.render_text import render
from harness.watch.snapshot import Reader, take
from stress.options import RunOptions

if TYPE_CHECKING:
    from stress.world import World


def broken_opening(options: RunOptions, world: World, error: HarnessError) -> RunResult:
    """The run that ended before it began; an error without a verdict is raised again."""
    verdict = getattr(error, "verdict", "")
    if not verdict:
        raise error
    why = f"while {options.what} was set up: {error}"
    finding = written_down(options, world, verdict, why, [world.arena.native.seat()])
    return RunResult(
        outcomes=(), findings=(finding,), ended_by="finding", seed=options.seed, mode=options.mode
    )


def written_down(options: RunOptions, world: World, verdict: str, why: str, seats: list[int]) -> Finding:
    """A finding that is ours and not the watchdog's, with its dump; nobody else works in the arena now."""
    meta = RunMeta(seed=options.seed, scenario=options.what, reproduce=options.command())
    reader = Reader(world.arena)
    suspicion = Suspicion(verdict=verdict, key="own", seats=seats, why=why)
    dump = dumps.build(reader, take(reader), suspicion, meta, with_stacks=False)
    path = ""
    if options.dump_dir:
        folder = Path(options.dump_dir).absolute()
        path = str(dumps.write(folder / f"{world.arena.name}-own-{verdict}.json", dump))
    return Finding(
        id=1, verdict=verdict, summary=why, dump=path, text="" if path else render(dump),
        reproduce=meta.reproduce,
    )  # fmt: skip
