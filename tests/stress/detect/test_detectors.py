"""Take one detector away, and exactly the defects that only it can see are not found any more.

So each detector is needed, and no finding of one is in truth another's.  Which defects depend on which
follows from their symptoms: a circle of waits without a wrong order of locks is seen as a circle only, a
thread that is left asleep by the condition that it waits for, old data by what a load must show, a page
on no queue by the audit.  The scripts make it a matter of a second each.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 180.0
# detector: (the defects that only it sees, those that others see as well or alone)
DETECTORS = {
    "circles_of_waits": ({"L4"}, {"H1", "H2", "H3", "H6a", "L20", "H11"}),
    "forgotten_sleepers": ({"H6a", "H6c", "L39"}, {"H2", "L4", "L20", "H12"}),
    "contents": ({"L7", "L20", "L26"}, {"L6", "L10", "H5b", "H6a", "L4", "H11"}),
    "audits": ({"H11", "H12", "L13"}, {"L5", "L19", "L20", "L23", "L24", "H6a", "L4"}),
}
BY_CHANCE = ("H20", "L29", "L49a")  # seen within a second: in private pages, in shared ones, in a snapshot
ONLY = sorted(set.union(*(only_it for only_it, _ in DETECTORS.values())))


def said_without(detector, name, folder, *seconds):
    """What came of the script of a defect; within so many seconds, of chance."""
    words = [
        sys.executable,
        "-m",
        "tests.stress.detect.without_detector",
        detector,
        name,
        str(folder),
        *seconds,
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("detector", "name"),
    [(detector, name) for detector, (alone, others) in DETECTORS.items() for name in sorted(alone | others)],
)
def test_without_a_detector_exactly_those_are_missed_that_only_it_sees(detector, name, tmp_path):
    only_it, _ = DETECTORS[detector]

    assert said_without(detector, name, tmp_path) == ("missed" if name in only_it else "found")


@pytest.mark.parametrize("name", ONLY)
def test_with_all_detectors_each_of_them_is_found(name, tmp_path):
    assert said_without("nothing", name, tmp_path) == "found"


@pytest.mark.parametrize("name", BY_CHANCE)
def test_only_the_content_oracle_of_a_scenario_says_wrong_data(name, tmp_path):
    """A script's own loads are none of it: the scripts would be found without the oracle."""
    assert "wrong_data" in said_without("nothing", name, tmp_path, "30").split()

    assert "wrong_data" not in said_without("contents", name, tmp_path, "3").split()
