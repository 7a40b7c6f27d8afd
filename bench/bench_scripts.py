"""How sure a script is: every script of the catalogue, 100 times, with processes and with threads.

A repetition counts when one of the defect's verdicts is found, within a second.  A miss is printed at once.
"""

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from bench.common import Plan, Row, run
from stress.defect import Defect, all_defects
from stress.detect.detect import asked_of_run
from stress.run.options import RunOptions
from stress.run.runner import run as run_it

MODES: tuple[Literal["process", "thread"], ...] = ("process", "thread")
REPEATS = 100
LIMIT_S = 1.0


@dataclass
class Sum:
    """What came of all repetitions in a mode."""

    played: int = 0
    missed: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)


def play(defect: Defect, mode: Literal["process", "thread"], number: int, total: Sum) -> None:
    """Add a repetition."""
    with tempfile.TemporaryDirectory(prefix="hangdog-bench-") as folder:
        asked = asked_of_run(defect, script=True)
        report = run_it(RunOptions(**asked, defect=defect.id, mode=mode, dump_dir=folder))
    total.played += 1
    right = [found for found in report.findings if found.verdict in defect.verdicts]
    if not right:
        found = ", ".join(found.verdict for found in report.findings) or "nothing"
        total.missed.append(defect.id)
        print(f"{defect.id}, {mode}, repetition {number}: found {found}; {report.script}", file=sys.stderr)
        return
    total.times.append(right[0].at_s)
    if right[0].at_s > LIMIT_S:
        total.slow.append(defect.id)
        print(f"{defect.id}, {mode}, repetition {number}: after {right[0].at_s:.2f} s", file=sys.stderr)


def rows(mode: str, total: Sum) -> Iterator[Row]:
    """The numbers of a mode."""
    yield Row(f"{mode}: played", total.played, "")
    yield Row(f"{mode}: missed", len(total.missed), "", "<= 0")
    yield Row(f"{mode}: later than {LIMIT_S:g} s", len(total.slow), "", "<= 0")
    times = sorted(total.times) or [0.0]
    yield Row(f"{mode}: median", times[len(times) // 2] * 1000, "ms")
    yield Row(f"{mode}: slowest", times[-1] * 1000, "ms", "<= 1000")


def measure(plan: Plan) -> list[Row]:
    """Round after round of all scripts: whatever the machine does meanwhile, it does to all of them."""
    sums = {mode: Sum() for mode in MODES}
    scripted = [defect for defect in all_defects().values() if defect.script]
    scripted = scripted[: plan.count(10 * len(scripted))]  # all of them, down to a tenth of the repetitions
    for number in range(1, plan.count(REPEATS) + 1):
        for defect in scripted:
            for mode, total in sums.items():
                play(defect, mode, number, total)
    return [row for mode, total in sums.items() for row in rows(mode, total)]


if __name__ == "__main__":
    run("bench_scripts", measure, __doc__)
