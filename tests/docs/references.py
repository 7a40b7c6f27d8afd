"""What the tree refers to: links and anchors of pages, files, names, sections, entries of the reference.

``prose`` yields what is written for a reader: pages without their blocks, docstrings and comments of
Python, comments of C and of scripts.  Each rule takes such a piece and yields what it names and what is
not there.
"""

import ast
import fnmatch
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.docs.pages import FENCE, MADE, ROOT, name_of, pages

# A changelog tells of what was; a page that is made repeats what stands in the catalogue.
HISTORY = {"CHANGELOG.md"}
FOLDERS = "docs|harness|vmcore|stress|tests|ci|bench|examples|hangdog"
COMMENT = re.compile(r"(?:^|\s)# (.*)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./*-]*[\w*/]")
FILE = re.compile(r"(?<![\w/.*#-])([a-z][\w]*\.(?:py|pyi|c|h|md|sh|toml|inc))(?![\w/(]|:\d)")
DOTTED = re.compile(r"(?<![\w/.`-])(?:harness|vmcore|stress)(?:\.(?!(?:md|py)\b)[A-Za-z_]\w*)+")
SECTION = re.compile(r"(docs/[\w/-]+(?:\.md)?|\[[^\]]+\]\([^)]+\)),? section (\d+(?:\.\d+)*)")
SEE = re.compile(r"\b[Ss]ee ``?([A-Za-z_]\w*)``?|\b[Ss]ee ([a-z]\w*_\w+)\b")
STEP = re.compile(r"`([\w/]+\.py)`, `(\w+)`")
ENTRY = re.compile(r"\b([HLAQ]\d{1,2}|W[12])(?:[a-d](?![a-z]))?\b")
POSTMORTEM = re.compile(r"docs/postmortems\.md, (\d+)")
PYTHON = re.compile(r"(?:\bdef|\bclass) (\w+)|^\s*(\w+)(?:: [^=\n]+)? = |\"(\w+)\"", re.MULTILINE)
C = re.compile(r"\b(\w+)\(|\b(?:struct|enum) (\w+)|#define (\w+)")
DEFINED = {".py": PYTHON, ".pyi": PYTHON, ".c": C, ".h": C, ".inc": C}
# Files of the old kernels, by whose names their readers know them; a number that was never given.
KERNELS = re.compile(r"(?:vm|swap|vnode|device|subr|kern|sched)_\w+\.[ch]")
NEVER_GIVEN = {"H14"}

Piece = tuple[str, int, str]  # file, line, text


@cache
def files() -> tuple[str, ...]:
    asked = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return tuple(sorted({name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}))


@cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def prose() -> tuple[Piece, ...]:
    """Every line that is written for a reader."""
    return tuple(piece for name in files() for piece in pieces(name))


def pieces(name: str) -> Iterator[Piece]:
    if name.endswith((".py", ".pyi")):
        yield from of_python(name)
    elif name.endswith((".c", ".h", ".inc")):
        for number, line in enumerate(text_of(name).splitlines(), 1):
            if "//" in line:
                yield name, number, line.partition("//")[2]
    elif name.endswith(".md") and name not in MADE | HISTORY:
        yield from of_page(name)


def of_python(name: str) -> Iterator[Piece]:
    text = text_of(name)
    for number, line in enumerate(text.splitlines(), 1):
        if comment := COMMENT.search(line):  # no tokenizer: it takes ten times as long
            yield name, number, comment[1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            told = ast.get_docstring(node, clean=False)
            if told:
                begun = node.body[0].lineno
                yield from ((name, begun + at, line) for at, line in enumerate(told.splitlines()))


def of_page(name: str) -> Iterator[Piece]:
    inside = False
    for number, line in enumerate(text_of(name).splitlines(), 1):
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            yield name, number, line


# --- what is there


@cache
def anchors(name: str) -> frozenset[str]:
    """The ids of a page: those that are written, and those that its headings get."""
    found, inside = set(re.findall(r'<a id="([^"]+)"></a>', text_of(name))), False
    for line in text_of(name).splitlines():
        inside ^= bool(FENCE.match(line))
        if not inside and (heading := re.match(r"#+ (.*)", line)):
            bare = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            found.add(re.sub(r"[^\w\- ]", "", bare).replace(" ", "-"))
    return frozenset(found)


@cache
def entries() -> frozenset[str]:
    """H1, L50, A7, Q4 ...: all that the reference explains."""
    found: set[str] = set()
    for name in files():
        if name.startswith("docs/reference/"):
            found |= {one for one in anchors(name) if ENTRY.fullmatch(one)}
    return frozenset(found)


@cache
def sections(page: str) -> frozenset[str]:
    """The numbers of a page's headings; of a folder, of all its pages."""
    inside = [name for name in files() if name == page or name.startswith(f"{page}/")]
    return frozenset(
        number.rstrip(".")
        for name in inside
        for number in re.findall(r"^#+ (\d+(?:\.\d+)*)\.? ", text_of(name), flags=re.MULTILINE)
    )


@cache
def names() -> frozenset[str]:
    """Everything that is defined somewhere: functions, classes, constants, fields, records of C, modules."""
    found: set[str] = {Path(name).stem for name in files()}
    for name in files():
        kind = Path(name).suffix
        if kind in DEFINED:
            found.update(*DEFINED[kind].findall(text_of(name)))
    return frozenset(found)


@cache
def members(module: str) -> frozenset[str]:
    """Names that can be had from a module: defined, imported, or listed in its lazy table."""
    return frozenset(re.findall(r"\b[A-Za-z_]\w*\b", text_of(module)))


# --- the rules


def dead_links() -> Iterator[str]:
    """Relative links of pages, with their anchors."""
    for page in pages():
        for _, number, line in of_page(name_of(page)):
            for link in LINK.findall(
                re.sub(r"`[^`]*`", lambda code: "" if "](" in code[0] else code[0], line)
            ):
                target, _, anchor = link.partition("#")
                if "://" in target or target.startswith("mailto:"):
                    continue
                where = (page.parent / target).resolve() if target else page
                if not where.exists():
                    yield f"{name_of(page)}:{number}: {link}: there is no such file"
                elif anchor and anchor not in anchors(where.relative_to(ROOT).as_posix()):
                    yield f"{name_of(page)}:{number}: {link}: there is no such anchor"


def dead_paths() -> Iterator[str]:
    """Paths from the root of the tree, stars allowed; and bare names of files."""
    known = files()
    folders = {str(parent) for name in known for parent in Path(name).parents}
    bare = {Path(name).name for name in known}
    for name, number, line in prose():
        for path in PATH.findall(line):
            wanted = path.rstrip("/.").replace("NAME", "*")
            if "*" in wanted:
                found = bool(fnmatch.filter(known, wanted))
            else:
                found = wanted in folders or wanted in known
            if not found:
                yield f"{name}:{number}: {path}"
        for file in FILE.findall(PATH.sub("", LINK.sub("", line))):
            if not (file in bare or file in saved(name) or KERNELS.fullmatch(file)):
                yield f"{name}:{number}: {file}"


@cache
def saved(name: str) -> frozenset[str]:
    """Names that a page gives to what its reader writes."""
    return frozenset(re.findall(r"^```python (\S+)", text_of(name), flags=re.MULTILINE))


def dead_names() -> Iterator[str]:
    """``harness.run.Session`` and its kind, and what a reader is told to see."""
    for name, number, line in prose():
        for dotted in DOTTED.findall(line):
            if not resolves(dotted):
                yield f"{name}:{number}: {dotted}"
        for file, step in STEP.findall(line):
            homes = [one for one in files() if f"/{one}".endswith(f"/{file}")]
            if not any(step in members(home) for home in homes):
                yield f"{name}:{number}: {file}, {step}"
        for pair in SEE.findall(line):
            seen = "".join(pair)
            if seen not in names():
                yield f"{name}:{number}: see {seen}"


def resolves(dotted: str) -> bool:
    """Is it a module, or a name in one?"""
    parts = dotted.split(".")
    for depth in range(len(parts), 0, -1):
        at = "/".join(parts[:depth])
        for file in (f"{at}.py", f"{at}/__init__.py", f"{at}.pyi"):
            if file in files():
                return set(parts[depth : depth + 1]) <= members(file) or parts[depth:] == []
    return False


def dead_sections() -> Iterator[str]:
    """Sections of pages, entries of the reference, numbers of postmortems."""
    for name, number, line in prose():
        for page, section in SECTION.findall(line):
            if page.startswith("["):
                link = page.partition("](")[2].rstrip(")").partition("#")[0]
                page = (ROOT / name).parent.joinpath(link).resolve().relative_to(ROOT).as_posix()
            if section not in sections(page):
                yield f"{name}:{number}: {page}, section {section}"
        for which in POSTMORTEM.findall(line):
            if which not in anchors("docs/postmortems.md"):
                yield f"{name}:{number}: postmortem {which}"
        if name.startswith(("docs/", "stress/", "vmcore/", "tests/stress/", "tests/vmcore/")):
            for entry in ENTRY.findall(line):
                if entry not in entries() | NEVER_GIVEN:
                    yield f"{name}:{number}: {entry}"
