"""A fixed table of records in the arena, with one cached view per record.

Indexing a ctypes array makes a new object every time (71 ns against 27 ns for the
field access itself), so views are made once per process.  Each view has plain Python
attributes ``slot``, ``address`` (offset in the arena) and, for every embedded lock
row ``NAME_``, the live lock object ``NAME``.
"""

import ctypes
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from harness import _native
from harness.shm.layout import ChannelRecord, MutexRecord, RwLockRecord, embedded_rows

if TYPE_CHECKING:
    from harness.shm.arena import Arena

R = TypeVar("R")
_FORMATS: dict[Any, Any] = {
    MutexRecord: _native.Mutex,
    RwLockRecord: _native.RwLock,
    ChannelRecord: _native.Channel,
}


class Table(Generic[R]):
    """``table[slot]`` and ``table.views[slot]`` are views; slot 0 is null."""

    def __init__(
        self, arena: "Arena", name: str, record_type: Any, offset: int, count: int, option: str
    ) -> None:
        self.arena, self.name, self.record_type, self.option = arena, name, record_type, option
        self.offset, self.count, self.stride = offset, count, ctypes.sizeof(record_type)
        self._locks = embedded_rows(record_type)
        self.views: list[R] = [self._view(slot) for slot in range(count)]

    def _view(self, slot: int) -> R:
        address = self.offset + slot * self.stride
        view: Any = self.record_type.from_buffer(self.arena.mapping, address)
        view.slot, view.address = slot, address
        for name, kind, offset in self._locks:
            make = kind.view
            if make is not None and name.endswith("_"):
                setattr(view, name[:-1], make(self.arena, address + offset))
        return view  # type: ignore[no-any-return]

    def format(self, classes: dict[str, int]) -> None:
        """Initialise the embedded locks of a new table; the instance number is the slot."""
        for name, kind, offset in self._locks:
            class_id = classes.get(name, 0)
            for slot in range(self.count):
                at = self.offset + slot * self.stride + offset
                _FORMATS[kind].format(self.arena.native, at, class_id, slot)

    def __getitem__(self, slot: int) -> R:
        return self.views[slot]

    def __len__(self) -> int:
        return self.count
