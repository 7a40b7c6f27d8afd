"""Every program of a page runs, and prints what the page says it prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import MADE, ROOT, Block, as_pattern, blocks, name_of, pages, program, typed

LIMIT_S = 300
BIN = Path(sys.executable).parent

# What is not typed here, and why.
NOT_HERE = {
    r"make .*": "a test runs inside of it, or it installs what this test stands on",
    r"pip install .*": "it needs a package index",
}
PROGRAMS = [
    page for page in pages() if any(block.info.startswith(("python", "console")) for block in blocks(page))
]


def run(command: str, folder: Path) -> tuple[int, str]:
    """Type a command; those with a path into the tree belong into the tree.  (exit code, what is shown)"""
    where = ROOT if command.startswith(".venv/bin/") else folder
    said = subprocess.run(
        ["bash", "-c", command.replace(".venv/bin/", f"{BIN}/")],
        cwd=where,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "110"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return said.returncode, said.stdout


def check_console(block: Block, folder: Path) -> None:
    expected = int(found[1]) if (found := re.search(r"exit=(\d+)", block.info)) else 0
    for command, printed in typed(block):
        if any(re.fullmatch(one, command) for one in NOT_HERE):
            continue
        code, out = run(command, folder)
        at = f"{block.page}:{block.line}: {command}"
        assert code == expected, f"{at} ended with {code}\n{out}"
        said = "\n".join(line.rstrip() for line in out.splitlines())
        if "lines" in block.info.split():
            parts = (
                part for line in printed.splitlines() for part in re.split(r"; |(?<=\.) (?=Cause: )", line)
            )
            wanted = [part.rstrip(".") for part in parts if part.strip(" .")]
            missing = [part for part in wanted if not as_pattern(part.strip()).search(said)]
            assert missing == [], f"{at} printed\n{said}"
        else:
            assert as_pattern(printed).fullmatch(said), f"{at} printed\n{said}\nnot\n{printed}"


def check_excerpt(block: Block) -> None:
    """The lines without their comments: a page may explain more than the file."""
    path = block.info.removeprefix("python excerpt of ")
    lines = iter([bare(line) for line in (ROOT / path).read_text(encoding="utf-8").splitlines()])
    for line in block.text.splitlines():
        assert bare(line) in lines, f"{block.page}:{block.line}: {path} has no {line!r} at that place"


def bare(line: str) -> str:
    return line.partition("  #")[0].rstrip()


CHAPTERS = list(dict.fromkeys(
    (page, block.chapter) for page in PROGRAMS for block in blocks(page) if block.info.startswith("console")
))  # fmt: skip


@pytest.mark.parametrize(
    ("page", "chapter"), CHAPTERS, ids=lambda one: one if isinstance(one, str) else name_of(one)
)
def test_the_commands_of_a_chapter_do_what_it_says(page: Path, chapter: str, tmp_path: Path):
    for block in blocks(page):
        if block.info.startswith("python ") and " excerpt of " not in block.info:
            program(block, tmp_path)
    for block in blocks(page):
        if block.info.startswith("console") and block.chapter == chapter:
            check_console(block, tmp_path)


def test_an_excerpt_stands_in_its_file():
    for page in PROGRAMS:
        for block in blocks(page):
            if block.info.startswith("python excerpt of "):
                check_excerpt(block)


def test_every_program_is_typed():
    """A program that is only shown may be wrong."""
    for page in PROGRAMS:
        saved = {
            block.info.split()[1] for block in blocks(page) if re.match(r"python (?!excerpt)\S", block.info)
        }
        commands = " ".join(
            c for block in blocks(page) if block.info.startswith("console") for c, _ in typed(block)
        )
        assert {name for name in saved if name not in commands} == set(), name_of(page)


def test_there_are_programs():
    assert {"README.md", "docs/tutorial.md", "docs/extending.md"} <= {name_of(page) for page in PROGRAMS}
    assert {name_of(page) for page in pages()} >= MADE


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("took 3 of 4 locks\n", "took 17 of 4000 locks"),
        ("took ... locks\n", "took no locks"),
        ("a\n...\nb 1.5 s\n", "a\nx\ny\nb 0.25 s"),
        ("found     1 finding\n", "found   12 finding"),
    ],
)
def test_numbers_and_dots_stand_for_others(page: str, printed: str):
    assert as_pattern(page).fullmatch(printed)


@pytest.mark.parametrize(
    ("page", "printed"),
    [("took 3 locks\n", "took 3 rwlocks"), ("a\nb\n", "a\nx\nb"), ("a\n", "a\nb"), ("...\nb\n", "a\nc")],
)
def test_nothing_else_does(page: str, printed: str):
    assert not as_pattern(page).fullmatch(printed)
