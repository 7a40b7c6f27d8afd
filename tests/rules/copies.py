"""What a defect file repeats of vmcore: two definitions, on the statements of functions.

A function is read as the list of its statements in the order of the text: a simple statement is
itself, a compound one is its head (``if object.shadow``, ``while True``) followed by what is in it.
Docstrings, comments, layout and the signature do not count; names do, so ``obj`` is not ``object``.

*Slight* are the statements that any two functions of the core may share: to lock or unlock, and to
leave (``return`` of nothing or of a constant, ``break``, ``continue``).  They are not counted: a
``lock.acquire()`` and ``lock.release()`` around one own line is how a step is called, and so are the
two around the call of another step, with a look at its answer.

A file repeats vmcore when one of its functions, whatever it is for,

* has, in a row, RUN statements that count, with slight ones between, and a function of vmcore, any
  of them, has the same row: it was copied from there, and will not follow when that changes; or
* replaces a step, has LONG statements that count or more, and more than half of them are those of
  the replaced step, in the same order, whatever stands between: the defect is in the rest, so the
  rest is a step that vmcore does not have yet.

Fewer than RUN in a row are not a copy.  Two lines that belong together (unlink here, link there) are
the vocabulary of the core, and a step of its own for each pair would be harder to read than both.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

RUN, LONG = 3, 4
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Copy:
    """One repetition: which function, of which step of vmcore, by which definition, and the lines."""

    function: str
    of: str
    kind: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        shown = "; ".join(self.lines)
        return f"{self.function}() repeats {len(self.lines)} statements {self.kind} of {self.of}(): {shown}"


def copies(text: str, core: Mapping[str, list[str]]) -> list[Copy]:
    """What this defect file repeats of the functions in ``core``; at most one row for each function."""
    tree = ast.parse(text)
    replaces = replacements(tree)
    found = []
    for function in functions(tree):
        mine = statements(function)
        copy = longest_run(function.name, mine, core)
        if copy is None and (step := replaces.get(function.name)) in core:
            copy = most_of(function.name, mine, str(step), core[str(step)])
        if copy is not None:
            found.append(copy)
    return found


def functions_of_core(root: Path) -> dict[str, list[str]]:
    """The statements of every function below ``root``/vmcore by ``module.function``, as seams are named.

    Two modules of one name that have functions of one name share an entry; a row cannot cross it.
    """
    found: dict[str, list[str]] = {}
    for path in sorted((root / "vmcore").rglob("*.py")):
        for function in functions(ast.parse(path.read_text())):
            found.setdefault(f"{path.stem}.{function.name}", []).extend([*statements(function), ""])
    return found


def longest_run(name: str, mine: list[str], core: Mapping[str, list[str]]) -> Copy | None:
    """The longest row of equal statements, if it is one by the first definition."""
    best: list[str] = []
    of = ""
    for step, theirs in core.items():
        for there, line in enumerate(theirs):
            for at in (number for number, own in enumerate(mine) if own == line):
                run = common_start(mine[at:], theirs[there:])
                if len(run) > len(best) and counted(run) >= RUN:
                    best, of = run, step
    return Copy(name, of, "in a row", tuple(best)) if best else None


def most_of(name: str, mine: list[str], step: str, theirs: list[str]) -> Copy | None:
    """The statements that a replacement shares with what it replaces, if they are most of it."""
    own = [line for line in mine if not slight(line)]
    shared = in_common(own, theirs)
    if len(own) < LONG or 2 * len(shared) <= len(own):
        return None
    return Copy(name, step, f"of its {len(own)} (most)", tuple(shared))


def common_start(left: list[str], right: list[str]) -> list[str]:
    run = []
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        run.append(one)
    return run


def in_common(left: list[str], right: list[str]) -> list[str]:
    """The longest list of lines that both have in the same order."""
    rows: list[list[str]] = [[] for _ in range(len(right) + 1)]
    for line in left:
        before = rows
        rows = [[]]
        for number, other in enumerate(right):
            longer = [*before[number], line] if line == other else []
            rows.append(max(longer, before[number + 1], rows[number], key=len))
    return rows[-1]


def counted(lines: list[str]) -> int:
    return sum(not slight(line) for line in lines)


@cache
def slight(line: str) -> bool:
    """Whether it only does something with a lock, or leaves."""
    node = ast.parse(f"{line} pass" if line.endswith(":") else line).body[0]
    if isinstance(node, ast.Return):
        return node.value is None or isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        verb = node.value.func
        return isinstance(verb, ast.Attribute) and ast.unparse(verb.value).endswith("lock")
    return isinstance(node, ast.Break | ast.Continue | ast.Pass)


def replacements(tree: ast.Module) -> dict[str, str]:
    """Local function -> the step that it replaces, of every ``replacements={...}`` with plain names."""
    return {
        value.id: str(ast.literal_eval(key))
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "replacements" and isinstance(node.value, ast.Dict)
        for key, value in zip(node.value.keys, node.value.values, strict=True)
        if key is not None and isinstance(value, ast.Name)
    }


def functions(tree: ast.Module) -> Iterator[Function]:
    """Those of the module and of its classes; what is defined within one is part of it."""
    for node in tree.body:
        body = node.body if isinstance(node, ast.ClassDef) else [node]
        yield from (one for one in body if isinstance(one, Function))


def statements(function: Function) -> list[str]:
    """One line for each statement, in the order of the text, without docstrings."""
    return [line for node in without_docstring(function.body) for line in flat(node)]


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest
    return body


def flat(node: ast.stmt) -> Iterator[str]:
    """The lines of one statement.  ``else`` and ``finally`` have no line; what is in them has."""
    match node:
        case ast.If(test=test) | ast.While(test=test):
            yield f"{'if' if isinstance(node, ast.If) else 'while'} {ast.unparse(test)}:"
        case ast.For(target=target, iter=over):
            yield f"for {ast.unparse(target)} in {ast.unparse(over)}:"
        case ast.With(items=items):
            yield f"with {', '.join(ast.unparse(item) for item in items)}:"
        case ast.Assert() | ast.Try() | ast.Match() | ast.FunctionDef():
            pass
        case _:
            yield ast.unparse(node)
    for field in ("body", "handlers", "cases", "orelse", "finalbody"):
        for inner in getattr(node, field, ()):
            if isinstance(inner, ast.stmt):
                yield from flat(inner)
            else:
                for line in inner.body:
                    yield from flat(line)
