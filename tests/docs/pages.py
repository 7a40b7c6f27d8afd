"""The pages of the tree, and what in them can be run.

Three kinds of fenced block are more than text:

* ``python FILE`` is a program that the reader saves as FILE.  ``python FILE from OTHER: LINE`` is OTHER
  with the block put behind the line that contains LINE; ``python FILE from OTHER instead of: LINE`` with
  the block in its place.
* ``python excerpt of FILE``: its lines stand in that file of the tree, in this order.
* ``console``: each line that starts with ``$ `` is typed, in a folder that has the programs of the page,
  after the other commands below the same heading; what follows is what it prints.  ``...`` stands for
  anything, a number for any number.  ``exit=1`` is the exit code where it is not 0.  With ``lines`` each
  line, each part of it before a "; ", and its cause are printed somewhere: the order is chance.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Made from the catalogue: tests/stress plays every script and runs the defects.
MADE = {"docs/defects.md", "docs/defects-by-script.md", "docs/defects-in-pairs.md", "docs/cli.md"}
FENCE = re.compile(r"^```(.*)$")
NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced or indented block of a page."""

    page: str
    line: int
    info: str  # what stands behind the fence; "indented" for a block without one
    text: str
    chapter: str = ""  # the heading that it stands under


def pages() -> list[Path]:
    """Every page that is in the repository, or is about to be."""
    asked = ["git", "ls-files", "-co", "--exclude-standard", "*.md"]
    listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return sorted(ROOT / name for name in set(listed.stdout.splitlines()) if (ROOT / name).is_file())


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in order."""
    info, begun, kept, chapter = None, 0, list[str](), ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if fence and info is None:
            info, begun, kept = fence[1].strip(), number, []
        elif fence:
            yield Block(name_of(page), begun, str(info), "\n".join(kept) + "\n", chapter)
            info = None
        elif info is not None:
            kept.append(line)
        elif re.match(r"    \S", line):
            yield Block(name_of(page), number, "indented", line.strip() + "\n", chapter)
        elif line.startswith("## "):
            chapter = line.removeprefix("## ")


def typed(block: Block) -> Iterator[tuple[str, str]]:
    """(command, what it prints) of a console block."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command.partition("  #")[0].strip(), printed


def inline(page: Path) -> Iterator[tuple[int, str]]:
    """Line and text of everything between single backquotes outside of fences."""
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            for found in re.finditer(r"(?<!`)`([^`]+)`(?!`)", line):
                yield number, found[1]


def program(block: Block, folder: Path) -> None:
    """Save the program of a block in the folder."""
    _, name, *rest = block.info.split(maxsplit=2)
    text = block.text
    if rest:
        other, _, line = rest[0].removeprefix("from ").partition(": ")
        other, instead = re.subn(" instead of$", "", other)
        lines = (folder / other).read_text(encoding="utf-8").splitlines(keepends=True)
        (at,) = [number for number, one in enumerate(lines) if line in one]
        lines[at : at + 1] = [text] if instead else [lines[at], text]
        text = "".join(lines)
    (folder / name).write_text(text, encoding="utf-8")


def as_pattern(printed: str) -> re.Pattern[str]:
    """What the page says is printed, with other numbers and anything for the dots."""
    lines = []
    for line in printed.rstrip("\n").split("\n"):
        pieces = [NUMBER.sub(lambda _: "\0", piece) for piece in line.rstrip().split("...")]
        told = r".*".join(re.escape(piece).replace("\0", r"\d+(?:\.\d+)?") for piece in pieces)
        # Columns are aligned for what stands in them: as many spaces as there are.
        lines.append(re.sub(r"(?:\\ ){2,}", r"\\s+", told))
    text = "\n".join(lines)
    text = re.sub(r"^\.\*\.\*$|^\.\*$", r"(?:.*\\n)*?.*", text, flags=re.MULTILINE)
    return re.compile(text + r"\s*")
