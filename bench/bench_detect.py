"""How soon a deadlock is known: from its last edge to the verdict, and to the dump on disk.

Eight worker processes; two of them close a cycle while six others take locks as fast as
they can, so the watchdog has to share the machine.  Every round is a run of its own:
supervisor, watchdog and workers are started, the hang is found, everything is ended.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

from bench.common import Plan, Row, run
from harness.locks import Mutex
from harness.outcome import RunResult
from harness.run import RoleSpec, Session, WorkerContext
from harness.watch import dump

WORKERS = 8
ROUNDS = 25
LIMIT_S = 20.0  # of a round in which nothing is found: that is a failure of the bench


def take_both(context: WorkerContext, first: Mutex, second: Mutex) -> None:
    """Half of a deadlock; says when it began to wait."""
    with context.step("take both"), first:
        while not second.locked() and not context.should_stop():
            pass
        context.send(time.time())
        with second:
            pass


def bystander(context: WorkerContext, lock: Mutex) -> None:
    """Lock, unlock, and count steps, as fast as it goes."""
    while not context.should_stop():
        with context.step("work"), lock:
            pass


def hang(folder: Path, number: int) -> RunResult:
    """One run that ends in a deadlock."""
    with Session(dump_dir=folder, name=f"bench-detect-{number}", time_limit_s=LIMIT_S) as session:
        arena = session.arena
        # Of one class that may nest: the order check would otherwise stop the second one to report first.
        left, right = (arena.mutex("pair", i, nest=True) for i in range(2))
        others = [
            RoleSpec(f"other{i}", bystander, (arena.mutex("other", i, nest=True),))
            for i in range(WORKERS - 2)
        ]
        pair = [RoleSpec("one", take_both, (left, right)), RoleSpec("two", take_both, (right, left))]
        return session.run_roles([*pair, *others])


def timed(result: RunResult) -> tuple[float, float]:
    """Seconds from the last edge to the look that confirmed it, and to the renamed file."""
    finding = next(finding for finding in result.findings if finding.verdict == "deadlock")
    path = Path(finding.dump)
    found = dump.read(path)
    waits = [seat.wait.waited_s for seat in found.threads if seat.number in found.involved and seat.wait]
    closed = max(result.values())
    # The change time is the rename's: when the whole file was there for others.
    return min(waits), os.stat(path).st_ctime_ns / 1e9 - closed


def rounds(plan: Plan) -> Iterator[tuple[float, float]]:
    """One pair of times per round."""
    with tempfile.TemporaryDirectory(prefix="hangdog-bench-") as folder:
        for number in range(plan.count(ROUNDS, 3)):
            yield timed(hang(Path(folder), number))


def measure(plan: Plan) -> list[Row]:
    """Every row; both clocks tick every few milliseconds, which is their error."""
    verdicts, dumps = zip(*rounds(plan), strict=True)
    return [
        Row("last edge -> verdict, median", median(verdicts) * 1000, "ms", "<= 50"),
        Row("last edge -> verdict, worst", max(verdicts) * 1000, "ms"),
        Row("last edge -> dump on disk, median", median(dumps) * 1000, "ms", "<= 250"),
        Row("last edge -> dump on disk, 90 %", quantiles(dumps, n=10)[-1] * 1000, "ms"),
        Row("last edge -> dump on disk, worst", max(dumps) * 1000, "ms"),
        Row("rounds", len(verdicts), ""),
    ]


if __name__ == "__main__":
    run("bench_detect", measure, __doc__)
