"""Deliberate errors of harness/watch: excuses, limits, edges and sentences that a verdict rests on.

Each is tried against the programs of known truth that are about it, then against the watchdog's own tests
and the quick sample.  An argument stands where nothing can notice the error.
"""

import sys

from ci.mutants.engine import Command, Mutant, Suite
from ci.mutants.watch_errors import ABOUT, MUTANTS

PYTHON = sys.executable
FEW_S, MANY_S = 240.0, 420.0


def tries(mutant: Mutant) -> list[Command]:
    """What is about it; then everything quick."""
    names = ABOUT.get(mutant.name, "abba").split()
    about = (
        [Command("truth: " + " ".join(names), (PYTHON, "-m", "tests.truth", *names), FEW_S)] if names else []
    )
    return [
        *about,
        Command(
            "tests/truth/test_rows.py",
            (PYTHON, "-m", "pytest", "-q", "-x", "tests/truth/test_rows.py"),
            FEW_S,
        ),
        Command(
            "tests/harness/watch",
            (PYTHON, "-m", "pytest", "-q", "-x", "-m", "not slow", "tests/harness/watch", "tests/truth"),
            MANY_S,
        ),
    ]


SUITE = Suite(
    name="watch",
    mutants=MUTANTS,
    copy=("harness", "vmcore", "stress", "tests", "pyproject.toml"),
    tries=tries,
)
