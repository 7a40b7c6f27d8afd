"""A watchdog in the test's own process, and a record with a word that others wait for."""

from ctypes import Structure, c_uint32

import pytest

from harness.shm.layout import guarded
from harness.watch.detectors.judge import Limits
from harness.watch.records import RunMeta
from harness.watch.watchdog import Watchdog

QUICK = Limits(waker_s=1.0, none_left_s=0.1, frozen_s=0.2, livelock_s=0.2, stall_s=0.4, repair_s=0.4)


class Cell(Structure):
    """Words that the actors wait for."""

    _fields_, GUARDS, NOTES = guarded(("O", "count", c_uint32, ""), ("O", "busy", c_uint32, ""))


@pytest.fixture
def cell(arena):
    return arena.table("cells", Cell, 4)[1]


@pytest.fixture
def watchdog(arena, tmp_path):
    return Watchdog(arena, tmp_path, RunMeta(seed=7, scenario="test", reproduce="hangdog list scenarios"))


@pytest.fixture
def quick(arena, tmp_path):
    """For the verdicts that count time: as the other, with limits of a few tenths of a second."""
    return Watchdog(arena, tmp_path, limits=QUICK, with_stacks=False)


@pytest.fixture
def strict(arena, tmp_path):
    """Real limits for what needs no time, short ones for stall and livelock."""
    return Watchdog(arena, tmp_path, limits=Limits(stall_s=30.0, livelock_s=30.0), with_stacks=False)
