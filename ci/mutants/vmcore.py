"""Generated errors of vmcore, and what has to notice: its tests, then scenarios, fast and checked.

A mutant is tried first with the quickest tests that run its function (reach.py has recorded which do),
then with the rest of them, then with the scenarios.  Most mutants end within a second that way.

What only looks (audits, the instant looks, pictures, guards) and what only declares (records, ranks,
sizes) is left out.  vmcore.md beside this file argues for those that nothing can notice.
"""

import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path

from ci.mutants.engine import ROOT, Command, Mutant, Suite
from ci.mutants.generate import errors
from ci.mutants.reach import ONLY, RECORD

LOOKS_OR_DECLARES = re.compile(
    r"vmcore/((audit|checked|show)/\w+|(\w+/)?__init__|config|constants|ranks|stats|structs|page_events"
    r"|vm|boot|vm_error|pmap/coloring|space/vmspace_look|page/page_flags)\.py"
)
PYTHON = str(ROOT / ".venv/bin/python")
# Without the plug-ins of others pytest starts in half the time.
HERE = (("PYTHONPATH", "{root}"), ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1"))
REACH = ROOT / "build/mutants/reach.jsonl"
QUICK_S = 2.5  # seconds of the processor for the first try
SCENARIOS = (  # broad ones first; each has windows that the others lack
    "fork-storm", "small-tables", "shared-msync", "exhaustion", "cut-files", "wire-storm", "shared-spaces",
    "snapshots", "named-memory", "device-visits", "disk-trouble", "exec-storm", "refusals", "fork-trees",
)  # fmt: skip
SECONDS = 4
MAIN = "from stress.cli.main import main; main()"
ROW = re.compile(r"^\| `([^`]+)` \| (.+?) \|$", re.MULTILINE)


def arguments() -> dict[str, str]:
    """Name of a mutant -> why nothing can notice it: the table of vmcore.md."""
    page = Path(__file__).with_suffix(".md")
    return dict(ROW.findall(page.read_text())) if page.exists() else {}


def generated() -> tuple[Mutant, ...]:
    """All of them, in the order of files and lines."""
    argued, made = arguments(), []
    for path in sorted((ROOT / "vmcore").rglob("*.py")):
        if not LOOKS_OR_DECLARES.fullmatch(str(path.relative_to(ROOT))):
            for name, old, new in errors(path.stem, path.read_text()):
                made.append(Mutant(name, str(path.relative_to(ROOT)), old, new, argued.get(name, "")))
    return tuple(made)


def tests_of(module: str) -> list[str]:
    """Test files: those of the module's name, then those that import it."""
    named, users = [], []
    for path in sorted((ROOT / "tests/vmcore").rglob("test_*.py")):
        name, text = str(path.relative_to(ROOT)), path.read_text()
        if path.stem.startswith(f"test_{module}"):
            named.append(name)
        elif re.search(rf"vmcore\.(\w+\.)?{module} ", text):
            users.append(name)
    return named + users


@functools.cache
def recorded() -> dict[str, tuple[float, frozenset[str]]]:
    """Test -> its seconds, and the functions that it runs; the last record of a test counts."""
    lines = REACH.read_text().splitlines() if REACH.exists() else []
    return {row["test"]: (row["seconds"], frozenset(row["functions"])) for row in map(json.loads, lines)}


def reaching(module: str, function: str) -> list[str]:
    """The tests that run a function, the quickest first; a test file of the module's name is preferred."""

    def cost(test: str) -> float:
        named = f"/test_{module}" in test
        return recorded()[test][0] * (0.3 if named else 1.0)

    found = [test for test, (_, functions) in recorded().items() if f"{module}:{function}" in functions]
    return sorted((test for test in found if Path(ROOT, test.split("::")[0]).exists()), key=cost)


def split(tests: Sequence[str]) -> tuple[list[str], list[str]]:
    """The tests that together take QUICK_S, and the rest."""
    spent, n = 0.0, 0
    while n < len(tests) and spent + recorded()[tests[n]][0] <= QUICK_S:
        spent += recorded()[tests[n]][0]
        n += 1
    return list(tests[:n]), list(tests[n:])


def pytest(
    name: str, arguments: Sequence[str], limit: float, env: tuple[tuple[str, str], ...] = ()
) -> Command:
    """Stop at the first failure."""
    options = ("-q", "-x", "-p", "no:cacheprovider", "-m", "not slow")
    return Command(name, (PYTHON, "-m", "pytest", *options, *arguments), limit, HERE + env)


def chosen(name: str, tests: Sequence[str], hung: float) -> Command:
    """Run these tests; one that takes longer than ``hung`` seconds counts as hung and ends them all."""
    files = dict.fromkeys(test.split("::")[0] for test in tests)
    end = (
        "-o", f"faulthandler_timeout={hung:g}", "-o", "faulthandler_exit_on_timeout=true",
        "-p", "ci.mutants.reach",
    )  # fmt: skip
    seconds = sum(recorded()[test][0] for test in tests)
    return pytest(name, (*end, *files), 120 + 60 * seconds, ((ONLY, "\n".join(tests)),))


def scenario(name: str, seed: int, checked: bool) -> Command:
    """A few seconds of it."""
    argv = (PYTHON, "-c", MAIN, "run", "--scenario", name, "--seconds", str(SECONDS), "--seed", str(seed))
    more = ("--checked",) if checked else ("--no-checks",)
    return Command(f"{name} {'checked' if checked else 'fast'}", argv + more, SECONDS * 50, HERE)


def tries(mutant: Mutant) -> list[Command]:
    """The tests that run the function, the scenarios; all the tests of vmcore where none is known."""
    runs = [scenario(name, 1, checked) for name in SCENARIOS for checked in (True, False)]
    everything = pytest("all tests of vmcore", ["tests/vmcore"], 1800)
    if not mutant.file:
        record = ("-p", "ci.mutants.reach", "tests/vmcore")
        REACH.parent.mkdir(parents=True, exist_ok=True)
        return [pytest("all tests of vmcore", record, 3600, ((RECORD, str(REACH)),)), *runs]
    module, function = mutant.name.split(":")[:2]
    quick, rest = split(reaching(module, function))
    if not quick:
        near = tests_of(module)
        return [*([pytest("its tests", near, 600)] if near else []), *runs, everything]
    more = [chosen("the other tests", rest, 300)] if rest else []
    return [chosen("quick tests", quick, 40), *more, *runs]


SUITE = Suite(
    "vmcore",
    generated(),
    ("harness", "vmcore", "stress", "tests", "ci", "pyproject.toml"),
    tries,
    linked=("harness", "stress", "tests", "ci"),
)
