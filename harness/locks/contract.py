"""Contracts written in docstrings and checked, and the seams where a step is replaced.

A decorated function says in its docstring, one line each::

    Enter:  object, backing locked (prose in parentheses is not checked).
    Exit:   object locked.
    Takes:  object, page queues.
    Sleeps: never.

The lines are parsed at import, so a clause that means nothing is an error at once.
``bind`` then rebinds the name in every module that imported the function: to a checking
wrapper, to the raw function (no cost at all), or to a replacement.
"""

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from harness import _native
from harness.errors import BadInput

F = TypeVar("F", bound=Callable[..., Any])
Row = tuple[int, tuple[str, ...], int]

MUTEX, READ, WRITE, EITHER, FREE = 1, 2, 3, 4, 5
RESULT, RESULT_FIRST = -1, -2
_STATES = {
    "locked": MUTEX,
    "read-locked": READ,
    "write-locked": WRITE,
    "unlocked": FREE,
}
_LINE = re.compile(r"^\s*(Enter|Exit|Takes|Sleeps):\s*(.*)$")
# "NAMES STATE", and after a comma what happens in between, for the reader.
_CLAUSE = re.compile(r"^(.+?) (locked|read-locked|write-locked|unlocked)(?:, .*)?$")
_PROSE = re.compile(r"\([^()]*\)")


@dataclass(frozen=True)
class Parsed:
    """What a docstring promises."""

    enter: tuple[Row, ...]
    exit: tuple[Row, ...]
    nothing: bool
    takes: tuple[str, ...] | None  # None: any
    sleeps: bool


@dataclass
class Seam:
    """One decorated function: its name, and what its name is bound to at present."""

    name: str
    function: Callable[..., Any]
    parsed: Parsed
    bound: Callable[..., Any]


SEAMS: dict[str, Seam] = {}


def _lines(function: Callable[..., Any]) -> dict[str, str]:
    """The contract lines of a docstring; a line that follows without a key continues the one before."""
    found: dict[str, str] = {}
    key = ""
    for line in (inspect.getdoc(function) or "").splitlines():
        match = _LINE.match(line)
        if match:
            key = match[1]
            found[key] = match[2]
        elif key and line.startswith(" ") and line.strip():
            found[key] += " " + line.strip()
        else:
            key = ""
    while any("(" in text for text in found.values()):
        stripped = {key: _PROSE.sub("", text) for key, text in found.items()}
        if stripped == found:
            break
        found = stripped
    return {key: text.strip().rstrip(".").strip() for key, text in found.items()}


def _names(text: str) -> list[str]:
    return [name for name in re.split(r",\s*|\s+and\s+|\s+", text.strip()) if name]


def _row(function: Callable[..., Any], name: str, mode: int, where: str) -> Row:
    head, *path = name.split(".")
    parameters = list(inspect.signature(function).parameters)
    if head in ("result", "result[0]"):
        return (RESULT if head == "result" else RESULT_FIRST, tuple(path), mode)
    if head not in parameters:
        raise BadInput(f"{where}: {head!r} is no parameter of {function.__qualname__}")
    return (parameters.index(head), tuple(path), mode)


def _clauses(function: Callable[..., Any], text: str, where: str) -> tuple[list[Row], bool]:
    rows: list[Row] = []
    nothing = False
    for clause in filter(None, (part.strip() for part in text.split(";"))):
        if clause in ("anything", "nothing", "nothing locked"):
            nothing = nothing or clause != "anything"
            continue
        match = _CLAUSE.match(clause)
        if match is None:
            raise BadInput(f"{where}: clause {clause!r} is not in the grammar of contracts")
        subject, state = match[1], match[2]
        mode = EITHER if clause.endswith("map locked") else _STATES[state]
        rows += [_row(function, name, mode, where) for name in _names(subject)]
    return rows, nothing


def parse(function: Callable[..., Any]) -> Parsed:
    """Read the contract of a function from its docstring.  BadInput names what cannot be read."""
    where = f"{function.__module__}.{function.__qualname__}"
    lines = _lines(function)
    missing = [key for key in ("Enter", "Exit", "Takes", "Sleeps") if key not in lines]
    if missing:
        raise BadInput(f"{where}: its docstring has no {missing[0]}: line")
    enter, nothing = _clauses(function, lines["Enter"], where)
    if lines["Exit"] in ("same", "as Enter"):
        leave = list(enter)
    else:
        leave, _ = _clauses(function, lines["Exit"], where)
    named = {row[:2] for row in leave}
    leave += [(row[0], row[1], FREE) for row in enter if row[2] != FREE and row[:2] not in named]
    takes = None
    if lines["Takes"] not in ("any", "anything"):
        takes = tuple(name for name in re.split(r",\s*", lines["Takes"]) if name and name != "nothing")
    if lines["Sleeps"].split(",")[0].split()[0] not in ("never", "yes"):
        raise BadInput(f"{where}: Sleeps: is {lines['Sleeps']!r}, neither 'never' nor 'yes'")
    return Parsed(tuple(enter), tuple(leave), nothing, takes, lines["Sleeps"].startswith("yes"))


def contract(function: F) -> F:
    """Register a function with the contract of its docstring; calls are direct until bind()."""
    name = f"{function.__module__}.{function.__qualname__}"
    SEAMS[name] = Seam(name, function, parse(function), function)
    return function


def original(name: str) -> Callable[..., Any]:
    """The undecorated function of a seam."""
    return _seam(name).function


def _seam(name: str) -> Seam:
    seam = SEAMS.get(name)
    if seam is None:
        near = difflib.get_close_matches(name, SEAMS, n=1)
        raise BadInput(f"no step is named {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return seam


def _mask(takes: tuple[str, ...] | None, class_ids: Mapping[str, int], where: str) -> int:
    if takes is None:
        return (1 << 64) - 1
    unknown = [name for name in takes if name not in class_ids]
    if unknown:
        raise BadInput(f"{where}: Takes: names {unknown[0]!r}, which is no lock class")
    return sum(1 << class_ids[name] for name in set(takes))


def _guarded(seam: Seam, function: Callable[..., Any], class_ids: Mapping[str, int]) -> Callable[..., Any]:
    parsed = seam.parsed
    if function is not seam.function and "Enter:" in (function.__doc__ or ""):
        parsed = parse(function)
    checked = _native.Contract(
        function,
        parsed.enter,
        parsed.exit,
        parsed.sleeps,
        _mask(parsed.takes, class_ids, seam.name),
        parsed.nothing,
    )
    checked.__dict__.update(
        __name__=function.__name__, __qualname__=function.__qualname__, __doc__=function.__doc__
    )
    return checked


def _modules() -> Iterable[Any]:
    prefixes = {name.split(".")[0] for name in SEAMS}
    return [
        module
        for name, module in list(sys.modules.items())
        if name.split(".")[0] in prefixes | {"stress", "tests"}
    ]


def bind(
    contracts: bool,
    replacements: Mapping[str, Callable[..., Any]] | None = None,
    class_ids: Mapping[str, int] | None = None,
) -> None:
    """Rebind every seam in every loaded module that knows it.

    With ``contracts`` the calls are checked (``class_ids`` turns the names of Takes into bits);
    without, the raw function is called.  ``replacements`` puts others in the place of named steps.
    """
    wanted = dict(replacements or {})
    for name in wanted:
        _seam(name)
    change: dict[int, Callable[..., Any]] = {}
    for seam in SEAMS.values():
        function = wanted.get(seam.name, seam.function)
        new = _guarded(seam, function, class_ids or {}) if contracts else function
        for old in (seam.function, seam.bound):
            change[id(old)] = new
        seam.bound = new
    for module in _modules():
        space = vars(module)
        for key, value in list(space.items()):
            if id(value) in change and callable(value):
                space[key] = change[id(value)]


def unbind() -> None:
    """Every seam is its own raw function again."""
    bind(False)
