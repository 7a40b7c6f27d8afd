"""The proofs of the C core in full (tests/native/README.md); `make check` runs the short ones."""

import contextlib
import faulthandler
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 3 * 3600  # every position of the killer: some twenty minutes on two processors


def group_left(group: int) -> list[str]:
    """What of a process group is there and not yet only waited for."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, of = path.read_text().rpartition(")")[2].split()[:3]
            if int(of) == group and state not in "ZX":
                found.append(path.parent.name)
    return found


def run_in_a_group(argv: list[str | Path], log: Path, limit_s: float) -> int:
    """Run argv as the first of a process group, its output into log; return its status.

    However this is left, by a limit or by an interrupt, the whole group is killed.
    Raises subprocess.TimeoutExpired after limit_s seconds.
    """
    faulthandler.cancel_dump_traceback_later()  # pytest's 120 s: here the limit is ours
    with log.open("wb") as out:
        started = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=os.environ | {"JOBS": os.environ.get("JOBS", "2")},
            start_new_session=True,
        )
    try:
        return started.wait(limit_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait(60)  # nothing of it can go on


@pytest.mark.slow
@pytest.mark.parametrize("part", ["killstep", "stopped", "models", "kills", "races"])
def test_the_core_holds_in_full(part, tmp_path):
    log = tmp_path / "log"

    status = run_in_a_group([ROOT / "ci" / "prove.sh", part, "all"], log, LIMIT_S)

    said = log.read_text(errors="replace")
    if status == 4:
        pytest.skip(said[-500:])
    assert status == 0, said[-5000:]


def test_what_a_proof_leaves_in_its_group_is_killed(tmp_path):
    # As ci/prove.sh starts its programs; the first of the group ends before them.
    script = "timeout --foreground 600 sleep 600 & echo $$"

    assert run_in_a_group(["bash", "-c", script], tmp_path / "log", LIMIT_S) == 0

    group = int((tmp_path / "log").read_text())
    wait_until(lambda: not group_left(group), f"the end of process group {group}")
