"""The content oracle: every page holds a stamp that names its writer, and every read is checked.

A stamp is 32 bytes (writer, space, page, sequence, checksum) repeated over the whole page, so a
page that mixes two of them is a torn read.  What a read must return depends on what is behind it:

* private memory, or a private file page that the space has written: exactly the stamp in the
  space's ``Journal`` (its own last store, or what it inherited at a fork), else zeros;
* shared memory, and file pages not yet written privately: any stamp that was issued for that page,
  but never one that this worker has already seen replaced (``ObservationLog``).

An access copies a page under the lock of *one* hardware map, so two processes that share a frame can
store to it at once, as on any real machine, and leave a mixture that no VM could prevent.  Stores to
shared pages therefore take turns (``Turn``: no lock is held meanwhile, since a store may fault and
sleep), and a load that overlapped a store to the same page is simply repeated.  A mixture that no
store overlapped is an error.

A ``Journal`` belongs to one space and travels with it.  An ``ObservationLog`` belongs to one worker: real
time orders what one worker saw, whichever of its processes did the looking.  Nothing is ever accepted
because it cannot be explained.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from ctypes import Structure, c_char, c_uint64
from typing import Any, NamedTuple
from zlib import crc32

from harness.shm import native
from harness.shm.arena import Arena
from harness.shm.layout import guarded

STAMP = struct.Struct("<IIQQQ")
HEAD = struct.Struct("<IIQQ")
SIZE = STAMP.size
ZERO = bytes(SIZE)
NO_WRITER = 0  # the writer of what was there before any store
FILE_SPACES = 0x8000_0000  # spaces from here on are files, by number
SHARED_SPACES = 0xC000_0000  # and from here on shared anonymous regions
TURNS = 4096
MIX = 0x9E3779B97F4A7C15
MASK = 0xFFFF_FFFF_FFFF_FFFF


class WriterRow(Structure):
    """How far one writer has come: no stamp of its with a higher number can exist."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "issued", c_uint64, "last sequence number handed out; moves before the store"),
        (".", "reads", c_uint64, "pages checked"),
        (".", "role", c_char * 32, "the writer, as its seat is called"),
    )


class Turn(Structure):
    """Whose turn it is to store to a shared page; pages share rows by a hash."""

    _fields_, GUARDS, NOTES = guarded(
        ("t", "owner", c_uint64, "writer, 0: none; taken under the lock, given back by its owner"),
        (".", "count", c_uint64, "moves when a store begins (odd) and ends (even); its owner writes"),
    )


class Stamp(NamedTuple):
    """A decoded stamp."""

    writer: int
    space: int
    page: int
    sequence: int

    def __str__(self) -> str:
        if self.writer == NO_WRITER:
            return f"initial contents of page {self.page} of {space_name(self.space)}"
        where = f"page {self.page:#x} of {space_name(self.space)}"
        return f"store {self.sequence} of writer {self.writer} to {where}"


def space_name(space: int) -> str:
    """``space 7``, ``file 3`` or ``shared region 12``."""
    if space >= SHARED_SPACES:
        return f"shared region {space - SHARED_SPACES}"
    return f"file {space - FILE_SPACES}" if space >= FILE_SPACES else f"space {space}"


def make_stamp(writer: int, space: int, page: int, sequence: int) -> bytes:
    """The 32 bytes."""
    head = HEAD.pack(writer, space, page, sequence)
    return head + ((crc32(head) * MIX) & MASK).to_bytes(8, "little")


def decode(stamp: bytes) -> Stamp | None:
    """What the 32 bytes say, or None when the checksum does not fit."""
    if ((crc32(stamp[:24]) * MIX) & MASK).to_bytes(8, "little") != stamp[24:32]:
        return None
    return Stamp(*HEAD.unpack_from(stamp))


def file_stamp(number: int, page: int) -> bytes:
    """What page ``page`` of file ``number`` holds before any store."""
    return make_stamp(NO_WRITER, FILE_SPACES + number, page, 0)


def describe(data: bytes) -> str:
    """What is on a page, for a sentence: a stamp, zeros, a mixture, or junk."""
    pieces: dict[bytes, int] = {}
    for at in range(0, len(data), SIZE):
        pieces[data[at : at + SIZE]] = pieces.get(data[at : at + SIZE], 0) + 1
    texts = []
    for piece, count in sorted(pieces.items(), key=lambda item: -item[1])[:2]:
        stamp = decode(piece)
        text = "zeros" if piece == ZERO else str(stamp) if stamp else f"junk {piece[:8].hex()}..."
        texts.append(text if len(pieces) == 1 else f"{count}/{len(data) // SIZE} {text}")
    return " + ".join(texts) + (" (torn)" if len(pieces) > 1 else "")


class Mismatch(Exception):
    """A read returned what it must not; the text says what was expected and what was found."""


class Region(NamedTuple):
    """Pages [first, end) of a space show a shared anonymous region; ``space`` is its own number."""

    first: int
    end: int
    space: int
    base: int  # the region's page at ``first``

    def within(self, first: int, end: int) -> list[Region]:
        """What lies in [first, end)."""
        low, high = max(self.first, first), min(self.end, end)
        return [Region(low, high, self.space, self.base + low - self.first)] if low < high else []

    def without(self, first: int, end: int) -> list[Region]:
        """What lies outside [first, end)."""
        return self.within(self.first, first) + self.within(end, self.end)

    def moved(self, by: int) -> Region:
        """The same, at another place of the space."""
        return self._replace(first=self.first + by, end=self.end + by)


class Journal:
    """What the pages of one space must hold: page number -> stamp, for pages that are private.

    ``loose`` names the spaces whose stamps may turn up although they are not recorded here:
    this space while several threads use it, and those it was forked from in that state.  There a
    page that differs is accepted if it is a genuine stamp of such a space, not older than what was
    seen; in a space with one user it is then recorded, and must stay.
    """

    __slots__ = ("crowded", "loose", "pinned", "private", "regions", "space")

    def __init__(self, space: int) -> None:
        self.space = space
        self.private: dict[int, bytes] = {}
        self.regions: list[Region] = []  # shared anonymous memory, rare: a list will do
        self.loose: frozenset[int] = frozenset()
        self.pinned: set[int] = set()  # only used while loose
        self.crowded = False  # several tasks may write in this space right now

    def fork(self, space: int) -> Journal:
        """The journal of a child with a copy of this memory."""
        child = Journal(space)
        child.private = self.private.copy()
        child.regions = self.regions.copy()
        child.loose = self.loose
        child.pinned = set() if self.crowded else self.pinned.copy()
        return child

    def crowd(self) -> None:
        """From now on several tasks use this space at the same time."""
        self.crowded = True
        self.loose |= {self.space}
        self.pinned = set()

    def wrote(self, page: int, stamp: bytes) -> None:
        """A private page holds this now."""
        self.private[page] = stamp
        if self.loose and not self.crowded:
            self.pinned.add(page)

    def forget(self, first: int, end: int) -> None:
        """Pages [first, end) were unmapped or replaced: they start afresh."""
        private = self.private
        if end - first <= len(private):
            for page in range(first, end):
                private.pop(page, None)
        else:
            for page in [page for page in private if first <= page < end]:
                del private[page]
        if self.regions:
            self.regions = [piece for region in self.regions for piece in region.without(first, end)]

    def move(self, first: int, end: int, to: int) -> None:
        """Pages [first, end) are found from ``to`` on now."""
        moved = {page - first + to: stamp for page, stamp in self.private.items() if first <= page < end}
        regions = [part.moved(to - first) for region in self.regions for part in region.within(first, end)]
        self.forget(first, end)
        self.private.update(moved)
        self.regions += regions

    def region(self, page: int) -> Region | None:
        """The shared anonymous region at this page."""
        return next((region for region in self.regions if region.first <= page < region.end), None)

    def accepts(self, page: int, stamp: bytes, witness: ObservationLog) -> bool:
        """May this unexpected stamp be here?  Only where other threads write what is not recorded here."""
        if not self.loose or page in self.pinned:
            return False
        found = decode(stamp)
        if found is None or found.space not in self.loose or not witness.was_issued(found):
            return False
        known = decode(self.private.get(page, ZERO))
        # One writer's stores to a page come in order, so its older one cannot come back.
        same = known is not None and (known.writer, known.space) == (found.writer, found.space)
        if same and known is not None and found.sequence < known.sequence:
            return False
        self.wrote(page, stamp)
        return True


def own_role(arena: Arena) -> bytes:
    """What this thread's seat is called."""
    number = arena.native.seat()
    if not number:
        return b""
    seat: Any = native.Seat.from_buffer(arena.mapping, arena.native.offset_of_seat(number))
    return bytes(seat.role)


class ObservationLog:
    """What one worker knows: its own sequence numbers, and what it saw of every shared page."""

    def __init__(self, arena: Arena, number: int, page_size: int, writers: int = 0) -> None:
        """number: 1.. ; ``writers`` is needed only where the table is made."""
        self.rows: Any = arena.table("content_writers", WriterRow, writers).views
        self.turns: Any = arena.table("content_turns", Turn, TURNS if writers else 0).views
        self.turn_lock = arena.mutex("content turn", rank=3)
        self.number, self.repeat = number, page_size // SIZE
        self.row = self.rows[number]
        self.row.role = own_role(arena)
        self.last: dict[tuple[int, int], bytes] = {}
        self.floor: dict[tuple[int, int], dict[int, int]] = {}

    def issue(self, space: int, page: int) -> bytes:
        """A new stamp; it counts as issued before it can be in memory."""
        sequence = self.row.issued + 1
        self.row.issued = sequence
        return make_stamp(self.number, space, page, sequence)

    def turn(self, space: int, page: int) -> Any:
        """The row of a shared page."""
        return self.turns[1 + (space * 2654435761 + page) % TURNS]

    def begin_store(self, space: int, page: int) -> Any:
        """Our turn to store to a shared page; None: another writer has it."""
        row = self.turn(space, page)
        with self.turn_lock:
            if row.owner:
                return None
            row.owner = self.number
        row.count += 1
        return row

    def end_store(self, row: Any) -> None:
        """The store is in memory."""
        row.count += 1
        row.owner = 0

    def load_shared(self, space: int, page: int, load: Callable[[], bytes]) -> bytes:
        """The page, read again as long as it is mixed and a store overlapped the load."""
        row = self.turn(space, page)
        while True:
            before = row.count
            data = load()
            quiet = not before & 1 and row.count == before
            if quiet or data == data[:SIZE] * self.repeat:
                return data

    def was_issued(self, stamp: Stamp) -> bool:
        """Has its writer come that far?"""
        if stamp.writer == NO_WRITER:
            return stamp.sequence == 0
        return 0 < stamp.writer < len(self.rows) and stamp.sequence <= self.rows[stamp.writer].issued

    def check_private(self, journal: Journal, page: int, data: bytes) -> None:
        """A page of which this space has its own copy (or nothing yet).  Mismatch when it is wrong."""
        self.row.reads += 1
        expected = journal.private.get(page, ZERO)
        if data == expected * self.repeat:
            if journal.loose and not journal.crowded:
                journal.pinned.add(page)
            return
        stamp = data[:SIZE]
        if data == stamp * self.repeat and journal.accepts(page, stamp, self):
            return
        who = self.names(expected, data[:SIZE])
        kind = self.kind(expected, data)
        raise Mismatch(f"page {page:#x}: expected {describe(expected)}, found {describe(data)}{who}: {kind}")

    def names(self, *stamps: bytes) -> str:
        """The writers of these stamps by their roles, as far as they are known."""
        numbers = sorted({known.writer for one in stamps if (known := decode(one)) and known.writer})
        roles = [(n, self.rows[n].role.decode(errors="replace")) for n in numbers if n < len(self.rows)]
        text = ", ".join(f"writer {n} is {role}" for n, role in roles if role)
        return f" ({text})" if text else ""

    def kind(self, expected: bytes, data: bytes) -> str:
        """What went wrong with a private page, by comparing the two stamps."""
        stamp = data[:SIZE]
        if data != stamp * self.repeat:
            return "the page is a mixture"
        if stamp == ZERO:
            return "a store is lost, the page is as if no store to it had been made"
        found, wanted = decode(stamp), decode(expected)
        if found is None:
            return "no writer ever stored this"
        if wanted is None:
            return "a page that was never written shows another page's contents"
        if found.page != wanted.page:
            return "the contents of another page"
        if found.space != wanted.space:
            return "a store of another space is seen, or its copy was given back"
        if found.writer != wanted.writer:  # their numbers say nothing about each other
            return "another writer's store to this page is seen: an older copy, if the space is not shared"
        older = found.sequence < wanted.sequence
        return "an older copy came back" if older else "a store that came later is seen"

    def check_shared(self, space: int, page: int, data: bytes, initial: bytes) -> None:
        """A page that others may store to.  Mismatch when no order of stores explains it."""
        self.row.reads += 1
        key = (space, page)
        stamp = data[:SIZE]
        if data != stamp * self.repeat:
            raise Mismatch(f"page {page} of {space_name(space)}: found {describe(data)}")
        before = self.last.get(key)
        if before == stamp:
            return
        found = self.genuine(key, stamp, initial)
        floor = self.floor.setdefault(key, {})
        if found.sequence < floor.get(found.writer, 0):
            why = f"found {describe(data)}, which was seen replaced before"
            raise Mismatch(f"page {page} of {space_name(space)}: {why}")
        self._replaced(floor, before)
        self.last[key] = stamp

    def genuine(self, key: tuple[int, int], stamp: bytes, initial: bytes) -> Stamp:
        """Decode a stamp that may be on this shared page."""
        if stamp == initial:
            return Stamp(NO_WRITER, *key, 0)
        found = decode(stamp)
        if found is None or (found.space, found.page) != key or not self.was_issued(found):
            where = f"page {key[1]} of {space_name(key[0])}"
            raise Mismatch(f"{where}: found {describe(stamp)}, which was never written there")
        return found

    def wrote_shared(self, space: int, page: int, stamp: bytes) -> None:
        """Our store to a shared page is done: whatever we saw there before cannot come back."""
        key = (space, page)
        floor = self.floor.setdefault(key, {NO_WRITER: 1})
        self._replaced(floor, self.last.get(key))
        floor[NO_WRITER] = 1
        self.last[key] = stamp

    @staticmethod
    def _replaced(floor: dict[int, int], before: bytes | None) -> None:
        if before is not None:
            known = decode(before)
            writer, sequence = (known.writer, known.sequence) if known else (NO_WRITER, 0)
            floor[writer] = max(floor.get(writer, 0), sequence + 1)
