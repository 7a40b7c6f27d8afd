"""Arguments of a session and its runs, refused at the call with their name and value."""

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.errors import BadInput, require


def require_callable(**functions: object) -> None:
    """BadInput for what is neither callable nor None."""
    for name, value in functions.items():
        require(value is None or callable(value), name, value, "a function")


def require_strings(**texts: object) -> None:
    """BadInput for what is no str."""
    for name, value in texts.items():
        require(isinstance(value, str), name, value, "a str")


def folder_of(dump_dir: str | Path | None) -> str:
    """Absolute path of the folder for dumps; empty: there is none.  BadInput when a file is in the way."""
    if dump_dir is None or dump_dir == "":
        return ""
    require(isinstance(dump_dir, str | Path), "dump_dir", dump_dir, "a path, or None")
    folder = Path(dump_dir).absolute()
    there = next(part for part in (folder, *folder.parents) if part.exists())
    require(there.is_dir(), "dump_dir", str(dump_dir), f"a folder, and {there} is none")
    return str(folder)


def verdicts_of(stop_on: Iterable[str], known: frozenset[str]) -> frozenset[str]:
    """The verdicts that end a run.  BadInput for a name that is none."""
    if isinstance(stop_on, str) or not isinstance(stop_on, Iterable):
        raise BadInput(f"stop_on={stop_on!r}: it must be a set of verdicts")
    wanted = frozenset(stop_on)
    if unknown := wanted - known:
        raise BadInput(f"stop_on names {min(unknown, key=str)!r}, which is no verdict")
    return wanted


def own_command() -> str:
    """The command line of this program as it was typed, quoted; empty when there is none to type again."""
    program: Any = sys.argv[:1]
    if program in ([], [""], ["-c"], ["-"]):
        return ""
    typed, words = list(sys.orig_argv), sys.argv[1:]
    # A child that multiprocessing spawned has its parent's sys.argv and a command line of its own.
    whole = len(typed) > len(words) and typed[len(typed) - len(words) :] == words
    return shlex.join(typed if whole else ["python", *sys.argv])
