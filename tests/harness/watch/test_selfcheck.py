"""The check of the checker: it passes with the real watcher and with no other."""

import gc
import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.outcome import Finding
from harness.watch import dump, selfcheck, stacks
from harness.watch.selfcheck import SelfCheckFailed, check
from harness.watch.watchdog import Watchdog
from tests.waiting import LIMIT_S

PATIENT: dict[str, Any] = {"start_s": LIMIT_S, "limit_s": LIMIT_S}


@pytest.fixture(autouse=True)
def nothing_stays():
    """Every child is reaped and the arena given back, whatever became of the check."""
    yield
    gc.collect()  # a mapping goes with its last view, and a traceback is a circle
    assert [child for child in psutil.Process().children() if "selfcheck" in str(child.cmdline())] == []
    assert [name for name in open_files() if "hangdog:selfcheck" in name] == []


def open_files():
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            yield os.readlink(f"/proc/self/fd/{fd}")


class Fixed:
    """A watcher that says what it was told to say, from its n-th look on."""

    def __init__(self, *found: Finding, after: int = 0) -> None:
        self.found, self.after, self.looks = list(found), after, 0

    def scan(self) -> list[Finding]:
        self.looks += 1
        return self.found if self.looks > self.after else []


def instead(watcher):
    """Makes this watcher, whatever it is to watch."""
    return lambda *_: watcher


def finding(verdict: str, summary: str) -> Finding:
    return Finding(id=1, verdict=verdict, summary=summary, dump="", detected_after_s=0.0, reproduce="")


def test_the_real_watcher_finds_the_deadlock_and_names_both_sides():
    found = check(**PATIENT)

    assert found.verdict == "deadlock"
    for word in (*selfcheck.ROLES, *selfcheck.LOCKS):
        assert word in found.summary
    assert "selfcheck.py:" in found.text, "without a folder the finding brings its own text"


def test_the_finding_is_a_dump_when_there_is_a_folder_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(stacks, "ask", partial(stacks.ask, wait_s=LIMIT_S))  # however crowded it is
    found = check(dump_dir=tmp_path, **PATIENT)

    told = dump.read(Path(found.dump))
    assert Path(found.dump).parent == tmp_path
    assert {seat.role for seat in told.threads if seat.number in told.involved} == set(selfcheck.ROLES)
    assert all("cross" in " ".join(seat.stack) for seat in told.threads if seat.number in told.involved)


def test_a_blind_watcher_fails_the_check():
    with pytest.raises(SelfCheckFailed, match="saw nothing for") as caught:
        check(instead(Fixed()), limit_s=0.3)

    assert caught.value.exit_code == 3


def test_a_watcher_that_cries_wolf_fails_the_check():
    wolf = Fixed(finding("deadlock", "wolf"))

    with pytest.raises(SelfCheckFailed, match="before anything was wrong: wolf"):
        check(instead(wolf), **PATIENT)

    assert wolf.looks == selfcheck.CALM_SCANS


@pytest.mark.parametrize(
    ("verdict", "summary", "said"),
    [
        ("stall", " ".join((*selfcheck.ROLES, *selfcheck.LOCKS)), "reported as stall"),
        ("deadlock", "self-check#0 holds self-check[0]", r"it lacks self-check#1, self-check\[1\]"),
    ],
)
def test_a_finding_that_is_not_exactly_this_deadlock_fails_the_check(verdict, summary, said):
    other = Fixed(finding(verdict, summary), after=selfcheck.CALM_SCANS)

    with pytest.raises(SelfCheckFailed, match=said):
        check(instead(other), **PATIENT)


def test_a_child_that_cannot_start_fails_the_check_with_its_last_words(monkeypatch, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no such interpreter' >&2\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))

    with pytest.raises(SelfCheckFailed, match="did not start: no such interpreter"):
        check()


def test_a_child_that_says_nothing_fails_the_check_in_time(monkeypatch, tmp_path):
    mute = tmp_path / "python"
    mute.write_text("#!/bin/sh\nexec sleep 60\n")
    mute.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(mute))

    with pytest.raises(SelfCheckFailed, match="it said nothing in time"):
        check(start_s=0.3)


def test_the_check_leaves_the_arena_of_its_caller_alone(arena):
    before = bytes(arena.mapping)
    quiet = Watchdog(arena, None, with_stacks=False)

    check(**PATIENT)

    assert quiet.findings == []
    assert bytes(arena.mapping) == before
