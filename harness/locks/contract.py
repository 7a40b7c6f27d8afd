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
import functools
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from harness import _native
from harness.errors import BadInput

F = TypeVar("F", bound=Callable[..., Any])
Row = tuple[int, tuple[str, ...], int]  # (position, path from there to the lock, state): as _native.Contract

MUTEX, READ, WRITE, EITHER, FREE = 1, 2, 3, 4, 5
RESULT, RESULT_FIRST = -1, -2  # positions of "result" and "result[0]"
EVERY_CLASS = (1 << 64) - 1
_KEYS = ("Enter", "Exit", "Takes", "Sleeps")
_STATES = {"locked": MUTEX, "read-locked": READ, "write-locked": WRITE, "unlocked": FREE}
_LINE = re.compile(r"^\s*(Enter|Exit|Takes|Sleeps):\s*(.*)$")
# "NAMES STATE", and after a comma what happens in between, for the reader.
_CLAUSE = re.compile(r"^(.+?) (locked|read-locked|write-locked|unlocked)(?:, .*)?$")
_PROSE = re.compile(r"\([^()]*\)")


@dataclass(frozen=True)
class Parsed:
    """What a docstring promises."""

    enter: tuple[Row, ...]
    exit: tuple[Row, ...]
    nothing: bool  # at entry this thread holds no mutex at all
    takes: tuple[str, ...] | None  # None: any
    sleeps: bool


@dataclass
class Seam:
    """One decorated function: its name, and what its name is bound to at present.

    The name is ``module.function``, with the last component of the module's: a file may move.
    """

    name: str
    where: str  # with the whole module
    function: Callable[..., Any]
    parsed: Parsed
    bound: Callable[..., Any]


SEAMS: dict[str, Seam] = {}


def parse(function: Callable[..., Any], contract_of: Callable[..., Any] | None = None) -> Parsed:
    """Read the contract in the docstring of a function (or of another one with the same parameters).

    BadInput names the function and the clause that cannot be read.
    """
    where = f"{function.__module__}.{function.__qualname__}"
    lines = _lines(contract_of or function)
    missing = [key for key in _KEYS if not lines.get(key)]
    if missing:
        raise BadInput(f"{where}: its docstring has no {missing[0]}: line")
    parameters = _parameters(function, contract_of)
    enter, nothing = _clauses(parameters, lines["Enter"], f"{where}: Enter")
    if lines["Exit"] in ("same", "as Enter"):
        leave = list(enter)
    else:
        leave, _ = _clauses(parameters, lines["Exit"], f"{where}: Exit")
    named = {row[:2] for row in leave}
    leave += [(row[0], row[1], FREE) for row in enter if row[2] != FREE and row[:2] not in named]
    takes = None
    if lines["Takes"] not in ("any", "anything"):
        takes = tuple(name for name in re.split(r",\s*", lines["Takes"]) if name and name != "nothing")
    sleeps = lines["Sleeps"].split(",")[0].split()[0]
    if sleeps not in ("never", "yes"):
        raise BadInput(f"{where}: Sleeps: is {lines['Sleeps']!r}, neither 'never' nor 'yes'")
    return Parsed(tuple(enter), tuple(leave), nothing, takes, sleeps == "yes")


def _lines(function: Callable[..., Any]) -> dict[str, str]:
    """The contract lines of a docstring; an indented line without a key continues the one before."""
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
    return {key: _without_prose(text).strip().rstrip(".").strip() for key, text in found.items()}


def _without_prose(text: str) -> str:
    """Brackets hold what only a reader understands; they may be nested."""
    while (shorter := _PROSE.sub("", text)) != text:
        text = shorter
    return text


def _parameters(function: Callable[..., Any], contract_of: Callable[..., Any] | None) -> list[str]:
    """Names by position.  One that takes ``*args`` has the parameters of the one whose contract it keeps."""
    parameters = inspect.signature(function).parameters.values()
    if contract_of and any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return list(inspect.signature(contract_of).parameters)
    return [one.name for one in parameters]


def _clauses(parameters: list[str], text: str, where: str) -> tuple[list[Row], bool]:
    rows: list[Row] = []
    nothing = False
    for clause in filter(None, (part.strip() for part in text.split(";"))):
        if clause in ("anything", "nothing", "nothing locked"):
            nothing = nothing or clause != "anything"
            continue
        match = _CLAUSE.match(clause)
        if match is None:
            raise BadInput(f"{where}: clause {clause!r} is not in the grammar of contracts")
        names = (name for name in re.split(r",\s*|\s+and\s+|\s+", match[1].strip()) if name)
        rows += [_row(parameters, name, match[2], where) for name in names]
    return rows, nothing


def _row(parameters: list[str], name: str, state: str, where: str) -> Row:
    head, *path = name.split(".")
    # A map has a read/write lock: "map locked" is satisfied by either kind of hold.
    is_map = name.rsplit(".", maxsplit=1)[-1] == "map" or name.endswith("_map")
    mode = EITHER if state == "locked" and is_map else _STATES[state]
    if head in ("result", "result[0]"):
        return (RESULT if head == "result" else RESULT_FIRST, tuple(path), mode)
    if head not in parameters:
        raise BadInput(f"{where}: {head!r} is no parameter (there are {', '.join(parameters)})")
    return (parameters.index(head), tuple(path), mode)


def contract(function: F) -> F:
    """Register a function with the contract of its docstring; calls are direct until bind().

    Errors: BadInput when a function of another module has the same ``module.function`` already.
    """
    where = f"{function.__module__}.{function.__qualname__}"
    name = where.removeprefix(f"{function.__module__.rpartition('.')[0]}.")
    other = SEAMS.get(name)
    if other is not None and other.where != where:
        raise BadInput(f"two steps would be named {name!r}: {other.where} and {where}")
    SEAMS[name] = Seam(name, where, function, parse(function), function)
    return function


def original(name: str) -> Callable[..., Any]:
    """The undecorated function of a seam.  BadInput for a name that is none."""
    return _seam(name).function


def _seam(name: str) -> Seam:
    seam = SEAMS.get(name)
    if seam is None:
        near = difflib.get_close_matches(name, SEAMS, n=1)
        raise BadInput(f"no step is named {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return seam


def bind(
    contracts: bool,
    replacements: Mapping[str, Callable[..., Any]] | None = None,
    class_ids: Mapping[str, int] | None = None,
) -> None:
    """Rebind every seam in every loaded module that holds it; again at will, e.g. after more imports.

    With ``contracts`` the calls are checked (``class_ids`` turns the names of Takes into bits);
    without, the raw function is called.  ``replacements`` puts other functions in the place of named
    steps: one without a contract of its own has the original's.
    Errors: BadInput (no such step, a class that is not declared); nothing is bound then.
    """
    wanted = {_seam(name).name: function for name, function in (replacements or {}).items()}
    bound = {seam.name: _bound(seam, wanted.get(seam.name), contracts, class_ids) for seam in SEAMS.values()}
    change: dict[int, Callable[..., Any]] = {}
    for seam in SEAMS.values():
        change[id(seam.function)] = change[id(seam.bound)] = bound[seam.name]
    old = [seam.bound for seam in SEAMS.values()]  # kept: a freed object's id could be another's
    for seam in SEAMS.values():
        seam.bound = bound[seam.name]
    for space in _namespaces():
        for key, value in list(space.items()):
            new = change.get(id(value))
            if new is not None and new is not value:
                space[key] = new
    del old


def unbind() -> None:
    """Every seam is its own raw function again."""
    bind(False)


def _bound(
    seam: Seam,
    replacement: Callable[..., Any] | None,
    contracts: bool,
    class_ids: Mapping[str, int] | None,
) -> Callable[..., Any]:
    if contracts:
        return _checked(seam, replacement or seam.function, class_ids or {})
    # A replacement's own module holds it too, and unbind must leave that alone: what we put in
    # the place of a seam is found again by identity, so it is an object of its own.
    return seam.function if replacement is None else _copy(replacement)


def _copy(function: Callable[..., Any]) -> Callable[..., Any]:
    """Another object that does the same, as fast as the first if it is a plain function."""
    if not isinstance(function, types.FunctionType):
        return functools.partial(function)
    twin = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    return functools.update_wrapper(twin, function)


def _checked(seam: Seam, function: Callable[..., Any], class_ids: Mapping[str, int]) -> Callable[..., Any]:
    parsed = seam.parsed
    if function is not seam.function:
        parsed = parse(function, None if _lines(function) else seam.function)
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


def _mask(takes: tuple[str, ...] | None, class_ids: Mapping[str, int], where: str) -> int:
    if takes is None:
        return EVERY_CLASS
    unknown = [name for name in takes if name not in class_ids]
    if unknown:
        raise BadInput(f"{where}: Takes: names {unknown[0]!r}, which is no lock class")
    return sum(1 << number for number in {class_ids[name] for name in takes})


def _namespaces() -> Iterator[dict[str, Any]]:
    """The globals of every loaded module but the standard library's, which cannot hold a seam."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] not in sys.stdlib_module_names or name == "__main__":
            space = getattr(module, "__dict__", None)
            if isinstance(space, dict) and space is not globals():
                yield space
