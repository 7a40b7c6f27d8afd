"""The rooms of vmcore and stress: which package stands on which, how deep, and how flat.

A row may import from rows above it, and from itself; imports for type checkers only count as well.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules.test_architecture import ROOT, module_name, plant, shown, sources

# From the ground up; what stands in one row does not know of each other.
LEVELS: dict[str, list[set[str]]] = {
    "vmcore": [
        {"config", "constants", "ranks", "structs"},
        {"io", "vm_error"},
        {"vm"},
        {"page_events", "pmap", "stats"},
        {"checked", "page"},
        {"pager"},
        {"object"},
        {"audit", "boot", "map", "pageout", "shutdown"},
        {"fault", "show"},
        {"space"},
    ],
    "stress": [
        {"disk_faults", "oracles"},
        {"dump_sections", "ops", "script"},
        {"defect", "scenario", "trace"},
        {"defects", "run", "scenarios"},
        {"detect", "fuzz"},
        {"cli"},
    ],
}
MOST_FLAT = {"vmcore": 12, "stress": 4}
MOST_TYPE_ONLY = 5  # blocks of imports that only a type checker runs


def imports_of(tree: ast.AST, known: set[str]) -> Iterator[tuple[int, str]]:
    """Line and module of every import of ours; ``from package import module`` is the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in known or node.module in known:
                    yield node.lineno, whole if whole in known else node.module


def modules(root: Path, package: str) -> dict[str, Path]:
    return {module_name(root, path): path for path in sources(root, (package,)) if path.suffix == ".py"}


def level_of(package: str, module: str) -> int | None:
    """Where the room of a module stands; None: the root, which stands above all."""
    room = module.split(".")[1] if "." in module else ""
    if not room:
        return len(LEVELS[package])
    return next((number for number, rooms in enumerate(LEVELS[package]) if room in rooms), None)


def rooms_stand_on_lower_rooms(root: Path) -> Iterator[str]:
    for package in LEVELS:
        known = modules(root, package)
        for module, path in known.items():
            home = level_of(package, module)
            if home is None:
                yield f"{shown(root, path)}: its room is in no row of LEVELS"
                continue
            for line, other in imports_of(ast.parse(path.read_text()), set(known)):
                level = level_of(package, other)
                same = module.split(".")[:2] == other.split(".")[:2]
                if not same and (level is None or level >= home):
                    yield f"{shown(root, path)}:{line}: {other} does not stand below it"


def imports_make_no_circle(root: Path) -> Iterator[str]:
    for package in ("harness", *LEVELS):
        known = modules(root, package)
        below = {
            module: {
                other for _, other in imports_of(ast.parse(path.read_text()), set(known)) if other != module
            }
            for module, path in known.items()
        }
        while free := [module for module, others in below.items() if not others]:
            for module in free:
                del below[module]
            for others in below.values():
                others.difference_update(free)
        # What is left lies on a circle, or stands on one; name those that stand below another one.
        for module in sorted(set(below) & set().union(*below.values())):
            yield f"{shown(root, known[module])}: lies on a circle of imports, or below one"


def folders_are_not_flat(root: Path) -> Iterator[str]:
    for package, most in MOST_FLAT.items():
        files = sorted((root / package).glob("*.py"))
        if len(files) > most:
            yield f"{package}: {len(files)} files lie flat, the limit is {most}"


def imports_for_types_are_few(root: Path) -> Iterator[str]:
    blocks = [
        f"{shown(root, path)}:{node.lineno}"
        for path in sources(root, ("harness", *LEVELS))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    if len(blocks) > MOST_TYPE_ONLY:
        yield f"{blocks[0]}: {len(blocks)} blocks of imports for types, the limit is {MOST_TYPE_ONLY}"


RULES = [rooms_stand_on_lower_rooms, imports_make_no_circle, folders_are_not_flat, imports_for_types_are_few]
FINE = {
    "harness/clock.py": "import os\n",
    "vmcore/__init__.py": "from vmcore.fault.fault import vm_fault\n",
    "vmcore/structs.py": "x = 1\n",
    "vmcore/fault/fault.py": "from vmcore import structs\nfrom vmcore.map.map import look\n",
    "vmcore/map/map.py": "from vmcore.structs import x\n",
    "stress/__init__.py": "",
    "stress/run/world.py": "from vmcore.structs import x\n",
}
LATE = "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from vmcore.structs import x\n"
PLANTED = [
    (rooms_stand_on_lower_rooms, {"vmcore/map/clip.py": "from vmcore.fault.fault import y\n"}),
    (rooms_stand_on_lower_rooms, {"vmcore/map/clip.py": "def late():\n    import vmcore.fault.fault\n"}),
    (rooms_stand_on_lower_rooms, {"vmcore/cellar/thing.py": ""}),
    (imports_make_no_circle, {"vmcore/structs.py": "def late():\n    from vmcore.map.map import look\n"}),
    (folders_are_not_flat, {f"vmcore/more{number}.py": "" for number in range(12)}),
    (imports_for_types_are_few, {f"vmcore/map/more{number}.py": LATE for number in range(6)}),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_this_tree_keeps(rule):
    assert list(rule(ROOT)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_tidy_tree_passes(rule, tmp_path):
    plant(tmp_path, FINE)

    assert list(rule(tmp_path)) == []


@pytest.mark.parametrize(("rule", "files"), PLANTED, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_violation_is_named(rule, files, tmp_path):
    plant(tmp_path, {**FINE, **files})

    assert list(rule(tmp_path))
