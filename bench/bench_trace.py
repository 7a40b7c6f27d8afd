"""Replays of the recorded programs with four workers and every oracle on.

A replay is the product at its usual job: processes, contracts, content checks, audits, a
watchdog.  Findings are a row because they must be none.
"""

import tempfile
from collections.abc import Iterator

from bench.common import Plan, Row, run
from stress.run.options import RunOptions, RunReport
from stress.run.runner import run as replay

WORKERS = 4
TRACES = ("configure", "make", "pool")
TARGETS = {
    ("configure", "seconds"): "<= 60",
    ("configure", "findings"): "<= 0",
    ("configure", "content reads"): ">= 100000",
    ("make", "findings"): "<= 0",
    ("pool", "findings"): "<= 0",
}
TASKS = 2000  # more than any trace has


def replayed(trace: str, plan: Plan) -> RunReport:
    """One replay; what it finds is kept nowhere."""
    tasks = None if plan.scale >= 1 else plan.count(TASKS, 8)
    with tempfile.TemporaryDirectory(prefix="hangdog-bench-") as folder:
        report: RunReport = replay(RunOptions(trace=trace, workers=WORKERS, tasks=tasks, dump_dir=folder))
    return report


def rows_of(trace: str, report: RunReport) -> Iterator[Row]:
    """What a replay says in numbers."""
    numbers: dict[str, tuple[float, str]] = {
        "seconds": (report.duration_s, "s"),
        "content reads": (report.checks.get("content_reads", 0), "pages"),
        "findings": (len(report.findings), ""),
        "steps": (report.steps, ""),
        "faults": (report.counters.get("v_faults", 0), ""),
        "faults per second": (report.counters.get("v_faults", 0) / max(report.duration_s, 1e-9), "faults/s"),
        "forks": (report.counters.get("map_forks", 0), ""),
    }
    for name, (value, unit) in numbers.items():
        yield Row(f"{trace}: {name}", float(value), unit, TARGETS.get((trace, name), ""))


def measure(plan: Plan) -> list[Row]:
    """Every row."""
    return [row for trace in TRACES for row in rows_of(trace, replayed(trace, plan))]


if __name__ == "__main__":
    run("bench_trace", measure, __doc__)
