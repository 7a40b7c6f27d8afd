"""The folder tree is the architecture; this file is what keeps that true.

Every rule is a function of the root of a tree that yields one sentence per
violation, so that it can be run on this tree, where it must yield nothing, and on
small planted ones, where it must speak.  Refuses relative imports, because they
would slip past the table.
"""

import ast
import gzip
import io
import re
import subprocess
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES = 400
PACKAGES = ("hangdog", "harness", "vmcore", "stress")
OUTSIDERS = ("bench", "examples")
CODE = {".py", ".pyi", ".c", ".h", ".sh"}

Rule = Callable[[Path], Iterator[str]]

# package -> what it may import besides itself.  Read it top-down: a row never
# names a row below itself.  harness._native is the C extension.
NATIVE = "harness._native"
HANDLES = (NATIVE, "harness.errors", "harness.extension")
SHM = (*HANDLES, "harness.handles")
PROBE = (*SHM, "harness.shm")
LOCKS = (*PROBE, "harness.probe")
WATCH = (*LOCKS, "harness.locks", "harness.outcome")
RUN = (*WATCH, "harness.watch", "harness.clock")
EVERY_PART = (*(row for row in RUN if row != NATIVE), "harness.run")
MAY_IMPORT = {
    "harness.errors": (),
    "harness.clock": (),
    "harness.outcome": ("harness.errors",),
    NATIVE: (),
    "harness.extension": ("harness.errors",),
    "harness.handles": HANDLES,
    "harness.shm": SHM,
    "harness.probe": PROBE,
    "harness.locks": LOCKS,
    "harness.watch": WATCH,
    "harness.run": RUN,
    "harness": EVERY_PART,
    "vmcore": ("harness.errors", "harness.shm", "harness.probe", "harness.locks"),
    "stress": (*EVERY_PART, "harness", "vmcore"),
    "hangdog.__main__": ("stress",),
    "hangdog": EVERY_PART,
}

# An entry of the catalogue: H1 to H32, L1 to L50, and forms of some.
ENTRY = re.compile(r"\b(?:H(?:[1-9]|[12]\d|3[0-2])|L(?:[1-9]|[1-4]\d|50))[a-d]?\b")

# In pieces, so that this file does not contain what it forbids.
FORBIDDEN_TEXT = re.compile(
    "|".join(
        [
            r"(?<![\w.-])/" + "work" + "/",
            r"(?<![\w.-])/" + "root" + "/",
            r"\b(?:test\.)?" + "pypi" + r"\.org\b",
            "files" + r"\.pythonhosted\.org\b",
            "registry" + r"\.npmjs\.org\b",
            r"\b" + "crates" + r"\.io\b",
            r"\b" + "proxy" + r"\.golang\.org\b",
            r"\b" + "conda" + r"\.anaconda\.org\b",
        ]
    )
)


# --- the rules ----------------------------------------------------------------


def imports_point_down(root: Path) -> Iterator[str]:
    for path in sources(root, PACKAGES):
        home = owner(module_name(root, path))
        if home is None:
            yield f"{shown(root, path)} belongs to no row of MAY_IMPORT"
            continue
        for line, module in imports(path):
            if module.split(".")[0] not in PACKAGES:
                continue
            row = owner(module)
            if row is None:
                yield f"{shown(root, path)}:{line}: {module} belongs to no row of MAY_IMPORT"
            elif row not in (home, *MAY_IMPORT[home]):
                yield f"{shown(root, path)}:{line}: {home} may not import {module}"


def imports_are_absolute(root: Path) -> Iterator[str]:
    for path in sources(root, (*PACKAGES, *OUTSIDERS, "tests")):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ImportFrom) and node.level:
                yield f"{shown(root, path)}:{node.lineno}: relative import"


def package_roots_only_reexport(root: Path) -> Iterator[str]:
    for path in sources(root, PACKAGES):
        if path.name == "__init__.py":
            for node in parse(path).body:
                if not is_reexport(node):
                    yield f"{shown(root, path)}:{node.lineno}: __init__ only re-exports"


def outsiders_use_public_names(root: Path) -> Iterator[str]:
    for path in sources(root, OUTSIDERS):
        for line, module in imports(path):
            parts = module.split(".")
            if parts[0] not in PACKAGES:
                continue
            if any(part.startswith("_") for part in parts):
                yield f"{shown(root, path)}:{line}: {module} is not a public name"
            elif not is_documented(root, parts):
                yield f"{shown(root, path)}:{line}: {module} has no docstring, so it is not public"


def files_are_one_sitting(root: Path) -> Iterator[str]:
    for path in repository_files(root):
        if path.suffix in CODE and (count := len(path.read_text().splitlines())) > MAX_LINES:
            yield f"{shown(root, path)}: {count} lines, the limit is {MAX_LINES}"


def vmcore_knows_no_defects(root: Path) -> Iterator[str]:
    for path in sources(root, ("vmcore",)):
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type == tokenize.NAME and "defect" in token.string.lower():
                yield f"{shown(root, path)}:{token.start[0]}: {token.string}"


def prose_names_no_entry_of_the_catalogue(root: Path) -> Iterator[str]:
    """Comments and docstrings of the core; not other strings, where "L4" may be a format of struct."""
    for path in sources(root, ("harness", "vmcore")):
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            prose = token.type == tokenize.COMMENT or (
                token.type == tokenize.STRING and '"""' in token.string
            )
            if prose and (found := ENTRY.search(token.string)):
                line = token.start[0] + token.string[: found.start()].count("\n")
                yield f"{shown(root, path)}:{line}: {found.group()}"


def harness_knows_no_virtual_memory(root: Path) -> Iterator[str]:
    for path in repository_files(root):
        if path.relative_to(root).parts[0] == "harness" and path.suffix in CODE:
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if found := re.search(r"\bvmcore\b|\bvm_\w*", line):
                    yield f"{shown(root, path)}:{number}: {found.group()}"


def text_names_no_machine(root: Path) -> Iterator[str]:
    for path in repository_files(root):
        for number, line in enumerate(text_of(path).splitlines(), 1):
            if found := FORBIDDEN_TEXT.search(line):
                yield f"{shown(root, path)}:{number}: {found.group()}"


# --- what the rules see ---------------------------------------------------------


def sources(root: Path, folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        found = [*(root / folder).rglob("*.py"), *(root / folder).rglob("*.pyi")]
        yield from sorted(path for path in found if "__pycache__" not in path.parts)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def shown(root: Path, path: Path) -> str:
    return str(path.relative_to(root))


def module_name(root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def owner(module: str) -> str | None:
    """Return the longest row that holds module.  The row of a package root holds nothing else."""
    rows = [row for row in MAY_IMPORT if module == row or (row != "harness" and module.startswith(row + "."))]
    if not rows and re.fullmatch(r"harness\.[A-Z]\w*", module):
        return "harness"  # a name that the root re-exports, not a module
    return max(rows, key=len, default=None)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name; `from package import part` counts as package.part where a row says so."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                private = alias.name.startswith("_")
                yield node.lineno, dotted if private or dotted in MAY_IMPORT else node.module


def is_reexport(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    targets = node.targets if isinstance(node, ast.Assign) else []
    return bool(targets) and all(isinstance(t, ast.Name) and re.fullmatch(r"__\w+__", t.id) for t in targets)


def is_documented(root: Path, parts: list[str]) -> bool:
    """Tell whether the module says what it is for; what is not a file here is not ours to judge."""
    path = root.joinpath(*parts)
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return bool(ast.get_docstring(parse(candidate)))
    return True


def repository_files(root: Path) -> Iterator[Path]:
    """Every file that is, or could be, part of the repository: what git does not ignore."""
    if (root / ".git").exists():
        listed = subprocess.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        found = {root / name for name in listed.stdout.split("\0") if name}
    else:
        made = {cfg.parent for cfg in root.glob("*/pyvenv.cfg")} | {root / "build", root / "dist"}
        found = {path for path in root.rglob("*") if not made.intersection(path.parents)}
        found = {path for path in found if not is_cache(path.relative_to(root))}
    yield from sorted(path for path in found if path.is_file() and not path.is_symlink())


def is_cache(path: Path) -> bool:
    return any(
        part == "__pycache__" or part.endswith((".egg-info", "_cache", ".so")) or part == ".hypothesis"
        for part in path.parts
    )


def text_of(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    return "" if b"\0" in data else data.decode("utf-8", errors="replace")


# --- this tree --------------------------------------------------------------------

RULES: list[Rule] = [
    imports_point_down,
    imports_are_absolute,
    package_roots_only_reexport,
    outsiders_use_public_names,
    files_are_one_sitting,
    vmcore_knows_no_defects,
    prose_names_no_entry_of_the_catalogue,
    harness_knows_no_virtual_memory,
    text_names_no_machine,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_this_tree_keeps(rule: Rule):
    violations = list(rule(ROOT))

    assert violations == []


def test_this_tree_was_looked_at():
    seen = {path.relative_to(ROOT).parts[0] for path in sources(ROOT, PACKAGES)}

    assert seen == set(PACKAGES)
    assert ROOT / "pyproject.toml" in set(repository_files(ROOT))


def test_rows_name_rows_only():
    named = {row for allowed in MAY_IMPORT.values() for row in allowed}

    assert named <= set(MAY_IMPORT)


def test_no_two_rows_may_import_each_other():
    both_ways = {frozenset((a, b)) for a, below in MAY_IMPORT.items() for b in below if a in MAY_IMPORT[b]}

    assert both_ways == set()


# --- planted trees: each rule must see what it forbids, and only that ---------------

FINE = {
    "hangdog/__init__.py": '"""Names."""\n\n__all__ = ["Session"]\n__getattr__ = lambda name: name\n',
    "hangdog/__init__.pyi": "from harness.run import Session as Session\n",
    "hangdog/__main__.py": '"""Runs it."""\n\nfrom stress.cli.main import main\n',
    "harness/__init__.py": '"""Root."""\n\nfrom harness.run import Session\n\n__all__ = ["Session"]\n',
    "harness/errors.py": '"""Errors."""\n\n\nclass HarnessError(Exception): ...\n',
    "harness/_native.pyi": "def now() -> int: ...\n",
    "harness/locks/__init__.py": "",
    "harness/locks/mutex.py": "from harness import _native, errors\nfrom harness.shm.arena import Arena\n",
    "harness/run/__init__.py": "from harness.run.session import Session\n",
    "harness/run/session.py": "import os\n\nimport harness.watch.dump\nfrom harness.clock import now\n",
    "vmcore/__init__.py": '"""Public names."""\n',
    "vmcore/fault.py": '"""No defect is known, A4 holds."""\n\nfrom harness.locks import mutex\n\nL4 = 4\n',
    "stress/__init__.py": "",
    "stress/world.py": "import vmcore\nfrom harness import Arena, Session\nfrom harness.run import worker\n",
    "bench/bench_locks.py": "import vmcore\nfrom harness import Arena\nfrom harness.errors import BadInput\n",
    "tests/test_it.py": "from harness.locks import _private\n",
    "README.md": "The frame" + "work/" + "work/ in hand, and ch" + "root/ too.\n",
}
PLANTED: list[tuple[Rule, str, str]] = [
    (imports_point_down, "vmcore/page/page.py", "from harness.watch import dump\n"),
    (imports_point_down, "vmcore/page/page.py", "from harness import Session\n"),
    (imports_point_down, "vmcore/page/page.py", "from harness import _native\n"),
    (imports_point_down, "vmcore/page/page.py", "def late():\n    import stress.run.world\n"),
    (imports_point_down, "stress/fast.py", "from harness._native import now\n"),
    (imports_point_down, "harness/errors.py", "import harness.shm\n"),
    (imports_point_down, "harness/clock.py", "from harness.errors import HarnessError\n"),
    (imports_point_down, "harness/shm/pool.py", "from harness import probe\n"),
    (imports_point_down, "harness/probe.py", "from harness.locks.mutex import Mutex\n"),
    (imports_point_down, "harness/locks/mutex.py", "from harness.watch.dump import write\n"),
    (imports_point_down, "harness/watch/dump.py", "import harness.run.session\n"),
    (imports_point_down, "harness/watch/dump.py", "import harness\n"),
    (imports_point_down, "harness/run/session.py", "import vmcore\n"),
    (imports_point_down, "harness/new_thing.py", ""),
    (imports_point_down, "harness/__init__.py", "import stress\n"),
    (imports_point_down, "hangdog/extra.py", "from stress.cli.main import main\n"),
    (imports_point_down, "harness/shm/pool.py", "from hangdog import Session\n"),
    (imports_point_down, "harness/handles/mutex.py", "from harness.shm.arena import Arena\n"),
    (imports_are_absolute, "vmcore/page/page.py", "from . import fault\n"),
    (imports_are_absolute, "bench/bench_locks.py", "from .timing import best\n"),
    (package_roots_only_reexport, "harness/__init__.py", "def helper(): ...\n"),
    (package_roots_only_reexport, "stress/__init__.py", "CACHE = {}\n"),
    (package_roots_only_reexport, "hangdog/__init__.py", "def run(): ...\n"),
    (outsiders_use_public_names, "bench/bench_locks.py", "from harness import _native\n"),
    (outsiders_use_public_names, "examples/own.py", "import vmcore._tables\n"),
    (outsiders_use_public_names, "examples/own.py", "from harness.locks.mutex import Mutex\n"),
    (files_are_one_sitting, "stress/run/world.py", "x = 1\n" * 401),
    (files_are_one_sitting, "harness/locks/native/mutex.c", "int x;\n" * 401),
    (vmcore_knows_no_defects, "vmcore/page/page.py", "def skip(page, known_Defects): ...\n"),
    (vmcore_knows_no_defects, "vmcore/page/page.py", "from stress.defects import step\n"),
    (
        prose_names_no_entry_of_the_catalogue,
        "vmcore/page/page.py",
        '"""Frees.\n\nIts front object (H8).\n"""\n',
    ),
    (prose_names_no_entry_of_the_catalogue, "harness/clock.py", "HZ = 100  # or L22 would not be seen\n"),
    (harness_knows_no_virtual_memory, "harness/errors.py", "# vmcore raises this\n"),
    (harness_knows_no_virtual_memory, "harness/locks/native/seat.c", "void vm_fault(void);\n"),
    (text_names_no_machine, "docs/page.md", "see /" + "work/shared\n"),
    (text_names_no_machine, "ci/job.sh", "cd '/" + "root/x'\n"),
    (text_names_no_machine, "pyproject.toml", "url = 'https://" + "pypi" + ".org/simple'\n"),
]


def plant(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_tidy_tree_passes(rule: Rule, tmp_path: Path):
    plant(tmp_path, FINE)

    assert list(rule(tmp_path)) == []


@pytest.mark.parametrize(
    ("rule", "name", "text"), PLANTED, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_planted_violation_is_named(rule: Rule, name: str, text: str, tmp_path: Path):
    plant(tmp_path, {**FINE, name: text})

    violations = list(rule(tmp_path))

    assert len(violations) == 1
    assert violations[0].startswith(name)


def test_every_rule_was_planted_against():
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


def test_a_repository_is_read_through_git(tmp_path: Path):
    plant(tmp_path, {**FINE, ".gitignore": "left/\n", "left/over.md": "/" + "work/\n"})
    subprocess.run(["git", "init", "-q", tmp_path], check=True, timeout=60)

    assert list(text_names_no_machine(tmp_path)) == []

    plant(tmp_path, {"new.md": "/" + "work/\n"})
    assert [line.split(":")[0] for line in text_names_no_machine(tmp_path)] == ["new.md"]
