"""False findings: how many the instrument makes on the VM without a defect, under every kind of noise.

Every scenario under every kind, contracts on, all oracles, for some seconds each: half an hour in all.
A run that ended badly counts as a finding.
"""

import sys
import tempfile
from dataclasses import dataclass

from bench.common import Plan, Row, run
from harness.errors import HarnessError
from stress.run.options import RunOptions
from stress.run.runner import run as run_it
from stress.scenario.scenario import all_scenarios

KINDS: dict[str, dict[str, object]] = {
    "none": {"noise": "none"},
    "light": {"noise": "light"},
    "placed": {"noise": "placed"},
    "turns": {"noise": "turns"},
    "heavy, stops": {"noise": "heavy", "stops": 3.0},
    "mixed, threads": {"noise": "mixed", "mode": "thread", "switch_ms": 0.05},
}
RUN_S = 8.0


@dataclass
class Sum:
    """What came of all runs of a kind."""

    seconds: float = 0.0
    steps: int = 0
    findings: int = 0


def one_run(scenario: str, kind: str, seed: int, seconds: float, total: Sum) -> None:
    """Add a run; what it finds is printed at once."""
    options = {"scenario": scenario, "seed": seed, "seconds": seconds, **KINDS[kind]}
    with tempfile.TemporaryDirectory(prefix="hangdog-bench-") as folder:
        try:
            report = run_it(RunOptions(**options, dump_dir=folder))  # type: ignore[arg-type]
        except HarnessError as error:
            total.findings += 1
            print(f"{scenario}, {kind}: {error}", file=sys.stderr)
            return
    total.seconds += report.duration_s
    total.steps += report.steps
    total.findings += len(report.findings)
    for found in report.findings:
        print(f"{found.verdict}: {found.summary}\n  {report.reproduce}", file=sys.stderr)


def measure(plan: Plan) -> list[Row]:
    """Per kind: findings, and how much was run."""
    scenarios = list(all_scenarios())
    sums = {kind: Sum() for kind in KINDS}
    for number, scenario in enumerate(scenarios[: plan.count(len(scenarios))], 1):
        for kind, total in sums.items():
            one_run(scenario, kind, number, max(1.0, RUN_S * plan.scale), total)
    rows: list[Row] = []
    for kind, total in sums.items():
        rows += [
            Row(f"{kind}: findings", total.findings, "", "<= 0"),
            Row(f"{kind}: steps", total.steps, ""),
            Row(f"{kind}: time", total.seconds, "s"),
        ]
    return [*rows, Row("together", sum(total.seconds for total in sums.values()) / 60, "min", ">= 30")]


if __name__ == "__main__":
    run("bench_clean", measure, __doc__)
