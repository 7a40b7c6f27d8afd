"""Every remedy that the tree offers is a command that parses.

A hint is any string of the program (no docstring) that starts with the command's name, or
stands behind ``try:``; and every command line in the documentation.  What is computed is
replaced by a sample.  Only parsed, never run: names of dumps and files need not exist.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from harness import errors
from stress.cli.main import hangdog

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("harness", "vmcore", "stress", "bench", "examples", "ci")
# Other programs that a hint may name; each is on every machine that got this far.
PROGRAMS = {
    "uname",
    "df",
    "dmesg",
    "make",
    "ulimit",
    "python",
    "python3",
    "ls",
    "ps",
    "kill",
    "cat",
    "cd",
    "setarch",
    "sysctl",
    "sudo",
}
ERRORS_WITH_HINT = {"BadInput", "CannotRunHere"}

# What stands for a computed part, by the expression; anything else becomes a number, which
# fits options that count and names of files alike.
SAMPLES = {
    "option": "--objects",
    "name": "fork-storm",
    "nearest": "fork-storm",
    "PROGRAM": "hangdog",
    "path": "hangdog run",
    "shlex.join([PROGRAM, *words])": "hangdog ps",
    "before": "",
}

Hint = tuple[str, str]  # where, command


def sources() -> Iterator[Path]:
    for folder in PACKAGES:
        yield from sorted((ROOT / folder).rglob("*.py"))


def docstrings(tree: ast.Module) -> set[int]:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, kinds) and node.body]
    return {id(body[0].value) for body in bodies if isinstance(body[0], ast.Expr)}


def flat(node: ast.expr) -> str | None:
    """The text of a string or f-string, with samples for what is computed."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(part for value in node.values if (part := flat(value)) is not None)
    if isinstance(node, ast.FormattedValue):
        return SAMPLES.get(ast.unparse(node.value), "64")
    return None


def strings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every string, those inside f-strings only as a whole."""
    skipped = docstrings(tree)
    # The name of a process is no advice, although ours start with the command's name.
    skipped |= {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "name"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(below) for below in ast.walk(node)} - {id(node)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant | ast.JoinedStr)
            and id(node) not in skipped
            and (text := flat(node))
        ):
            yield node.lineno, text


def commands_in(text: str) -> Iterator[str]:
    """What a string offers to type."""
    for match in re.finditer(r"try: (.+)", text):
        if match[1].strip() not in {"64", "%s"}:  # all of it is computed: collected where it is made
            yield match[1].strip()
    if re.match(r"(HANGDOG_DEBUG=1 )?hangdog( -|  ?[a-z]+($| ))", text) and "\n" not in text:
        yield text.strip()


def hints_in_strings() -> Iterator[Hint]:
    for path in sources():
        for line, text in strings(ast.parse(path.read_text())):
            for command in commands_in(text):
                yield f"{path.relative_to(ROOT)}:{line}", command


def hints_of_errors() -> Iterator[Hint]:
    """The second argument of errors that take a hint, whatever it starts with."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ERRORS_WITH_HINT
            ):
                given = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "hint")]
                for text in filter(None, map(flat, given)):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", text


def hints_known() -> Iterator[Hint]:
    """Those that are put together at run time."""
    yield "TableFull", errors.TableFull("objects", 8, "--objects").hint
    yield "TableFull without option", errors.TableFull("names", 8, "").hint
    yield "NotAnArena", errors.NotAnArena("here", "why").hint
    yield "NoAccess", errors.NoAccess("here", "why").hint
    yield "StaleArena", errors.StaleArena("a", 1, 2).hint
    yield "BadInput", errors.BadInput("x").hint
    yield "CannotRunHere", errors.CannotRunHere("x").hint


def hints_in_documents() -> Iterator[Hint]:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "bench").glob("*.md")]
    for path in sorted(pages):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r"\s*(?:    |\$ )(?:\.venv/bin/)?(hangdog [^#|>&]*)", line)
            if match:
                yield f"{path.relative_to(ROOT)}:{number}", match[1].strip()


HINTS = sorted({*hints_in_strings(), *hints_of_errors(), *hints_known(), *hints_in_documents()})


def parse(words: list[str]) -> None:
    """Feed the words to click as the program would, down to the last option; run nothing."""
    if words[0].startswith("-"):
        hangdog.make_context("hangdog", list(words)).close()
        return
    outer = click.Context(hangdog, info_name="hangdog")
    name, command, rest = hangdog.resolve_command(outer, list(words))
    assert command is not None
    command.make_context(name, rest, parent=outer).close()


@pytest.mark.parametrize(("where", "hint"), HINTS, ids=[where for where, _ in HINTS])
def test_a_hint_parses(where: str, hint: str):
    words = [word for word in shlex.split(hint) if not re.fullmatch(r"[A-Z_]+=\S*", word)]

    if words[0] == "hangdog" and words[1:]:
        with suppress(click.exceptions.Exit):  # --help and --version end there
            parse(words[1:])
    else:
        assert words[0] in PROGRAMS | {"hangdog"}


def test_hints_were_found():
    found = {hint for _, hint in HINTS}

    assert "hangdog ps" in found
    assert any(hint.startswith("hangdog run --objects") for hint in found)


@pytest.mark.parametrize("wrong", ["hangdog rnu", "hangdog run --scenaro x", "hangdog ps --loud"])
def test_a_wrong_hint_would_be_seen(wrong: str):
    with pytest.raises(click.UsageError):
        parse(shlex.split(wrong)[1:])
