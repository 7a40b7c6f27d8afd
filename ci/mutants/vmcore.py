"""Generated errors of vmcore, and who has to notice: its tests, then scenarios, fast and checked.

What only looks (audits, the instant looks, pictures, guards) and what only declares (records, ranks,
sizes) is left out.  vmcore.md beside this file argues for those that nothing can notice.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ci.mutants.engine import ROOT, Command, Mutant, Suite
from ci.mutants.generate import errors

LOOKS_OR_DECLARES = re.compile(
    r"(audit|instant|show)\w*|__init__|bypass_look|colours|config|constants|guards|inspect|ranks|stats"
    r"|structs|trail|vm|vm_error|vmspace_look|boot_steps|sweep|page_flags"
)
PYTHON = str(ROOT / ".venv/bin/python")
HERE = (("PYTHONPATH", "{root}"), ("PYTHONDONTWRITEBYTECODE", "1"))
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
    for path in sorted((ROOT / "vmcore").glob("*.py")):
        if not LOOKS_OR_DECLARES.fullmatch(path.stem):
            for name, old, new in errors(path.stem, path.read_text()):
                made.append(Mutant(name, f"vmcore/{path.name}", old, new, argued.get(name, "")))
    return tuple(made)


def tests_of(module: str) -> list[str]:
    """Test files: those of the module's name, then those that import it."""
    named, users = [], []
    for path in sorted((ROOT / "tests/vmcore").glob("test_*.py")):
        name, text = str(path.relative_to(ROOT)), path.read_text()
        if path.stem.startswith(f"test_{module}"):
            named.append(name)
        elif f"vmcore.{module} " in text:
            users.append(name)
    return named + users


def pytest(name: str, files: Sequence[str], limit: float) -> Command:
    """Stop at the first failure."""
    options = ("-q", "-x", "-p", "no:cacheprovider", "-m", "not slow")
    return Command(name, (PYTHON, "-m", "pytest", *options, *files), limit, HERE)


def scenario(name: str, seed: int, checked: bool) -> Command:
    """A few seconds of it."""
    argv = (PYTHON, "-c", MAIN, "run", "--scenario", name, "--seconds", str(SECONDS), "--seed", str(seed))
    more = ("--checked",) if checked else ("--no-checks",)
    return Command(f"{name} {'checked' if checked else 'fast'}", argv + more, SECONDS * 10, HERE)


def tries(mutant: Mutant) -> list[Command]:
    """The tests that know the module, the scenarios, and then all the tests of vmcore."""
    runs = [scenario(name, 1, checked) for name in SCENARIOS for checked in (True, False)]
    everything = pytest("all tests of vmcore", ["tests/vmcore"], 900)
    if not mutant.file:
        return [everything, *runs]
    near = tests_of(Path(mutant.file).stem)
    first = [pytest("its tests", near, 240)] if near else []
    return [*first, *runs, everything]


SUITE = Suite(
    "vmcore",
    generated(),
    ("harness", "vmcore", "stress", "tests", "pyproject.toml"),
    tries,
)
