"""What every benchmark shares: rows, rounds in turn, the table, ``--json``.

Guarantees: a missed target never fails anything (the exit code is 0; a benchmark is read,
not obeyed), and every comparison is made of rounds that alternate between the things
compared, so that a machine that gets slower in the middle slows both down.
Refuses to average ratios of rounds: the median is reported.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import history
from harness.errors import HarnessError

OPERATORS = {"<=": lambda value, limit: value <= limit, ">=": lambda value, limit: value >= limit}


@dataclass(frozen=True)
class Row:
    """One number; ``target`` is an operator and a limit ("<= 0.5"), or empty where none was set."""

    name: str
    value: float
    unit: str
    target: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target was reached here; None without one."""
        if not self.target:
            return None
        operator, limit = self.target.split()
        return bool(OPERATORS[operator](self.value, float(limit)))


@dataclass(frozen=True)
class Plan:
    """How much to measure: ``scale`` 1 is the honest size, less is a look at whether it runs."""

    scale: float = 1.0

    def count(self, number: int, least: int = 1) -> int:
        """A number of repetitions, scaled."""
        return max(least, round(number * self.scale))


def median_ratios(base: Sequence[float], others: Sequence[float]) -> float:
    """Median over the rounds of other / base; both have one number per round."""
    return statistics.median(other / one for one, other in zip(base, others, strict=True))


def in_turn(things: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Measure everything once per round; every other round backwards: none of them is always first."""
    found: dict[str, list[float]] = {name: [] for name in things}
    for number in range(rounds):
        for name in list(things)[:: 1 if number % 2 == 0 else -1]:
            found[name].append(things[name]())
    return found


def machine() -> dict[str, object]:
    """What a number means little without."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "cpus": len(os.sched_getaffinity(0)),
        "load": float(Path("/proc/loadavg").read_text().split()[0]),
    }


def table(rows: Sequence[Row], changes: Sequence[str] = ()) -> str:
    """Aligned for a terminal; the last columns say what became of the target, and what has changed."""
    shown = [
        (row.name, f"{row.value:,.4g}" if row.value < 1000 else f"{row.value:,.0f}", row) for row in rows
    ]
    wide = max((len(name) for name, _, _ in shown), default=0)
    digits = max((len(value) for _, value, _ in shown), default=0)
    lines = []
    for (name, value, row), change in zip(shown, changes or [""] * len(shown), strict=True):
        said = {None: "", True: f"target {row.target}: met", False: f"target {row.target}: missed here"}
        told = "; ".join(filter(None, (said[row.met], change)))
        lines.append(f"  {name:<{wide}}  {value:>{digits}} {row.unit:<10} {told}".rstrip())
    return "\n".join(lines)


def run(name: str, measure: Callable[[Plan], list[Row]], doc: str | None) -> None:
    """The main program of a benchmark module."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=doc)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="fraction of the usual repetitions (0.05: does it run?)"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the rows in bench/history.jsonl, with machine and commit"
    )
    options = parser.parse_args()
    before = machine()
    try:
        rows = measure(Plan(options.scale))
    except HarnessError as error:
        sys.stderr.write(f"hangdog: {error}\n  try: {error.hint or 'hangdog --help'}\n")
        sys.exit(error.exit_code)
    found = [
        {
            "bench": name, "name": row.name, "value": row.value, "unit": row.unit, "scale": options.scale,
            "machine": history.machine_of(before), "load": before["load"],
        }
        for row in rows
    ]  # fmt: skip
    changes = [history.change(row.value, history.earlier(one)) for row, one in zip(rows, found, strict=True)]
    if options.keep:
        history.keep(found)
    if options.json:
        plain = [
            {"name": row.name, "value": row.value, "unit": row.unit, "target": row.target or None}
            for row in rows
        ]
        sys.stdout.write(json.dumps({"bench": name, "rows": plain, "machine": before}) + "\n")
        return
    sys.stdout.write(
        f"{name}: Python {before['python']}, {before['cpus']} processors, load {before['load']} before\n"
        f"{table(rows, changes)}\n"
    )
