"""A fixed table of records in the arena, with one cached view per record.

Indexing a ctypes array makes a new object every time (71 ns against 27 ns for the
field access itself), so views are made once per process.  Each view has plain Python
attributes ``slot``, ``address`` (offset in the arena) and, for every embedded lock
row ``NAME_``, the live lock object ``NAME``.
"""

import ctypes
from types import MemberDescriptorType
from typing import Any, Generic, Protocol, TypeVar

from harness import _native
from harness.errors import ArenaError
from harness.shm.layout import ChannelRecord, MutexRecord, RwLockRecord, embedded_rows

R = TypeVar("R")
_FORMATS: dict[Any, Any] = {
    MutexRecord: _native.Mutex,
    RwLockRecord: _native.RwLock,
    ChannelRecord: _native.Channel,
}


class Home(Protocol):
    """What a table needs of its arena."""

    mapping: Any
    native: Any


class Table(Generic[R]):
    """``table[slot]`` and ``table.views[slot]`` are views; slots 1 to ``count``, slot 0 is null."""

    def __init__(
        self, arena: Home, name: str, record_type: Any, offset: int, count: int, option: str
    ) -> None:
        self.arena, self.name, self.record_type, self.option = arena, name, record_type, option
        self.offset, self.count, self.stride = offset, count, ctypes.sizeof(record_type)
        self._locks = embedded_rows(record_type)
        self._require_names_free()
        self.views: list[R] = [self._view(slot) for slot in range(count + 1)]

    def _require_names_free(self) -> None:
        """A field of such a name would be overwritten in the arena by our attribute."""
        for name in ("slot", "address", *(row[0][:-1] for row in self._locks if row[0].endswith("_"))):
            found = getattr(self.record_type, name, None)
            if found is not None and not isinstance(found, MemberDescriptorType):  # a slot is a place for it
                raise ArenaError(
                    f"record {self.record_type.__name__} has a field {name!r}: views need that name"
                )

    def _view(self, slot: int) -> R:
        return self.view_as(self.record_type, slot)  # type: ignore[no-any-return]

    def view_as(self, record_type: Any, slot: int) -> Any:
        """A new view of one record through a class of the same layout."""
        address = self.offset + slot * self.stride
        view: Any = record_type.from_buffer(self.arena.mapping, address)
        view.slot, view.address = slot, address
        for name, kind, offset in self._locks:
            make = kind.view
            if make is not None and name.endswith("_"):
                setattr(view, name[:-1], make(self.arena, address + offset))
        return view

    @staticmethod
    def format(arena: Home, record_type: Any, offset: int, rows: int, classes: dict[str, int]) -> None:
        """Initialise the embedded locks of ``rows`` new records; the instance number is the slot."""
        stride = ctypes.sizeof(record_type)
        for name, kind, inside in embedded_rows(record_type):
            for slot in range(rows):
                at = offset + slot * stride + inside
                _FORMATS[kind].format(arena.native, at, classes.get(name, 0), slot)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open_table, (self.arena, self.name, self.record_type, self.option))

    def __repr__(self) -> str:
        return f"<Table {self.name!r} of {self.count} {self.record_type.__name__}>"

    def __getitem__(self, slot: int) -> R:
        return self.views[slot]

    def __len__(self) -> int:
        return self.count


def open_table(arena: Any, name: str, record_type: Any, option: str) -> Table[Any]:
    """What a pickled table becomes."""
    found: Table[Any] = arena.table(name, record_type, option=option)
    return found
