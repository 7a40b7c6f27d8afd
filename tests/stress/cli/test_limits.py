"""Limits of a run on the command line: of a set-up that never ends, and of the watchdog."""

import json
import os
import re
import resource
import signal

import pytest

from stress.run.options import RunOptions
from stress.run.runner import limits_of, make_workload
from stress.run.workload import ScenarioWorkload
from stress.scenario.scenario import find_scenario

STUCK = '''"""A set-up that waits for a lock that another process keeps."""

import os

from stress.scenario import Scenario

scenario = Scenario("stuck")


@scenario.setup
def wait_for_ever(actor, pool):
    lock = actor.vm.arena.mutex("kept")
    (here, taken), (over, end) = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.close(end)
        actor.vm.arena.native.sit("keeper")
        lock.acquire()
        os.write(taken, b".")
        os.read(over, 1)  # until the other is gone
        os._exit(0)
    os.close(over)
    os.read(here, 1)
    lock.acquire()


@scenario.role("player")
def never_played(actor, pool):
    raise AssertionError("the set-up did not end")
'''


def test_a_set_up_that_waits_for_ever_is_a_finding_with_its_line(hangdog, tmp_path):
    file = tmp_path / "stuck.py"
    file.write_text(STUCK)
    line = STUCK.splitlines().index("    lock.acquire()") + 1

    for limit in (1, 5, 25):  # within one second it may not have come to its wait on a crowded machine
        said = hangdog("run", "--scenario", str(file), "--setup-limit", str(limit), "--json")
        assert said.code == 1, said
        report = json.loads(said.out)
        if "waits for" in report["findings"][0]["summary"]:
            break

    assert [one["verdict"] for one in report["findings"]] == ["hung"]
    (finding,) = report["findings"]
    for word in (f"was not set up within {limit} s", "waits for kept[0]", f"{file}:{line} wait_for_ever"):
        assert word in finding["summary"]
    assert report["limits"]["setup_s"] == float(limit)
    shown = hangdog("show", finding["dump"])
    assert f"{file}:{line} wait_for_ever" in shown.out


STARTING = """
import signal
from pathlib import Path

from stress.scenario import Scenario


def wait():
    with Path({fifo!r}).open("w") as told:
        told.write("here")
    while True:
        signal.pause()


{at_import}
scenario = Scenario("starting")


@scenario.setup
def set_up(actor, pool):
    wait()


@scenario.role("player")
def never_played(actor, pool):
    raise AssertionError("the set-up did not end")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("when", ["imports", "set-up"])
def test_a_run_that_is_ended_while_it_starts_says_so(start, tmp_path, number, when):
    file, fifo = tmp_path / "starting.py", tmp_path / "fifo"
    file.write_text(STARTING.format(fifo=str(fifo), at_import="wait()" if when == "imports" else ""))
    os.mkfifo(fifo)
    started = start("run", "--scenario", str(file))
    assert fifo.read_text() == "here"

    os.kill(started.pid, number)

    said = started.wait()
    assert said.code == 130, said
    assert said.two_lines() == ("interrupted", f"hangdog run --scenario {file}")
    assert started.family() == []


def test_limits_reach_the_watchdog_and_are_told(hangdog):
    words = ("run", "--scenario", "fork-storm", "--epochs", "1", "--stall", "41", "--livelock", "22.5",
             "--frozen", "3.5")  # fmt: skip

    said = hangdog(*words, "--json")

    report = json.loads(said.out)
    assert said.code == 0, said
    assert report["limits"] == {"stall_s": 41.0, "livelock_s": 22.5, "frozen_s": 3.5, "setup_s": 120.0}
    assert "limits    stall 41 s, livelock 22.5 s, frozen 3.5 s, set-up 120 s" in said.err
    for word in ("--stall 41", "--livelock 22.5", "--frozen 3.5"):
        assert word in report["reproduce"]


@pytest.mark.parametrize("option", ["--stall", "--livelock", "--frozen", "--setup-limit"])
@pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf"])
def test_a_limit_is_a_number_of_seconds(hangdog, option, limit):
    said = hangdog("run", option, limit)

    assert said.code == 2
    assert said.two_lines()[0].startswith(f"{option} {float(limit):g}: ")


def test_the_limit_of_a_script_gives_way_to_the_one_that_was_asked_for():
    own, asked = RunOptions(script="L34"), RunOptions(script="L34", livelock=7.0, stall=9.0)

    assert limits_of(own, make_workload(own)) == {"livelock_s": 0.1}
    assert limits_of(asked, make_workload(asked)) == {"livelock_s": 7.0, "stall_s": 9.0}
    plain = RunOptions()
    assert limits_of(plain, ScenarioWorkload(find_scenario("fork-storm"), plain)) == {}


def test_an_unknown_name_is_refused_before_anything_is_said_to_run(hangdog):
    said = hangdog("run", "--scenario", "nope")

    assert said.code == 2
    assert said.out == ""
    assert "nope" in said.two_lines()[0]


def test_a_folder_whose_name_is_too_long_is_refused(hangdog):
    said = hangdog("run", "--dump-dir", "x" * 300)

    assert said.code == 2
    assert "File name too long" in said.two_lines()[0]


def test_without_memory_this_machine_cannot_run_it(start):
    def little():
        resource.setrlimit(resource.RLIMIT_AS, (500_000_000, 500_000_000))

    said = start("run", "--pages", "500000", preexec_fn=little).wait()

    assert said.code == 4
    fact, remedy = said.two_lines()
    assert re.fullmatch(r"cannot map an arena of \d+ bytes: Cannot allocate memory", fact)
    assert remedy == "ulimit -v"


def test_a_folder_that_is_gone_is_no_place_to_run(start, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()

    def go_there():
        os.chdir(gone)
        gone.rmdir()

    said = start("run", "--dump-dir", str(tmp_path), preexec_fn=go_there).wait()

    assert said.code == 4
    assert said.two_lines()[0].startswith("the current folder is gone")
