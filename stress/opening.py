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
    meta = RunMeta(seed=options.seed, scenario=options.what, reproduce=options.command())
    reader, seat = Reader(world.arena), world.arena.native.seat()
    why = f"while {options.what} was set up: {error}"
    suspicion = Suspicion(verdict=verdict, key="opening", seats=[seat], why=why)
    dump = dumps.build(reader, take(reader), suspicion, meta, with_stacks=False)
    path = ""
    if options.dump_dir:
        folder = Path(options.dump_dir).absolute()
        path = str(dumps.write(folder / f"{world.arena.name}-setup-{verdict}.json", dump))
    finding = Finding(
        id=1, verdict=verdict, summary=why, dump=path, text="" if path else render(dump),
        reproduce=meta.reproduce,
    )  # fmt: skip
    return RunResult(
        outcomes=(), findings=(finding,), ended_by="finding", seed=options.seed, mode=options.mode
    )
