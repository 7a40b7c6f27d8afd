"""``python -m hangdog`` is the command line, and the version is that of the package."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import hangdog

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hangdog", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_it_is_the_command_line():
    said = command("list", "scenarios")

    assert (said.returncode, said.stderr) == (0, "")
    assert "fork-storm" in said.stdout


def test_its_exit_codes_are_those_of_the_command_line():
    said = command("run", "--scenario", "nothing-of-the-kind")

    assert said.returncode == 2
    assert "try: hangdog list scenarios" in said.stderr


def test_the_version_is_the_packages():
    assert hangdog.__version__ == metadata.version("hangdog")
    assert hangdog.__version__ in command("--version").stdout


def test_a_name_that_is_not_there_is_the_usual_error():
    with pytest.raises(AttributeError, match="nothing"):
        hangdog.nothing  # type: ignore[attr-defined] # noqa: B018 - the look-up is the act
    assert {"Session", "errors", "__version__"} <= set(dir(hangdog))
