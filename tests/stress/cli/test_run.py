"""``hangdog run``: what it prints, and how it ends."""

import json
import os
import signal

import psutil
import pytest

from tests.waiting import LIMIT_S, wait_until

KEYS = {
    "schema", "seed", "scenario", "workers", "mode", "duration_s", "epochs", "steps", "steps_per_s",
    "counters", "checks", "findings",
}  # fmt: skip
SMALL = ("--workers", "2", "--seconds", "1", "--disks", "1")
LONG = ("--workers", "2", "--seconds", "600")  # ended by the test, however long that takes


def nothing_left(started):
    """Everything of its session is gone, soon."""
    wait_until(lambda: not started.family(), f"the end of {started.family()}")
    return True


def players(arena):
    """Pid and steps of the workers that play, those that did something."""
    others = {"front", "pageout", "disk", "audit", "thread"}
    return [
        thread["pid"]
        for thread in arena["threads"]
        if thread["steps"] and thread["role"].split("#")[0] not in others and not thread["dead"]
    ]


def running(hangdog, started):
    """The run's arena in `ps`, once its workers have done something."""

    def look():
        arenas = json.loads(hangdog("ps", "--json").out)
        mine = next((arena for arena in arenas if started.pid in arena["pids"]), None)
        return mine if mine and any(players(mine)) else None

    return wait_until(look, "a run that works", 2 * LIMIT_S)


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_json_is_one_object_with_the_promised_keys(start, mode):
    started = start("run", "--scenario", "fork-storm", "--mode", mode, "--seed", "3", *SMALL, "--json")

    said = started.wait()

    assert said.code == 0, said
    found = json.loads(said.out)
    assert said.out.count("\n") == 1
    assert set(found) >= KEYS
    assert (found["schema"], found["seed"], found["scenario"]) == ("hangdog.run/1", 3, "fork-storm")
    assert (found["mode"], found["workers"], found["findings"]) == (mode, 2, [])
    assert found["steps"] > 0
    assert found["checks"]["content_reads"] > 0
    assert "found     nothing" in said.err
    assert nothing_left(started)


def test_a_clean_run_says_what_it_did_and_exits_0(start, tmp_path):
    started = start("run", *SMALL, "--epochs", "1")

    said = started.wait()

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("running fork-storm: 2 worker processes, seed 1\n")
    assert said.out.endswith("found     nothing\n")
    assert list(tmp_path.iterdir()) == [], "no finding, no folder"
    assert nothing_left(started)


def test_a_trace_is_replayed(hangdog):
    said = hangdog("run", "--trace", "pool", "--tasks", "4", "--workers", "2", "--json")

    assert said.code == 0, said
    assert json.loads(said.out)["findings"] == []


def test_a_finding_is_explained_kept_and_can_be_shown_again(start, tmp_path):
    started = start("run", "--scenario", "fork-storm", "--defect", "H2", "--seed", "1", "--seconds", "60")

    said = started.wait(3 * LIMIT_S)

    assert said.code == 1, said
    dumps = sorted((tmp_path / "hangdog-dumps").glob("*-deadlock.json"))
    assert dumps
    shown = start("show", str(dumps[0])).wait()
    assert set(said.out.split("\n\nran  ")[0].splitlines()[2:]) <= set(shown.out.splitlines())
    for word in ("pid ", ".py:", "holds ", "waits for ", "try: hangdog run "):
        assert word in said.out
        assert word in shown.out
    assert "--defect H2" in shown.out.splitlines()[-1]
    assert nothing_left(started)


def test_ps_and_dump_see_a_run_without_disturbing_it(start, hangdog):
    started = start("run", *LONG, "--json")
    arena = running(hangdog, started)

    dumped = hangdog("dump", str(arena["pid"]), "--json")
    shown = hangdog("dump", str(arena["pid"]))
    os.kill(started.pid, signal.SIGINT)
    said = started.wait()

    assert dumped.code == 0, dumped
    roles = {seat["role"].split("#")[0] for seat in json.loads(dumped.out)["threads"]}
    assert {"pageout", "disk"} <= roles
    assert shown.out.splitlines()[0].startswith("live")
    assert json.loads(said.out)["findings"] == [], "looking was noticed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_leaves_no_process(start, hangdog, number):
    started = start("run", *LONG)
    running(hangdog, started)

    os.kill(started.pid, number)
    said = started.wait()

    assert said.code == 130
    fact, remedy = said.two_lines()
    assert fact.startswith("interrupted after ")
    assert remedy.startswith("hangdog run --scenario fork-storm")
    assert "until it was interrupted" in " ".join(said.out.split())
    assert nothing_left(started)


def test_a_killed_supervisor_is_said_so_and_leaves_no_process(start, hangdog):
    started = start("run", *LONG)
    running(hangdog, started)

    [supervisor] = psutil.Process(started.pid).children()
    supervisor.kill()
    said = started.wait()

    assert said.code == 3
    assert "supervisor" in said.two_lines()[0]
    assert nothing_left(started)


def test_a_killed_command_leaves_no_process(start, hangdog):
    started = start("run", *LONG)
    running(hangdog, started)

    os.kill(started.pid, signal.SIGKILL)
    started.wait()

    assert nothing_left(started)
    assert not any(started.pid in arena["pids"] for arena in json.loads(hangdog("ps", "--json").out))


def test_a_killed_worker_is_a_finding(start, hangdog):
    started = start("run", *LONG, "--workers", "3", "--json")
    arena = running(hangdog, started)

    os.kill(players(arena)[0], signal.SIGKILL)
    said = started.wait()

    assert said.code == 1, said
    verdicts = {finding["verdict"] for finding in json.loads(said.out)["findings"]}
    assert verdicts & {"crash", "orphaned_lock"}
    assert nothing_left(started)
