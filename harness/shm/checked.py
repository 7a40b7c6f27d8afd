"""Records that check every access: is the guard held, and is this still the record that was meant?

``checked_type`` makes, from a record type and the rules of its rows, a class of the same layout whose
fields verify their guard; ``CheckedPool`` and ``CheckedTable`` hand out such records in the place of
plain ones, so the source of the system under test is the same for both.

A rule is what a row says (``harness.shm.layout.guarded``): to write, every letter must be held; to
read, any one of the read letters (those of the write part, if none are given), and ``?`` asks for
nothing.  ``=`` is written only while the record is *private*: made by this thread, and its own lock
not taken by any thread since; of a record without a lock the system under test says when it is.
``.`` is not checked.  What a letter means for a record is told by the
system under test, as a pair of questions about a view: may I read, may I write?

A view belongs to one life of its record: after a free every access through it is a stale one, also
when the record lives again.  Two views of one life are the same Python object.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock, get_ident
from types import FrameType
from typing import Any

from harness import _native
from harness.errors import StaleReference, TableFull, UnguardedAccess
from harness.shm import facts, native
from harness.shm.layout import MutexRecord, RwLockRecord, embedded_rows, split_guard
from harness.shm.pool import Pool
from harness.shm.table import Table

Ask = Callable[[Any], bool]  # about a view: does this thread hold what is needed?

REPORT_INVARIANT = _native.CONSTANTS["REPORT_INVARIANT"]
_REPORT = _native.CONSTANTS["REPORT_STALE"]  # shown as unguarded_access
_ACQUIRED: dict[Any, int] = {
    MutexRecord: native.Mutex.acquired.offset,
    RwLockRecord: native.RwLock.acquired.offset,
}
_outside: dict[int, int] = {}  # thread -> how deep it is in ``unguarded``


@contextmanager
def unguarded() -> Iterator[None]:
    """This thread looks without locks, and that is right: audits at rest, dumps."""
    me = get_ident()
    _outside[me] = _outside.get(me, 0) + 1
    try:
        yield
    finally:
        _outside[me] -= 1
        if not _outside[me]:
            del _outside[me]


def _never(_view: Any) -> bool:
    return False


@dataclass(frozen=True)
class Rules:
    """What the guards of one record type mean to the system under test."""

    letters: Mapping[str, tuple[Ask, Ask]]  # letter -> (may this thread read?, write?)
    held: Callable[[], str]  # the locks of this thread, for a sentence
    private: Ask = _never  # records that no other thread can reach
    prepare: Callable[[Any], None] | None = None  # done to every view that is made
    wrote: Mapping[str, Callable[[Any], None]] = field(default_factory=dict)  # field -> called after a write


class Place:
    """What a violation needs to know about where it happened."""

    def __init__(self, table: Table[Any], has_lives: bool, rules: Rules) -> None:
        self.arena, self.table, self.has_lives = table.arena, table.name, has_lives
        self.always_private, self.held = rules.private, rules.held
        own = {name: kind for name, kind, _ in embedded_rows(table.record_type)}
        self.acquired_at = _ACQUIRED.get(own.get("lock_"))  # inside the lock; None: no lock of its own

    def is_private(self, view: Any) -> bool:
        """No other thread can reach this record yet, or any more."""
        if self.always_private(view):
            return True
        if self.acquired_at is None or view._maker != get_ident():
            return False
        return bool(self.taken(view) == view._taken)

    def taken(self, view: Any) -> int:
        """How often the record's own lock was taken so far."""
        if self.acquired_at is None:
            return 0
        at = view.lock.offset + self.acquired_at
        return int.from_bytes(self.arena.mapping[at : at + 8], sys.byteorder)

    def refuse(self, view: Any, field: str, write: bool, needs: str, depth: int = 2) -> None:
        """Raise and report, unless this thread has said that it looks without locks."""
        if get_ident() in _outside or self.is_private(view):
            return
        where = site(sys._getframe(depth))
        error = UnguardedAccess(self.table, view.slot, field, write, needs, self.held(), where)
        facts.report(self.arena, _REPORT, str(error), facts.said_by(error))
        raise error

    def stale(self, view: Any, field: str, depth: int = 3) -> None:
        """The record was freed since this view was made."""
        if get_ident() not in _outside:
            raise self.stale_error(view.slot, view._life, int(view._generation(view)), field, depth)

    def stale_error(self, slot: int, held: int, now: int, what: str, depth: int) -> StaleReference:
        """The error, reported; ``depth`` is how far up the stack the access is."""
        error = StaleReference(self.table, slot, held, now)
        said = f"{error}; field {what}, {site(sys._getframe(depth))}; held: {self.held() or 'nothing'}"
        facts.report(self.arena, _REPORT, said, facts.said_by(error))
        return error


def site(frame: FrameType) -> str:
    """``folder/file:line function``: a report in the arena has room for a sentence, not for long paths."""
    path = "/".join(frame.f_code.co_filename.split("/")[-2:])
    return f"{path}:{frame.f_lineno} {frame.f_code.co_name}"


class CheckedField(property):
    """A field of a checked record; where it lies, as a ctypes field says it."""

    offset: int
    size: int


def checked_type(record: Any, place: Place, rules: Rules) -> Any:
    """The record type with checked fields.  A letter without a meaning is a KeyError naming it."""
    space: dict[str, Any] = {"_life": 0, "_maker": 0, "_taken": 0}
    if place.has_lives:
        generation = record.generation
        space["_generation"] = staticmethod(generation.__get__)
    for entry in record._fields_:
        name = entry[0]
        if issubclass(entry[1], ctypes.Structure):
            continue  # embedded locks have their own rules
        writes, reads = split_guard(record.GUARDS[name])
        space[name] = _property(record, name, place, rules, reads, writes)
    return type(f"Checked{record.__name__}", (record,), space)


def _property(record: Any, name: str, place: Place, rules: Rules, reads: str, writes: str) -> Any:
    row, letters, wrote = getattr(record, name), rules.letters, rules.wrote.get(name)
    generation = record.generation.__get__ if place.has_lives and name != "generation" else None
    get, put = row.__get__, row.__set__
    may_read = None if set(reads) & set("?=.") else [letters[letter][0] for letter in reads]
    may_write = None if "." in writes else [letters[letter][1] for letter in writes if letter != "="]
    first = may_read[0] if may_read else None

    def read(view: Any) -> Any:
        if generation is not None and generation(view) != view._life:
            place.stale(view, name)
        if first is not None and not first(view) and not any(ask(view) for ask in may_read[1:]):  # type: ignore[index]
            place.refuse(view, name, False, reads)
        return get(view)

    def write(view: Any, value: Any) -> None:
        if generation is not None and generation(view) != view._life:
            place.stale(view, name)
        if may_write is not None and (not may_write or not all(ask(view) for ask in may_write)):
            place.refuse(view, name, True, writes)
        put(view, value)
        if wrote is not None:
            wrote(view)

    def array(view: Any) -> Any:
        """Each access asks, not this: the array may be kept while the lock comes and goes."""

        def check(at: int, writes_it: bool) -> None:
            if generation is not None and generation(view) != view._life:
                place.stale(view, f"{name}[{at}]", 5)
            asks = may_write if writes_it else may_read
            if asks is not None and not (all if writes_it else any)(ask(view) for ask in asks):
                place.refuse(view, f"{name}[{at}]", writes_it, writes if writes_it else reads, 4)

        return CheckedArray(get(view), check)

    is_array = issubclass(dict(record._fields_)[name], ctypes.Array)
    made = CheckedField(array) if is_array else CheckedField(read, write)
    made.offset, made.size = row.offset, row.size
    return made


class CheckedArray:
    """An array of words whose elements have a guard, asked at each access.

    ``check`` gets the index and whether it is a store; it raises, and names the line of the access.
    ``each``: the elements of a slice have locks of their own; else one of them is asked for all.
    """

    __slots__ = ("check", "each", "plain")

    def __init__(self, plain: Any, check: Callable[[int, bool], None], each: bool = False) -> None:
        self.plain, self.check, self.each = plain, check, each

    def verify(self, at: Any, write: bool) -> None:
        """Ask about an element or a slice."""
        if not isinstance(at, slice):
            self.check(at, write)
            return
        asked = range(*at.indices(len(self.plain)))
        for index in asked if self.each else asked[:1]:
            self.check(index, write)

    def __getitem__(self, at: Any) -> Any:
        self.verify(at, False)
        return self.plain[at]

    def __setitem__(self, at: Any, value: Any) -> None:
        self.verify(at, True)
        self.plain[at] = value

    def __len__(self) -> int:
        return len(self.plain)

    def __iter__(self) -> Iterator[Any]:
        self.verify(slice(None), False)
        return iter(self.plain)

    def __bytes__(self) -> bytes:
        self.verify(slice(None), False)
        return bytes(self.plain)


def checked_area(
    arena: Any, name: str, field: str, guard: str, rules: Rules, plain: Any, each: bool
) -> CheckedArray:
    """An array that is no field of a record; the letters are asked about the index."""
    writes, reads = split_guard(guard)
    letters = rules.letters
    may_read = [letters[letter][0] for letter in reads]
    may_write = [letters[letter][1] for letter in writes]

    def check(at: int, write: bool) -> None:
        if all(ask(at) for ask in may_write) if write else any(ask(at) for ask in may_read):
            return
        if get_ident() in _outside:
            return
        where, needs = site(sys._getframe(3)), writes if write else reads
        error = UnguardedAccess(name, at, field, write, needs, rules.held(), where)
        facts.report(arena, _REPORT, str(error), facts.said_by(error))
        raise error

    return CheckedArray(plain, check, each)


class CheckedViews(list[Any]):
    """The views of a table; the one of a record that was freed and lives again is a new one."""

    def __init__(self, table: Table[Any], kind: Any, generation: Any, rules: Rules) -> None:
        self.table, self.kind, self.generation, self.prepare = table, kind, generation, rules.prepare
        self.making = Lock()  # two threads that meet a new life get one view of it
        super().__init__(self.make(slot) for slot in range(table.count + 1))

    def make(self, slot: int) -> Any:
        """A view of the record's present life."""
        view = self.table.view_as(self.kind, slot)
        if self.generation is not None:
            view._life = self.generation.__get__(view)
        if self.prepare is not None:
            self.prepare(view)
        return view

    def __getitem__(self, slot: Any) -> Any:
        view = super().__getitem__(slot)
        of_lives = self.generation is not None and not isinstance(slot, slice)
        if of_lives and self.generation.__get__(view) != view._life:
            with self.making:
                view = super().__getitem__(slot)
                if self.generation.__get__(view) != view._life:
                    view = self[slot] = self.make(slot)
        return view


class CheckedTable:
    """A table whose views are checked; everything else is the table's own."""

    def __init__(self, table: Table[Any], rules: Rules) -> None:
        self.table = table
        kind = checked_type(table.record_type, Place(table, False, rules), rules)
        self.views = CheckedViews(table, kind, None, rules)

    def __getitem__(self, slot: int) -> Any:
        return self.views[slot]

    def __len__(self) -> int:
        return len(self.table)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.table, name)


class CheckedPool:
    """A pool whose records are checked; what it allocates is private to this thread at first."""

    def __init__(self, pool: Pool[Any], rules: Rules) -> None:
        record = pool.table.record_type
        self.inner, self.place = pool, Place(pool.table, True, rules)
        kind = checked_type(record, self.place, rules)
        self.views = CheckedViews(pool.table, kind, record.generation, rules)

    def __call__(self, reference: int) -> Any:
        self.inner(reference)  # stale, null, out of range: its errors
        view = self.views[reference & 0xFFFFFFFF]
        if view._life != reference >> 32:  # freed and allocated again since that question
            raise self.place.stale_error(view.slot, reference >> 32, view._life, "the link", 2)
        return view

    def allocate(self) -> Any:
        """As Pool.allocate."""
        made = self.inner.allocate()
        if made is None:
            return None
        view = self.views[made.slot]
        view._maker, view._taken = get_ident(), self.place.taken(view)
        return view

    def allocate_or_raise(self) -> Any:
        """As Pool.allocate_or_raise."""
        made = self.allocate()
        if made is None:
            raise TableFull(self.inner.name, self.inner.count, self.inner.option)
        return made

    def free(self, record: Any) -> None:
        """As Pool.free; of a view of an earlier life it is a stale access."""
        if record._generation(record) != record._life:
            raise self.place.stale_error(record.slot, record._life, record._generation(record), "all", 2)
        self.inner.free(self.inner.views[record.slot])

    def ref(self, record: Any) -> int:
        """The link that names this life of the record."""
        return int(record._life << 32 | record.slot)

    def live(self) -> Iterator[Any]:
        """Every allocated record."""
        for record in self.inner.live():
            yield self.views[record.slot]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
