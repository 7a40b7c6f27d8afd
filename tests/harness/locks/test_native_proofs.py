"""The proofs of the C core in full (tests/native/README.md); `make check` runs the short ones."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOURS_S = 3 * 3600  # every position of the killer: some twenty minutes on two processors


@pytest.mark.slow
@pytest.mark.parametrize("part", ["killstep", "stopped", "models", "kills", "races"])
def test_the_core_holds_in_full(part):
    done = subprocess.run(
        [ROOT / "ci" / "prove.sh", part, "all"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"JOBS": os.environ.get("JOBS", "2")},
        check=False,
        timeout=HOURS_S,
    )
    if done.returncode == 4:
        pytest.skip(done.stdout[-500:])

    assert done.returncode == 0, done.stdout[-5000:]
