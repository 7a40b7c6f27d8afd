"""Shared records described row by row: guard, name, type, meaning.

One table of rows feeds the ctypes layout, the fingerprint that tells an arena of another
build, the checker, the legend of a dump, and the generated documentation.
Refuses two rows of one name, and a field that is not naturally aligned: a word that
is read without its lock must be written by one store.
"""

import ctypes
import hashlib
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from harness import _native
from harness.errors import ArenaError
from harness.handles import channel, mutex, rwlock

Row = tuple[str, str, Any, str]


class _Embedded(ctypes.Structure):
    """A lock record of the C core inside another record.

    ``view(arena, offset)`` makes the live lock object.
    """

    view: ClassVar[Callable[[Any, int], Any] | None] = None
    struct: ClassVar[str] = ""


def _words(struct: str) -> list[tuple[str, Any]]:
    """An array of 64-bit words: the C record's size with its 8-byte alignment."""
    return [("words", ctypes.c_uint64 * (_native.LAYOUT[struct][0] // 8))]


class MutexRecord(_Embedded):
    """Place for a ``struct hd_mutex``."""

    view = mutex.at
    struct = "hd_mutex"
    _fields_ = _words("hd_mutex")


class RwLockRecord(_Embedded):
    """Place for a ``struct hd_rwlock``."""

    view = rwlock.at
    struct = "hd_rwlock"
    _fields_ = _words("hd_rwlock")


class ChannelRecord(_Embedded):
    """Place for a ``struct hd_channel``."""

    view = channel.at
    struct = "hd_channel"
    _fields_ = _words("hd_channel")


def guarded(*rows: Row) -> tuple[list[tuple[str, Any]], dict[str, str], dict[str, str]]:
    """Split rows (guard, name, type, meaning) into (_fields_, GUARDS, NOTES)."""
    names = [name for _, name, _, _ in rows]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ArenaError(f"record has two rows named {min(twice)!r}")
    fields = [(name, kind) for _, name, kind, _ in rows]
    probe = type("Probe", (ctypes.Structure,), {"_fields_": fields})
    for name, kind in fields:
        at = _misaligned_word(kind, getattr(probe, name).offset)
        if at is not None:
            raise ArenaError(f"field {name!r} holds a word at offset {at}, which one store cannot write")
    return (
        fields,
        {name: guard for guard, name, _, _ in rows},
        {name: note for _, name, _, note in rows},
    )


def split_guard(guard: str) -> tuple[str, str]:
    """(letters needed to write, letters of which one is needed to read) of a row's guard.

    ``O``: that one for both.  ``OP``: both to write, either to read.  ``O/OPH``: O to write,
    any of the three to read.  ``O/?``: read by any thread, as a hint.
    """
    writes, slash, reads = guard.partition("/")
    return writes, reads if slash else writes


def _misaligned_word(kind: Any, at: int) -> int | None:
    """Offset of the first word inside a field that does not lie on a multiple of its size."""
    if issubclass(kind, ctypes.Array):
        # What is right for two neighbours is right for all.
        size = ctypes.sizeof(kind._type_)
        words = [(kind._type_, i * size) for i in range(min(2, kind._length_))]
    elif issubclass(kind, ctypes.Structure):
        words = [(field[1], getattr(kind, field[0]).offset) for field in kind._fields_]
    else:
        return at if at % ctypes.sizeof(kind) else None
    found = (_misaligned_word(inner, at + offset) for inner, offset in words)
    return next((wrong for wrong in found if wrong is not None), None)


def rows_of(record: type[ctypes.Structure]) -> list[tuple[str, int, int, str]]:
    """(name, offset, size, guard) of every field, in order."""
    guards: dict[str, str] = getattr(record, "GUARDS", {})
    rows = []
    for field in record._fields_:
        name = field[0]
        at = getattr(record, name)
        rows.append((name, at.offset, at.size, guards.get(name, "")))
    return rows


def fingerprint(records: Iterable[type[ctypes.Structure]] | type[ctypes.Structure]) -> int:
    """64-bit hash of names, offsets, sizes and guards: equal iff the layouts are."""
    if isinstance(records, type):
        records = (records,)
    digest = hashlib.blake2b(digest_size=8)
    for record in records:
        digest.update(f"{record.__name__}:{ctypes.sizeof(record)}:{rows_of(record)!r}".encode())
    return int.from_bytes(digest.digest(), "little")


def native_fingerprint() -> int:
    """The same for the structures of the C core."""
    digest = hashlib.blake2b(repr(sorted(_native.LAYOUT.items())).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def embedded_rows(record: type[ctypes.Structure]) -> list[tuple[str, type[_Embedded], int]]:
    """(field name, lock record type, offset) of the locks embedded in a record."""
    found = []
    for field in record._fields_:
        name, kind = field[0], field[1]
        if issubclass(kind, _Embedded):
            found.append((name, kind, getattr(record, name).offset))
    return found
