"""Every command that a page mentions can be typed.

Those of console blocks are run by ``test_programs.py``.  The others stand in the text and in tables, as
``hangdog show DUMP``: words in capitals are replaced by what they stand for.  They are run here, unless
a row of NOT_HERE says why not; that they parse is checked of all.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from stress.cli.main import COMMANDS
from tests.docs.pages import MADE, ROOT, blocks, inline, name_of, pages, typed
from tests.rules.test_hints import parse

BIN = Path(sys.executable).parent
LIMIT_S = 300
STANDS_FOR = {"ID": "H2", "FILE.py": "own.py", "SECONDS": "1", "NAME": "fork-storm", "NAME|FILE": "make"}
LONG = {  # run with the slow tests
    r"hangdog run --scenario fork-storm --defect H2.*": "a run of seconds; tests/stress runs every defect",
    r"hangdog run --defect \S+ --script": "the same; tests/stress plays every script",
    r"hangdog run --scenario fork-storm": "20 s until its time is up",
}
NOT_HERE = {
    r"hangdog defects .*--detect.*": "minutes to hours",
    r"hangdog defects --detect H1 \.\.\..*": "the dots are no words, and it takes hours",
    r"hangdog run --(trace|checked).*": "two minutes; tests/stress/trace replays all three, and checked runs",
    r"hangdog fuzz.*": "a minute; tests/stress/cli/test_fuzz.py finds, keeps and replays",
    r"hangdog run --script L6": "tests/stress plays every script on the VM without the defect",
    r"hangdog run --scenario two_readers.*": "a console block of its page",
    r"hangdog show dumps/.*": "a console block of its page",
}


def commands() -> Iterator[tuple[str, str]]:
    """(where, command), each command once."""
    seen = set()
    for page in pages():
        if name_of(page) in MADE | {"CHANGELOG.md"}:
            continue
        found = [(line, text) for line, text in inline(page)]
        for block in blocks(page):
            if block.info == "indented":
                found.append((block.line, block.text.partition("  #")[0].strip()))
            elif block.info.startswith("console"):
                found += [(block.line, command) for command, _ in typed(block)]
        for line, text in found:
            command = text.removeprefix(".venv/bin/")
            if FIRST.match(command) and command not in seen:
                seen.add(command)
                yield f"{name_of(page)}:{line}", command


FIRST = re.compile(r"(?:hangdog|make|python|ci/\w+\.sh|\.ci/run)(?: |$)")
ALL = list(commands())
HANGDOG = [(where, command) for where, command in ALL if re.match(r"hangdog \S", command)]


def words_of(command: str, **more: str) -> list[str]:
    known = {**STANDS_FOR, **more}
    return [known.get(word, word) for word in shlex.split(command.replace("...", ""))]


def why_not(command: str, table: dict[str, str]) -> str:
    return next((why for pattern, why in table.items() if re.fullmatch(pattern, command)), "")


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a dump, made by the quickest run that there is."""
    folder = tmp_path_factory.mktemp("dump")
    run(["hangdog", "run", "--defect", "H1", "--script"], folder, 1)
    (found, *_) = sorted((folder / "hangdog-dumps").glob("*.json"))
    return str(found)


def run(words: list[str], folder: Path, *right: int) -> str:
    said = subprocess.run(
        [str(BIN / words[0]), *words[1:]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert said.returncode in (right or (0,)), (
        f"{shlex.join(words)} ended with {said.returncode}\n{said.stderr}"
    )
    return said.stdout


@pytest.mark.parametrize(("where", "command"), HANGDOG, ids=[where for where, _ in HANGDOG])
def test_a_command_parses(where: str, command: str):
    words = words_of(command)[1:]

    if len(words) == 1:
        assert words[0] in {*COMMANDS, "--help", "--version"}
    else:
        with suppress(click.exceptions.Exit):  # --help and --version end there
            parse(words)


QUICK = [
    (where, command)
    for where, command in HANGDOG
    if len(command.split()) > 2 and not why_not(command, NOT_HERE) and not why_not(command, LONG)
]
SLOW = [(where, command) for where, command in HANGDOG if why_not(command, LONG)]


@pytest.mark.parametrize(("where", "command"), QUICK, ids=[command for _, command in QUICK])
def test_a_command_runs(where: str, command: str, dump: str, tmp_path: Path, request: pytest.FixtureRequest):
    if "PID" in command:
        more = {"PID": str(request.getfixturevalue("process_with_an_arena"))}
    else:
        more = {"DUMP": dump, "FILE": dump}

    assert run(words_of(command, **more), tmp_path) or "--html" in command


@pytest.fixture
def process_with_an_arena() -> Iterator[int]:
    """A process that has an arena open until its standard input ends."""
    program = (
        "import sys, harness; a = harness.Arena.create('page'); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize(("where", "command"), SLOW, ids=[command for _, command in SLOW])
def test_a_longer_command_runs(where: str, command: str, tmp_path: Path):
    run(words_of(command), tmp_path, 1 if "--defect" in command else 0)


def test_every_target_of_make_is_there():
    """They are not run: a test runs inside of them."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    asked = {
        (where, word)
        for where, command in ALL
        if command.startswith("make ")
        for word in re.sub(r"&& make|#.*", "", command).split()[1:]
        if re.fullmatch("[a-z]+", word)
    }

    assert len(asked) > 8
    assert [(where, word) for where, word in asked if word not in targets] == []


def test_every_module_that_is_run_is_there():
    """``python -m bench.NAME`` takes minutes, and tests/bench runs each with less to do."""
    for where, command in ALL:
        if found := re.match(r"python -m ([\w.]+)", command):
            assert importlib.util.find_spec(found[1]), f"{where}: {command}"


def test_every_script_is_there():
    for where, command in ALL:
        if re.match(r"ci/|\.ci/", command):
            path = ROOT / command.split()[0]
            assert os.access(path, os.X_OK), f"{where}: {command}"


def test_what_pytest_is_asked_for_is_some_test():
    """Collected only: `make test` runs them."""
    asked = [command for _, command in ALL if command.startswith("python -m pytest ")]

    assert asked
    for command in asked:
        words = [sys.executable, *shlex.split(command)[1:], "--collect-only", "-q", "-p", "no:cacheprovider"]
        said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert said.returncode == 0, f"{command}\n{said.stdout[-500:]}"
