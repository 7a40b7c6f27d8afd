"""The arena's tables for reading: rows, names, places, and who has a lock by its own words."""

import ctypes
from typing import Any

from harness import _native
from harness.shm import native
from harness.shm.arena import Arena
from harness.shm.layout import rows_of
from harness.shm.names import site_text
from harness.shm.roster import Roster
from harness.watch import kernel
from harness.watch.records import LockFact

_C = _native.CONSTANTS
BROKEN = 2  # `suspect` of a lock that was let go unrepaired


class Reader(Roster):
    """The arena's tables for reading; made once per watcher."""

    def __init__(self, arena: Arena) -> None:
        super().__init__(arena)
        self.mapping = arena.mapping
        header = arena.header
        self.classes: list[Any] = [
            native.LockClass.from_buffer(arena.mapping, header.classes + i * ctypes.sizeof(native.LockClass))
            for i in range(_C["MAX_CLASSES"])
        ]
        self.words = memoryview(arena.mapping).cast("I")
        self.endings = kernel.Endings()

    def site(self, number: int) -> str:
        """file:line function."""
        try:
            return site_text(self.native.site(number))
        except UnicodeDecodeError:  # cut in the middle of a character
            return "?"

    def class_name(self, number: int) -> str:
        """Name of a lock class."""
        return (
            str(self.classes[number].name.decode(errors="replace"))
            if 0 < number < len(self.classes)
            else "lock"
        )

    def lock_name(self, offset: int) -> str:
        """class[instance] of any lock record (all begin alike)."""
        if not 0 < offset <= self.arena.header.size - 8:
            return "?"
        return f"{self.class_of(offset)}[{self.words[offset // 4 + 1]}]"

    def class_of(self, offset: int) -> str:
        """The class of the lock record there."""
        inside = 0 < offset <= self.arena.header.size - 8
        return self.class_name(self.words[offset // 4] & 0xFFFF) if inside else "?"

    def word(self, address: int) -> tuple[str, int, str] | None:
        """(table, slot, field) of a word, as far as this process has opened the table."""
        for table in self.arena.tables.values():
            at = address - table.offset
            if 0 <= at < table.stride * (table.count + 1):
                slot, inside = divmod(at, table.stride)
                fields = [row[0] for row in rows_of(table.record_type) if row[1] <= inside < row[1] + row[2]]
                return table.name, slot, fields[0] if fields else str(inside)
        return None

    def word_name(self, address: int) -> str:
        """table[slot].field of a word."""
        found = self.word(address)
        return f"{found[0]}[{found[1]}].{found[2]}" if found else f"the word at {address}"

    def lock(self, offset: int) -> LockFact:
        """Who has the lock at this moment.  ValueError when no lock can lie there."""
        kind, mask = self.words[offset // 4] >> 16, _C["ID_MASK"]
        if kind == _C["MUTEX"]:
            mutex = native.Mutex.from_buffer(self.mapping, offset)
            return LockFact(holder=int(mutex.owner) & mask, turn=int(mutex.acquired))
        lock = native.RwLock.from_buffer(self.mapping, offset)
        inside = [int(word) & mask for word in (lock.upgrader, lock.writer) if _inside(int(word))]
        ahead = [
            int(word) & mask
            for word in (lock.upgrader, lock.writer)
            if word & mask and not _inside(int(word))
        ]
        readers = []
        for block, cells in enumerate(lock.cells):
            for place in range(32) if cells else ():
                if cells >> 2 * place & 3 == _C["READING"]:
                    number = block * 32 + place + 1
                    if number <= len(self.seats) and not self.dead(number):
                        readers.append(int(self.seats[number - 1].id))
        return LockFact(holder=inside[0] if inside else 0, claimer=ahead[0] if ahead else 0, readers=readers)

    def doubt(self, offset: int) -> str:
        """Of a lock whose last holder died: "in doubt", "broken" (let go so), or "repaired"."""
        kind = native.Mutex if self.words[offset // 4] >> 16 == _C["MUTEX"] else native.RwLock
        lock = kind.from_buffer(self.mapping, offset)
        words = (lock.owner,) if kind is native.Mutex else (lock.writer, lock.upgrader)
        if lock.suspect == BROKEN:
            return "broken"
        return "in doubt" if any(word & _C["SUSPECT"] for word in words) else "repaired"

    def value(self, address: int, size: int) -> int:
        """The word at an address, unsigned.  ValueError when no word can lie there."""
        if size not in (1, 2, 4, 8) or not 0 < address <= self.arena.header.size - size:
            raise ValueError(f"no word of {size} bytes at {address}")
        return int.from_bytes(self.mapping[address : address + size], "little")


def _inside(word: int) -> bool:
    """Does this word of a read/write lock say that its writer is inside?"""
    both = _C["GRANTED"] | _C["CLOSED"]
    return word & both == both
