"""``hangdog fuzz``: what it refuses, what it says of a finding, and that nothing is left of it."""

import json
import runpy
import shlex
from pathlib import Path

import pytest

from tests.stress.cli.conftest import interrupt, parses


@pytest.fixture
def tidy(tmp_path):
    """Environment and folder of a command: what it leaves behind is seen."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "here").mkdir()
    return {"env": {"TMPDIR": str(tmp_path / "tmp")}, "cwd": tmp_path / "here"}


def left(tidy):
    folders = (Path(tidy["env"]["TMPDIR"]), tidy["cwd"])
    return sorted(str(path.relative_to(folder)) for folder in folders for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("words", "fact", "remedy"),
    [
        (["--examples", "0"], "--examples 0: it is a number from 1 on", "hangdog fuzz --examples 20"),
        (["--workers", "65"], "--workers 65: it is a number from 1 to 64", "hangdog fuzz --workers 4"),
        (["--epochs", "0"], "--epochs 0", "hangdog fuzz --epochs 1"),
        (["--seconds", "nan"], "--seconds nan: it is a number above 0", "hangdog fuzz --seconds 60"),
        (["--time", "0"], "--seconds 0: it is a number above 0", "hangdog fuzz --seconds 60"),
        (["--time", "soon"], "'soon'", "hangdog fuzz --help"),
        (["--defect", "H33"], "'H33'; did you mean", "hangdog list defects"),
        (["--defect", "H2+"], "one side of it is empty", "hangdog run --defect H2"),
        (["--noise", "loud"], "'loud'", "hangdog fuzz --help"),
        (["--stops", "-1"], "--stops -1: it is a number from 0 on", "hangdog fuzz --stops 2"),
        (["--mode", "thread", "--stops", "1"], "all workers are one", "hangdog fuzz --stops 2"),
        (["--pages", "4"], "4 pages", "hangdog run --pages 64"),
        (["--dump-dir", "/proc/x"], "'/proc/x'", "hangdog fuzz --dump-dir /tmp/hangdog-dumps"),
        (["--scenario", "fork-storm"], "--scenario", "hangdog fuzz --help"),
    ],
)
def test_what_cannot_be_searched_is_two_lines_and_exit_2(start, tidy, words, fact, remedy):
    started = start("fuzz", "--examples", "1", *words, **tidy)

    said = started.wait()

    first, second = [line for line in said.err.splitlines() if not line.startswith("drawing")]
    assert (said.code, said.out) == (2, "")
    assert fact in first
    assert second == f"  try: {remedy}"
    assert left(tidy) == []
    assert started.family() == []


def test_nothing_is_found_in_a_vm_without_a_mistake_and_nothing_is_left(start, tidy):
    started = start("fuzz", "--examples", "2", "--seed", "4", "--json", **tidy)

    said = started.wait()

    report = json.loads(said.out)
    assert said.code == 0
    assert (report["findings"], report["programs"], report["runs"]) == ([], 2, 4)
    assert (report["ended_by"], report["scenario"]) == ("examples", "")
    assert said.err.startswith("drawing programs: seed 4\n")
    assert left(tidy) == []
    assert started.family() == []


def test_a_mistake_is_found_shrunk_kept_and_found_again(start, hangdog, tidy):
    started = start("fuzz", "--defect", "H3", "--examples", "20", "--seconds", "20", **tidy)

    said = started.wait()

    assert said.code == 1, said
    assert left(tidy) == ["hangdog-dumps", "hangdog-dumps/program-1.json", "hangdog-dumps/program-1.py"]
    assert started.family() == []
    assert "found" in said.err
    *_, again, scenario = said.out.splitlines()
    assert scenario.strip() == "scenario: hangdog-dumps/program-1.py"
    program = runpy.run_path(str(tidy["cwd"] / "hangdog-dumps/program-1.py"))["program"]
    for number, role in enumerate(program.roles, 1):
        assert f"role {number}" in said.out
        assert str(role[0][0]) in said.out
    dump = json.loads((tidy["cwd"] / "hangdog-dumps/program-1.json").read_text())
    command = again.strip().removeprefix("try: ")
    assert dump["reproduce"] == command
    parses(command)
    found = hangdog(*shlex.split(command)[1:], "--dump-dir", "again", **tidy)
    assert found.code == 1, found


@pytest.mark.parametrize("json", [[], ["--json"]], ids=["", "json"])
def test_an_interrupt_ends_the_search_and_leaves_nothing(start, tidy, json):
    started = start("fuzz", "--seconds", "1000", *json, **tidy)
    assert started.process.stderr.readline().startswith("drawing programs")
    assert "programs drawn" in started.process.stderr.readline()  # one was played

    interrupt(started)
    said = started.wait()

    assert said.code == 130
    *_, fact, remedy = said.err.splitlines()
    assert fact == "hangdog: interrupted"
    assert remedy.startswith("  try: hangdog fuzz --seconds 1000")
    assert left(tidy) == []
    assert started.family() == []
    assert ("interrupt" in said.out) == bool(json)
