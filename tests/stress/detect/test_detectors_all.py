"""The whole catalogue without one detector: missed is only what that one had found, and each is needed.

test_detectors.py samples; this takes minutes.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from stress.defect import all_defects

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 900.0
DETECTORS = ("audits", "circles_of_waits", "contents", "forgotten_sleepers")

pytestmark = pytest.mark.slow


def catalogue_without(detector, folder):
    """By id, the detectors that found it; none: missed."""
    words = [sys.executable, "-m", "tests.stress.detect.without_detector", detector, "all", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == list(all_defects())
    return {name: set(more[0].split(",")) if more else set() for name, _, *more in rows}


@pytest.fixture(scope="module")
def by_all(tmp_path_factory):
    return catalogue_without("nothing", tmp_path_factory.mktemp("all"))


def test_with_all_detectors_nothing_is_missed(by_all):
    assert [name for name, seen in by_all.items() if not seen] == []


@pytest.mark.parametrize("detector", DETECTORS)
def test_without_one_only_its_own_are_missed(detector, by_all, tmp_path):
    without = catalogue_without(detector, tmp_path)

    missed = {name for name, seen in without.items() if not seen}
    assert missed
    assert {name for name in missed if by_all[name] != {detector}} == set()
    assert {name for name, seen in without.items() if detector in seen} == set()
