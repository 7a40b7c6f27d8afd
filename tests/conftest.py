"""What every test may rely on: a machine that can run it, and neighbours that left nothing behind.

Guarantees: after the last test of a worker no child process of it and no name that it made in
/dev/shm is left; generated tests draw new examples everywhere, also under CI.
Refuses: machines without memfd.  Fixtures of one area live in tests/<area>/conftest.py.
"""

import multiprocessing.shared_memory
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import multiprocess
import multiprocess.shared_memory
import psutil
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

ROOT = Path(__file__).resolve().parents[1]
SHM = Path("/dev/shm")
GRACE_S = 30.0  # what ends by itself within this time was not left behind; it costs time only if something is
MARK = f"hangdog-test-{os.getpid()}"
Left = TypeVar("Left")

# With CI set, hypothesis would derandomize and forget: a race found once must be
# drawn again tomorrow, and a new one looked for.  Time limits are off because the
# machine is busy on purpose.
settings.register_profile(
    "hangdog",
    deadline=None,
    derandomize=False,
    print_blob=True,
    database=DirectoryBasedExampleDatabase(ROOT / ".hypothesis" / "examples"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("hangdog")


def pytest_configure() -> None:
    """Stop before the first test where none could mean anything."""
    try:
        os.close(os.memfd_create("hangdog:test"))
    except (AttributeError, OSError) as error:
        pytest.exit(
            f"this machine cannot run the tests: no memfd ({error})\n  try: uname -sr   (3.17 or later)",
            returncode=4,
        )


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fail the last test of this worker if a child or a /dev/shm name outlived the tests."""
    mark_names()
    names_before = names_in_shm()
    children_before = set(psutil.Process().children(recursive=True))

    yield

    children = wait_until_gone(lambda: children_left(children_before))
    names = wait_until_gone(lambda: names_left(names_before))
    said = [f"process {child.pid}: {command(child)}" for child in children]
    said += [f"{SHM / name}" for name in names]
    kill(children)  # reported either way, but the next run starts clean
    assert not said, "left behind by the tests of this worker:\n  " + "\n  ".join(said)


def children_left(before: set[psutil.Process]) -> list[psutil.Process]:
    now = psutil.Process().children(recursive=True)
    return [child for child in now if child not in before and not is_helper(child)]


def is_helper(process: psutil.Process) -> bool:
    """Tell whether this is multiprocessing's own helper, which ends with its parent."""
    words = command(process)
    return "resource_tracker import main" in words or "forkserver import main" in words


def command(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        state = process.status()
        with suppress(psutil.Error):
            return f"{' '.join(process.cmdline()) or process.name()} ({state})"
    return "(gone)"


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=GRACE_S)


def mark_names() -> None:
    """Make names in /dev/shm tell whose they are: those of other runs on this machine are not our business.

    multiprocessing names what it makes; the prefix goes to forked and to multiprocessing's own children.
    A name without the mark is ours if a process below us has it open.
    """
    for package in (multiprocessing, multiprocess):
        package.process.current_process()._config["semprefix"] = f"/mp-{MARK}"
        package.shared_memory._SHM_NAME_PREFIX = f"/psm-{MARK}-"


def names_in_shm() -> set[str]:
    return set(os.listdir(SHM)) if SHM.is_dir() else set()


def names_left(before: set[str]) -> list[str]:
    """New names that a process of ours made."""
    return [name for name in sorted(names_in_shm() - before) if MARK in name or open_below(str(SHM / name))]


def open_below(path: str) -> bool:
    """Does a process of ours have this file mapped?"""
    for pid in (os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))):
        with suppress(OSError):  # it may end while we look
            if path in Path(f"/proc/{pid}/maps").read_text():
                return True
    return False


def wait_until_gone(look: Callable[[], list[Left]]) -> list[Left]:
    deadline = time.monotonic() + GRACE_S
    while (left := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left
