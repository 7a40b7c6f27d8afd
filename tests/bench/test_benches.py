"""Every benchmark runs, and says what it measured in the promised shape.  Numbers are not judged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.common import Plan, Row, in_turn, median_ratios, table

ROOT = Path(__file__).resolve().parents[2]
BENCHES = sorted(path.stem for path in (ROOT / "bench").glob("bench_*.py"))
LIMIT_S = 300


def quick_or_slow():
    """A replay is slow however little of it is played: the whole log is read."""
    return [pytest.param(name, marks=pytest.mark.slow if name == "bench_trace" else ()) for name in BENCHES]


@pytest.mark.parametrize("name", quick_or_slow())
def test_a_benchmark_prints_one_object(name):
    said = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", "--json", "--scale", "0.01"],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["bench"] == name
    assert found["rows"]
    for row in found["rows"]:
        assert set(row) == {"name", "value", "unit", "target"}
        assert isinstance(row["value"], int | float)


def test_every_benchmark_is_explained():
    page = (ROOT / "bench" / "README.md").read_text()

    assert [name for name in BENCHES if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("value", "target", "met"),
    [(0.4, "<= 0.5", True), (0.6, "<= 0.5", False), (2, ">= 1.7", True), (1, "", None)],
)
def test_a_target_is_an_operator_and_a_limit(value, target, met):
    assert Row("x", value, "ratio", target).met is met


def test_the_table_says_what_became_of_the_targets():
    said = table(
        [Row("fast", 0.4, "ratio", "<= 0.5"), Row("slow", 12345.6, "ns", "<= 5"), Row("plain", 3, "")]
    )

    lines = said.splitlines()
    assert lines[0].endswith("target <= 0.5: met")
    assert lines[1].endswith("target <= 5: missed here")
    assert "12,346 ns" in lines[1]
    assert lines[2].split() == ["plain", "3"]


def test_things_are_measured_in_turn_and_none_is_always_first():
    order: list[str] = []

    def measured(name, value):
        def measure():
            order.append(name)
            return value

        return measure

    found = in_turn({"a": measured("a", 1.0), "b": measured("b", 2.0)}, 3)

    assert order == ["a", "b", "b", "a", "a", "b"]
    assert median_ratios(found["a"], found["b"]) == 2.0


def test_a_plan_never_measures_nothing():
    assert Plan(0.001).count(100) == 1
    assert Plan(0.001).count(100, 3) == 3
