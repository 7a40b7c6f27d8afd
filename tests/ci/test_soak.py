"""The soak with stops: what it may be asked for, what it would run, and one short run with a stop in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ci.soak_run import KINDS, Account, Order, Run, Stop, kind_of
from ci.soak_stops import arguments, orders, row, summary
from stress.scenario.scenario import all_scenarios
from tests.waiting import wait_until

HANGDOG = Path(sys.executable).with_name("hangdog")


@pytest.fixture
def options(tmp_path):
    return lambda *argv: arguments(["--out", str(tmp_path / "out"), *argv])


@pytest.mark.parametrize(
    "wrong",
    [
        ["--minutes", "0"],
        ["--minutes", "nan"],
        ["--seconds", "inf"],
        ["--busy", "-1"],
        ["--nice", "-1"],
        ["--busy-nice", "-1"],
        ["--at-once", "0"],
        ["--only", "no-such"],
        ["more"],
    ],
)
def test_what_means_nothing_is_refused(options, wrong):
    with pytest.raises(SystemExit) as refused:
        options(*wrong)

    assert refused.value.code == 2


def test_the_results_of_another_soak_are_not_mixed_in(options, tmp_path):
    (tmp_path / "out").mkdir()
    options()
    (tmp_path / "out" / "0001-fork-storm-process").mkdir()

    with pytest.raises(SystemExit):
        options()


def test_four_rounds_run_every_scenario_in_both_modes_fast_and_checked(options):
    todo = orders(options("--seed", "7"))
    made = [next(todo) for _ in range(4 * len(all_scenarios()))]

    assert len({(one.scenario, one.mode, one.checked) for one in made}) == len(made)
    assert {one.scenario for one in made[: len(all_scenarios())]} == set(all_scenarios())
    assert len({one.seed for one in made}) == len(made)
    again = orders(options("--seed", "7"))
    assert made == [next(again) for _ in made]
    later = [next(todo) for todo in [orders(options("--seed", "8"))] for _ in all_scenarios()]
    ways = {(one.scenario, one.mode, one.checked) for one in made[: len(all_scenarios())]}
    assert not ways & {(one.scenario, one.mode, one.checked) for one in later}


def test_a_kind_that_is_not_there_is_waited_for_and_then_another_is_drawn(tmp_path):
    run = Run(Order(0, "fork-storm", "process", False, 1, 1.0), tmp_path, HANGDOG, 0, 300.0)
    try:
        run.wish, run.due = "no such kind", run.now()
        run.turn()
        assert (run.wish, run.stops) == ("no such kind", [])
        turn_until(run, lambda: run.wish in KINDS, "another kind")
        assert run.stops == []
    finally:
        run.end()


def test_a_process_is_of_the_kind_of_what_sits_in_it():
    assert kind_of(["disk#1"]) == kind_of(["pageout#0"]) == "service"
    assert kind_of(["family#0"]) == kind_of(["family#0", "pageout#0"]) == "worker"
    assert kind_of(["audit"]) == kind_of(["stop disk"]) == "helper"


def test_a_run_that_was_not_clean_is_counted_and_named():
    order = Order(3, "fork-storm", "thread", True, 5, 20.0)
    stops = [Stop("worker", "family#0", 1, 0.0, 2.0, 2.0, holds=1)]
    bad = Account(order, 1, 9.0, stops, [{"verdict": "frozen", "summary": "why"}])

    assert "EXIT 1" in row(bad)
    assert "FOUND frozen: why" in row(bad)
    assert "not clean: 0003-fork-storm-thread-checked" in summary([bad], 60.0)
    assert "1, 1 of them while it held a lock" in summary([bad], 60.0)


def test_a_member_that_is_stopped_is_continued_and_the_run_is_clean(tmp_path):
    run = Run(Order(0, "fork-storm", "process", False, 1, 1.0), tmp_path, HANGDOG, 0, 300.0)
    try:
        run.wish, run.due = "worker", 0.0
        turn_until(run, lambda: run.stops, "a worker was stopped")
        (stop,) = run.stops
        assert stop.kind in KINDS
        wait_until(lambda: state(stop.pid) == "T", "the state T")
        stop.wanted = 0.5
        turn_until(run, lambda: run.stopped is None, "it was continued")
        run.due = float("inf")
        wait_until(lambda: run.over, "the end of the run", 120.0)
        account = run.account()
    finally:
        run.end()

    assert account.clean, account
    assert account.stops == [stop]
    assert stop.lasted >= 0.5
    assert not run.folder.exists()


def test_a_run_that_is_broken_off_while_a_member_is_stopped_leaves_none(tmp_path):
    run = Run(Order(0, "fork-storm", "process", False, 1, 600.0), tmp_path, HANGDOG, 0, 900.0)
    try:
        run.due = 0.0
        turn_until(run, lambda: run.stops, "a member was stopped")
        (stop,) = run.stops
        members = {pid for _, _, pid in run.members()}
    finally:
        run.end()

    assert run.over
    assert stop.pid in members
    wait_until(lambda: not any(map(there, members)), f"still there: {members}", 60.0)


def test_a_soak_that_is_interrupted_ends_its_busy_processes(tmp_path):
    command = [sys.executable, "-m", "ci.soak_stops", "--busy", "2", "--out", str(tmp_path / "out")]
    soak = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: len(below(soak.pid)) == 3, "two busy ones and a run", 60.0)
        started = below(soak.pid)
        soak.terminate()
        told, _ = soak.communicate(timeout=120.0)
    finally:
        soak.kill()

    assert (soak.returncode, "0 runs" in told) == (130, True), told
    assert list((tmp_path / "out").iterdir()) == []
    assert not any(map(there, started))


def turn_until(run, look, what):
    def turn():
        run.turn()
        return look()

    wait_until(turn, what)


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def there(pid):
    try:
        return state(pid) != "Z"
    except OSError:
        return False


def below(pid):
    path = f"/proc/{pid}/task/{pid}/children"
    return Path(path).read_text().split() if os.path.exists(path) else []
