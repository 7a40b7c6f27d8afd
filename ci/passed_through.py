"""How many files one value is passed through: what a reader must open to follow it.

    python -m ci.passed_through                                            the table of what is kept small
    python -m ci.passed_through stress.run.runner:run options              one value, with every place
    python -m ci.passed_through --parts stress.run.runner:run options      its parts as well

In the sources: from the function on every call that hands the value on is followed, on every path, under
whatever name it has there, also through ``partial`` and into a constructor.  With ``--parts`` so is what is
computed from it in the call itself (``options.seed``), but for the text of an error.  A callee that is only
known at run time counts when one function alone has its name.

At run time (the faults of the table): the files in which a function was called with this very value.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

from harness.shm.arena import Arena

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("harness", "vmcore", "stress")
Place = tuple[str, str]  # module, name of a function or Class.method


@dataclass
class Module:
    """One file: what it defines, and what its names mean."""

    name: str
    tree: ast.Module
    functions: dict[str, ast.FunctionDef] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)
    imported: dict[str, Place] = field(default_factory=dict)  # local name -> (module, name or "")

    def __post_init__(self) -> None:
        """Read the definitions."""
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef):
                self.functions[node.name] = node
            elif isinstance(node, ast.ClassDef):
                self.classes.add(node.name)
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef):
                        self.functions[f"{node.name}.{inner.name}"] = inner
        for known in ast.walk(self.tree):
            if isinstance(known, ast.ImportFrom) and known.module:
                for alias in known.names:
                    self.imported[alias.asname or alias.name] = (known.module, alias.name)
            elif isinstance(known, ast.Import):
                for alias in known.names:
                    self.imported[alias.asname or alias.name] = (alias.name, "")


class Tree:
    """All modules of our packages."""

    def __init__(self, root: Path) -> None:
        self.modules = {
            name: Module(name, ast.parse(path.read_text(encoding="utf-8")))
            for package in PACKAGES
            for path in sorted((root / package).rglob("*.py"))
            if (name := ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"))
        }

    @cached_property
    def methods(self) -> dict[str, list[Place]]:
        """Methods of all classes by their last name."""
        found: dict[str, list[Place]] = {}
        for module in self.modules.values():
            for name in module.functions:
                if "." in name:
                    found.setdefault(name.split(".")[1], []).append((module.name, name))
        return found

    def defined(self, module: str, name: str) -> Place | None:
        """Where a name that a module knows is defined, through re-exports."""
        home = self.modules.get(module)
        if home is None:
            return None
        if name in home.functions:
            return module, name
        if name in home.classes:
            return (module, f"{name}.__init__") if f"{name}.__init__" in home.functions else None
        if name in home.imported:
            source, inner = home.imported[name]
            return self.defined(source, inner)
        return None

    def callee(self, here: Place, target: ast.expr) -> Place | None:
        """The function that a call in ``here`` means."""
        module = self.modules[here[0]]
        if isinstance(target, ast.Name):
            return self.defined(here[0], target.id)
        if not isinstance(target, ast.Attribute):
            return None
        if isinstance(target.value, ast.Name):
            owner = target.value.id
            if owner == "self" and "." in here[1]:
                own = f"{here[1].split('.')[0]}.{target.attr}"
                if own in module.functions:
                    return here[0], own
            if owner in module.imported:
                source, inner = module.imported[owner]
                return self.defined(f"{source}.{inner}" if inner else source, target.attr) or self.method_of(
                    source, inner, target.attr
                )
            if owner in module.classes and f"{owner}.{target.attr}" in module.functions:
                return here[0], f"{owner}.{target.attr}"
        places = self.methods.get(target.attr, [])
        return places[0] if len(places) == 1 else None

    def method_of(self, module: str, owner: str, name: str) -> Place | None:
        """A method of an imported class, called through the class."""
        home = self.modules.get(module)
        if home is not None and f"{owner}.{name}" in home.functions:
            return module, f"{owner}.{name}"
        return None


def parameters(function: ast.FunctionDef, place: Place) -> list[str]:
    """Names in the order of positional arguments, without ``self``; then the keyword-only ones."""
    positional = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    static = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in function.decorator_list)
    if "." in place[1] and not static:
        positional = positional[1:]
    return [*positional, *(one.arg for one in function.args.kwonlyargs)]


def is_handed(value: ast.expr, parameter: str, parts: bool) -> bool:
    """Is the argument the value itself, or computed from it?"""
    nodes = ast.walk(value) if parts else [value]
    return any(isinstance(node, ast.Name) and node.id == parameter for node in nodes)


def calls(function: ast.FunctionDef) -> Iterator[ast.Call]:
    """All calls in a function; what is raised is made of text."""
    raised = {
        id(inner) for node in ast.walk(function) if isinstance(node, ast.Raise) for inner in ast.walk(node)
    }
    return (node for node in ast.walk(function) if isinstance(node, ast.Call) and id(node) not in raised)


def handed_on(tree: Tree, place: Place, parameter: str, parts: bool) -> Iterator[tuple[Place, str]]:
    """Each (function, parameter) that gets the value from this one."""
    for call in calls(tree.modules[place[0]].functions[place[1]]):
        target, args = call.func, call.args
        if isinstance(target, ast.Name) and target.id == "partial" and args:
            target, args = args[0], args[1:]
        given: list[tuple[int | str, ast.expr]] = [*enumerate(args)]
        given += [(word.arg, word.value) for word in call.keywords if word.arg]
        found = tree.callee(place, target)
        if found is None:
            continue
        names = parameters(tree.modules[found[0]].functions[found[1]], found)
        for at, value in given:
            if not is_handed(value, parameter, parts):
                continue
            if isinstance(at, str) and at in names:
                yield found, at
            elif isinstance(at, int) and at < len(names):
                yield found, names[at]


def followed(tree: Tree, start: Place, parameter: str, parts: bool = False) -> set[Place]:
    """Every function that the value reaches."""
    seen, waiting = {(start, parameter)}, [(start, parameter)]
    while waiting:
        place, name = waiting.pop()
        for found in handed_on(tree, place, name, parts):
            if found not in seen:
                seen.add(found)
                waiting.append(found)
    return {place for place, _ in seen}


def called_with(value: object, function: Callable[..., Any], body: Callable[[], object]) -> set[Place]:
    """The functions that are called with the value while ``body`` runs ``function``, itself among them."""
    seen: set[Place] = set()
    inside: list[FrameType] = []

    def event(frame: FrameType, what: str, _arg: object) -> None:
        if what == "call" and (inside or frame.f_code is function.__code__):
            names = frame.f_code.co_varnames[: frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount]
            if any(frame.f_locals.get(name) is value for name in names):
                seen.add((str(frame.f_globals["__name__"]), frame.f_code.co_qualname))
            if frame.f_code is function.__code__:
                inside.append(frame)
        elif what == "return" and inside and frame is inside[-1]:
            inside.pop()

    sys.setprofile(event)
    try:
        body()
    finally:
        sys.setprofile(None)
    return seen


def files(places: set[Place]) -> dict[str, list[str]]:
    """The functions by their files."""
    found: dict[str, list[str]] = {}
    for module, name in sorted(places):
        found.setdefault(module, []).append(name)
    return found


def faults() -> dict[str, set[Place]]:
    """What one fault of each usual kind passes the VM through, in a VM of its own."""
    import vmcore
    from vmcore.fault.fault import vm_fault

    config = vmcore.Config(pages=64, files=(1 << 16,))
    arena = Arena.create("passed-through", size=vmcore.arena_size(config, 8), seats=8)
    vm = vmcore.boot(arena, config)
    parent = vmcore.vmspace_alloc(vm)
    assert parent is not None
    region, page = vmcore.space_map(vm, parent), bytes(vm.page_size)
    start = vmcore.vm_allocate(vm, region, vm.page_size)
    shown = vmcore.vm_map_file(vm, region, vm.vnodes.views[1], vm.page_size)
    inner = getattr(vm_fault, "__wrapped__", vm_fault)
    found = {"first store": called_with(vm, inner, lambda: vmcore.vm_write(vm, parent, start, page))}
    child = vmcore.vmspace_fork(vm, parent)
    found["store after a fork"] = called_with(vm, inner, lambda: vmcore.vm_write(vm, child, start, page))
    found["load of a file"] = called_with(vm, inner, lambda: vmcore.vm_read(vm, parent, shown))
    return found


def table() -> int:
    """Print the numbers that are kept small."""
    tree, run = Tree(ROOT), ("stress.run.runner", "run")
    rows = {
        "options of one run": followed(tree, run, "options"),
        "options of one run, with parts": followed(tree, run, "options", parts=True),
        **{f"vm of a fault, {kind}": places for kind, places in faults().items()},
    }
    for what, places in rows.items():
        print(f"{what:34}{len(files(places)):3} files {len(places):4} functions")
    return 0


def main(words: list[str]) -> int:
    """Print the files, with the functions in each, and how many there are; without words the table."""
    if not words:
        return table()
    *parts, start, parameter = words
    module, _, name = start.partition(":")
    seen = followed(Tree(ROOT), (module, name), parameter, parts == ["--parts"])
    for home, functions in files(seen).items():
        print(f"{home}: {', '.join(functions)}")
    print(f"{parameter} of {name} is passed through {len(files(seen))} files, {len(seen)} functions")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
