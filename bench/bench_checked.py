"""What checked mode costs: the same scenario fast, with contracts, and checked, in turn.

Each measurement is a whole run of its own: processes, daemon, disk workers, watchdog.  The disk takes no
extra time and there is no noise, or the sleeps would hide the cost.
"""

from collections.abc import Callable
from functools import partial
from statistics import median

from bench.common import Plan, Row, in_turn, median_ratios, run
from stress.run.options import RunOptions
from stress.run.runner import run as run_scenario

SCENARIO = "fork-storm"
SECONDS = 8.0
ROUNDS = 3
KINDS = {
    "fast": RunOptions(checks=False),
    "contracts": RunOptions(checks=True),
    "checked": RunOptions(checked=True),
}


def steps_per_second(options: RunOptions, seconds: float) -> float:
    """One run of one worker; it must find nothing."""
    report = run_scenario(
        RunOptions(
            scenario=SCENARIO, workers=1, seconds=seconds, noise="none", disk_ms=0.0,
            checks=options.checks, checked=options.checked,
        )
    )  # fmt: skip
    assert not report.findings, [finding.summary for finding in report.findings]
    return report.steps / report.duration_s


def measure(plan: Plan) -> list[Row]:
    """Every row."""
    seconds = max(1.0, SECONDS * min(1.0, plan.scale * 4))
    things: dict[str, Callable[[], float]] = {
        name: partial(steps_per_second, options, seconds) for name, options in KINDS.items()
    }
    found = in_turn(things, plan.count(ROUNDS))
    rows = [Row(f"{name}, steps of {SCENARIO}", median(values), "1/s") for name, values in found.items()]
    for name, target in (("contracts", ""), ("checked", "<= 6")):
        rows.append(Row(f"fast / {name}", 1 / median_ratios(found["fast"], found[name]), "ratio", target))
    return rows


if __name__ == "__main__":
    run("bench_checked", measure, __doc__)
