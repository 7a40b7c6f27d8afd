"""The proofs of the C core in full (tests/native/README.md); `make check` runs the short ones."""

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 3 * 3600  # every position of the killer: some ten minutes on two processors
ENDS_WITH_ITS_STARTER = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


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

    However this is left, by a limit or by an interrupt, the whole group is killed.  When the
    thread that called this dies without a word, its first process is sent SIGTERM.
    Raises subprocess.TimeoutExpired after limit_s seconds.
    """
    faulthandler.cancel_dump_traceback_later()  # pytest's 120 s: here the limit is ours
    with log.open("wb") as out:
        started = subprocess.Popen(
            [sys.executable, "-c", ENDS_WITH_ITS_STARTER, str(os.getpid()), *argv],
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


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_the_proofs_end_with_the_tests_that_started_them(tmp_path, end):
    # Three programs that would run for ten minutes, newer than their sources: nothing is built.
    (tmp_path / "programs" / "plain").mkdir(parents=True)
    for name in ("rwmodel", "seatmodel", "chanmodel"):
        program = tmp_path / "programs" / name
        program.write_text(f"#!/bin/sh\necho $$ >>{tmp_path}/pids\nsleep 600\n")
        program.chmod(0o755)
    log = tmp_path / "log"
    script = f"from {__name__} import *; run_in_a_group(['ci/prove.sh', 'models'], Path({str(log)!r}), 600)"
    tests = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"OUT": str(tmp_path / "programs"), "JOBS": "2"},
        stdin=subprocess.DEVNULL,
    )
    pids = tmp_path / "pids"
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, "two programs that run")
    group = os.getpgid(int(pids.read_text().split()[0]))

    tests.send_signal(end)
    tests.wait(LIMIT_S)

    wait_until(lambda: not group_left(group), f"the end of process group {group}")
    assert len(pids.read_text().split()) == 2
