"""How much sooner races are found under each kind of noise than under none.

Every sixth defect of the catalogue, so that they are not chosen for what noise does to them; each in its own
scenario with its own options but for the noise, the same seeds under every kind, kinds in turn.  A run
that found nothing counts as long as its limit, so a ratio is at least what is printed where the median
under none is the limit itself.
"""

import tempfile
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.common import Plan, Row, run
from stress.defect import all_defects, find_defect
from stress.run.options import RunOptions
from stress.run.runner import run as run_it

RACES = tuple(all_defects())[::6]
SEEDS = 2
LIMIT_S = 15.0  # of a run


@dataclass(frozen=True)
class Kind:
    """One kind of noise: what it adds to a run's options."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


KINDS = (
    Kind("none", {"noise": "none"}),
    Kind("light", {"noise": "light"}),
    Kind("placed", {"noise": "placed"}),
    Kind("turns", {"noise": "turns"}),
    Kind("mixed", {"noise": "mixed"}),
    Kind("heavy", {"noise": "heavy"}),
    Kind("placed, stops", {"noise": "placed", "stops": 3.0}),
    Kind("placed, 8 workers", {"noise": "placed", "workers": 8}),
    Kind("none, threads", {"noise": "none", "mode": "thread"}),
    Kind("none, switch 0.05 ms", {"noise": "none", "mode": "thread", "switch_ms": 0.05}),
)


def seconds_to_find(race: str, kind: Kind, seed: int) -> float:
    """Until something right was found, or the limit."""
    defect = find_defect(race)
    with tempfile.TemporaryDirectory(prefix="hangdog-bench-") as folder:
        options: dict[str, Any] = {
            **defect.options,
            **kind.options,
            "defect": race,
            "scenario": defect.scenario,
            "seed": seed,
            "seconds": LIMIT_S,
            "dump_dir": folder,
        }
        report = run_it(RunOptions(**options))
    times = [found.at_s for found in report.findings if found.verdict in defect.verdicts]
    return min([LIMIT_S, *times])


def measure(plan: Plan) -> list[Row]:
    """Per kind: the median over races of the median over seeds, how many were found, the ratio to none."""
    races = RACES[: plan.count(len(RACES), 2)]
    kinds = KINDS[: plan.count(len(KINDS), 2)]
    took: dict[str, dict[str, list[float]]] = {kind.name: {race: [] for race in races} for kind in kinds}
    began = time.monotonic()
    for seed in range(1, plan.count(SEEDS) + 1):
        for race in races:
            for kind in kinds:
                took[kind.name][race].append(seconds_to_find(race, kind, seed))
    rows: list[Row] = []
    none = {race: median(times) for race, times in took["none"].items()}
    for name, by_race in took.items():
        times = [median(found) for found in by_race.values()]
        ratios = [none[race] / max(median(found), 0.001) for race, found in by_race.items()]
        found = sum(one < LIMIT_S for race in by_race.values() for one in race)
        rows += [
            Row(f"{name}: median time to find", median(times), "s"),
            Row(f"{name}: runs that found it", found / sum(map(len, by_race.values())) * 100, "%"),
            Row(
                f"{name}: sooner than none, median over races",
                median(ratios),
                "x",
                ">= 5" if name == "mixed" else "",
            ),
        ]
    return [*rows, Row("races", len(races), ""), Row("took", time.monotonic() - began, "s")]


if __name__ == "__main__":
    run("bench_noise", measure, __doc__)
