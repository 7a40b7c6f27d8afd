"""A record of a program in the arena, described by a class with annotations or a dict.

It is a table of one row: what it begins with is written before any other process can find it, and
again when the one that made it was killed before that (``_ready`` is written last).
"""

import ctypes
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_origin, get_type_hints

from harness.errors import ArenaError, BadInput
from harness.shm.layout import guarded

WORDS: dict[Any, Any] = {int: ctypes.c_int64, float: ctypes.c_double, bool: ctypes.c_bool}
_CTYPES = (ctypes._SimpleCData, ctypes.Array, ctypes.Structure)
_POINTERS = ("z", "Z", "P", "O")  # codes of c_char_p, c_wchar_p, c_void_p, py_object
OWN = ("slot", "address", "_arena", "_described", "_name")
_READY = "_ready"
_BUILT: dict[Any, tuple[type["Record"], dict[str, Any]]] = {}


class Record(ctypes.Structure):
    """Made by Arena.record(): attributes in shared memory.

    ``address``: offset in the arena, in bytes.  An attribute that is no field cannot be set.
    """

    __slots__ = OWN  # and no __dict__: a misspelt field is an error, not a private word of one process

    def __init__(self) -> None:
        """A view of the arena is not made by calling its type: it would be private memory."""
        raise BadInput("a Record is made by Arena.record(), not by its type")

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...

    def __reduce__(self) -> tuple[Any, ...]:
        """It travels to other processes as a link to the arena, which they attach to."""
        return (attach_record, (self._arena, self._described, self._name))

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{field[0]}={getattr(self, field[0])!r}" for field in self._fields_ if field[0] != _READY
        )
        return f"<{type(self).__name__} {shown}>"


def open_record(arena: Any, fields: Any, name: str) -> Any:
    """The record of this name, made the first time.  Exclusive: the caller has the arena's registry.

    Errors: BadInput, TableFull, StaleArena.
    """
    kind, initial = _built(fields)
    if not isinstance(name, str):
        raise BadInput(f"name={name!r}: it must be a str")
    name = name or _fresh_name(arena, kind.__name__)
    record = arena.table(name, kind, 0 if arena.entry(name) else 1)[1]
    record._arena, record._described, record._name = arena, fields, name
    if not arena.read_only and not getattr(record, _READY):
        for field, value in initial.items():
            setattr(record, field, value)
        setattr(record, _READY, 1)
    return record


def _fresh_name(arena: Any, kind: str) -> str:
    number = int(arena.header.directory_count)
    while arena.entry(f"{kind[:32]}#{number}"):
        number += 1
    return f"{kind[:32]}#{number}"


def attach_record(arena: Any, fields: Any, name: str) -> Any:
    """What a pickled record becomes."""
    return arena.record(fields, name)


def _built(fields: Any) -> tuple[type[Record], dict[str, Any]]:
    """(type, what it begins with) of a description.  BadInput for one that means nothing."""
    if isinstance(fields, type):
        key: Any = fields
    elif isinstance(fields, Mapping):
        key = tuple((name, type(value), value) for name, value in fields.items())
    else:
        raise BadInput(
            f"fields={fields!r}: it must be a class with annotations, or a dict of names and types"
        )
    if key not in _BUILT:
        _BUILT[key] = _build(fields)
    return _BUILT[key]


def _build(fields: Any) -> tuple[type[Record], dict[str, Any]]:
    own = (fields,) if isinstance(fields, type) else ()
    rows: dict[Any, Any]
    if isinstance(fields, type):
        name, rows = fields.__name__, get_type_hints(fields, include_extras=True)
        initial = {field: getattr(fields, field) for field in rows if hasattr(fields, field)}
    else:
        name = "Record"
        rows = {field: kind if isinstance(kind, type) else type(kind) for field, kind in fields.items()}
        initial = {field: value for field, value in fields.items() if not isinstance(value, type)}
    rows = {field: _without_annotation(kind) for field, kind in rows.items()}
    if not rows:
        raise BadInput(f"fields={fields!r}: it has no field; one is written with its type: `items: int`")
    for field, kind in rows.items():
        if not isinstance(field, str) or not field.isidentifier() or field in (*OWN, _READY):
            raise BadInput(
                f"field {field!r} of a record: it must be an identifier, and none of {' '.join(OWN)}"
            )
        if kind not in WORDS and not _is_shareable(kind):
            raise BadInput(f"field {field!r} of a record: {kind!r} is no int, float, bool or ctypes type")
        if field in initial and kind in WORDS and not isinstance(initial[field], int | kind):
            raise BadInput(f"field {field!r} of a record: it cannot begin as {initial[field]!r}")
    try:
        laid, guards, notes = guarded(
            *(("", field, WORDS.get(kind, kind), "") for field, kind in rows.items()),
            ("", _READY, ctypes.c_uint64, "what it begins with has been written"),
        )
        space = {"_fields_": laid, "GUARDS": guards, "NOTES": notes, "__slots__": (), "__module__": __name__}
        doc = fields.__doc__ if own else Record.__doc__
        return type(name, (*own, Record), {**space, "__doc__": doc}), initial
    except (ArenaError, TypeError) as error:
        raise BadInput(f"fields={fields!r}: no record can be made of it: {error}") from None


def _without_annotation(kind: Any) -> Any:
    """The type of ctypes in ``Annotated[int, ctypes.c_uint32]``; anything else as it is."""
    return kind.__metadata__[0] if get_origin(kind) is Annotated else kind


def _is_shareable(kind: Any) -> bool:
    """A type of ctypes that means the same in every process: no pointer."""
    return (
        isinstance(kind, type) and issubclass(kind, _CTYPES) and getattr(kind, "_type_", "") not in _POINTERS
    )
