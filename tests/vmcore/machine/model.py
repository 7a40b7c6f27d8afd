"""What address spaces must show: a page is a box of bytes, and how a VM does it is unknown here.

Everything counts pages.  A ``Slot`` is one page of one space: rights, and a ``Place``.
Spaces that share memory have one place; a place looks at a ``Box`` (a copy of some page
that no store elsewhere changes), at a page of a ``File``, or at what that page was.
``cow`` says that the next store gets a box of its own.  So the number of different boxes
is the least number of page copies with which any VM could hold all this.

Operations answer with the KERN code that the real one must give, and change nothing
unless it is KERN_SUCCESS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from vmcore.constants import (
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_NO_SPACE,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_WRITE,
)


@dataclass(eq=False)
class Box:
    """One copy of one page; ``touched``: it is more than the zeros of memory that was never stored to."""

    data: bytes
    touched: bool = True


@dataclass(eq=False)
class File:
    """A file, or a named region: pages that all processes that map it share."""

    number: int
    pages: list[bytes]
    snaps: list[Snap] = field(default_factory=list)  # those that still see the file itself

    def read(self, index: int) -> bytes | None:
        """The page as it is now; None: the file ends before it."""
        return self.pages[index] if 0 <= index < len(self.pages) else None

    def store(self, index: int, data: bytes) -> None:
        """A store to a page that is there; what it held stays with the snapshots."""
        self.keep(index)
        self.pages[index] = data

    def keep(self, index: int) -> None:
        """What a page that is there holds stays with the snapshots: a store may come."""
        for snap in self.snaps:
            if snap.index == index:
                snap.kept = self.pages[index]
        self.snaps = [snap for snap in self.snaps if snap.kept is None]

    def resize(self, pages: int, zeros: bytes) -> None:
        """Pages beyond the end are gone, for snapshots too that had not got a copy; new ones are zeros."""
        self.pages = self.pages[:pages] + [zeros] * (pages - len(self.pages))


@dataclass(eq=False)
class FilePage:
    """Page ``index`` of a file, as it is at any time."""

    file: File
    index: int


@dataclass(eq=False)
class Snap:
    """Page ``index`` of a file as it was before the next store to it."""

    file: File
    index: int
    kept: bytes | None = None


@dataclass(eq=False)
class Unknown:
    """What is here is not promised (say, a snapshot of what was not there)."""


Source = Box | FilePage | Snap | Unknown


@dataclass(eq=False)
class Place:
    """What one or several spaces look at."""

    source: Source
    cow: bool = False
    bottom: File | None = None  # lies behind it all, whatever was stored in front of it
    shared: bool = False  # once inherited as shared memory, for ever
    wired: int = 0

    @property
    def known(self) -> bool:
        """Is it promised what is here?"""
        return not isinstance(self.source, Unknown)

    def read(self) -> bytes | None:
        """The bytes; None: the file ends before this page."""
        source = self.source
        if isinstance(source, Box):
            return source.data
        if isinstance(source, Unknown):
            return b""
        kept = source.kept if isinstance(source, Snap) else None
        return source.file.read(source.index) if kept is None else kept

    def write(self, data: bytes) -> None:
        """A store; the page is there."""
        source = self.source
        if self.cow or not isinstance(source, Box | FilePage):
            self.source, self.cow = Box(data), False
        elif isinstance(source, Box):
            source.data, source.touched = data, True
        else:
            source.file.store(source.index, data)

    def own(self, again: bool) -> None:
        """Make the copies that a store would make: wiring does, but not where it is wired already."""
        data, source = self.read(), self.source
        if self.cow and self.known and data is not None:
            self.source, self.cow = Box(data), False
        elif isinstance(source, FilePage) and data is not None and not again:
            source.file.keep(source.index)

    @property
    def seen_by_snapshots(self) -> bool:
        """Would a store leave what was here to a snapshot, which shows the file's page as it was?"""
        source = self.source
        if self.cow or not isinstance(source, FilePage):
            return False
        return any(snap.index == source.index for snap in source.file.snaps)

    def snapshot(self) -> Place:
        """The file's page as it is now."""
        source = self.source
        assert isinstance(source, FilePage)
        if self.read() is None:
            return Place(Unknown(), cow=True, bottom=self.bottom)
        snap = Snap(source.file, source.index)
        source.file.snaps.append(snap)
        return Place(snap, cow=True, bottom=self.bottom)

    def copy(self) -> Place:
        """What a child gets that shall have a copy: later stores of either side are its own."""
        data = self.read()
        if self.wired and self.known and data is not None:  # made at once, and nothing lies behind it
            return Place(Box(data, touched=False))
        if isinstance(self.source, FilePage) and not self.cow:
            return self.snapshot()
        self.cow = True
        return Place(self.source, cow=True, bottom=self.bottom)


@dataclass
class Slot:
    """One page of one space."""

    place: Place
    protection: int = VM_PROT_ALL
    max_protection: int = VM_PROT_ALL
    inheritance: int = VM_INHERIT_COPY
    wired: int = 0


@dataclass
class Space:
    """Pages [low, high) of an address space."""

    zeros: bytes
    low: int
    high: int
    slots: dict[int, Slot] = field(default_factory=dict)

    # --- loads and stores

    def access(self, page: int, right: int) -> tuple[int, Place | None]:
        """May this page be read or written?"""
        slot = self.slots.get(page)
        if slot is None:
            return KERN_INVALID_ADDRESS, None
        if right & ~slot.protection or slot.place.read() is None:
            return KERN_PROTECTION_FAILURE, None
        return KERN_SUCCESS, slot.place

    def read(self, page: int) -> tuple[int, bytes]:
        """What a load must return."""
        code, place = self.access(page, VM_PROT_READ)
        return code, b"" if place is None else place.read() or b""

    def write(self, page: int, data: bytes) -> int:
        """A store."""
        code, place = self.access(page, VM_PROT_WRITE)
        if place is not None:
            place.write(data)
        return code

    # --- mappings

    def fresh(self, like: Slot | None = None) -> Slot:
        """A page of zeros that was never touched."""
        place = Place(Box(self.zeros, touched=False))
        return replace(like, place=place, max_protection=VM_PROT_ALL) if like else Slot(place)

    def mapped(self, first: int, count: int) -> list[int]:
        """The pages of a range that are there, in order."""
        return [page for page in range(first, first + count) if page in self.slots]

    def hole(self, count: int) -> int | None:
        """Where the lowest hole of this size begins."""
        run = 0
        for page in range(self.low, self.high):
            run = 0 if page in self.slots else run + 1
            if run == count:
                return page - count + 1
        return None

    def where(self, count: int, at: int | None) -> tuple[int, int]:
        """Where a new range goes; nothing is changed."""
        found = self.hole(count) if at is None else at
        fits = found is not None and count > 0 and self.low <= found and found + count <= self.high
        return (KERN_SUCCESS, found or 0) if fits else (KERN_NO_SPACE, 0)

    def map(self, new: list[Slot], at: int | None) -> tuple[int, int]:
        """Put new pages there, instead of whatever is there; (code, first page)."""
        code, first = self.where(len(new), at)
        if code == KERN_SUCCESS:
            self.forget(range(first, first + len(new)))
            for number, slot in enumerate(new):
                self.slots[first + number] = slot
        return code, first

    def forget(self, pages: range) -> None:
        """Unmap; wirings end with it."""
        for page in pages:
            slot = self.slots.pop(page, None)
            if slot is not None:
                slot.place.wired -= slot.wired

    def allocate(self, count: int, at: int | None, protection: int, inheritance: int) -> tuple[int, int]:
        """Zero-filled memory."""
        new = [replace(self.fresh(), protection=protection, inheritance=inheritance) for _ in range(count)]
        return self.map(new, at)

    def map_file(
        self, file: File, index: int, count: int, how: str, at: int | None, protection: int
    ) -> tuple[int, int]:
        """A file's pages: "shared", "private", or "copy" (as they are now)."""
        places = [Place(FilePage(file, index + number), bottom=file) for number in range(count)]
        code, _ = self.where(count, at)
        if how == "copy" and code == KERN_SUCCESS:
            places = [place.snapshot() for place in places]
        for place in places:
            place.cow = how != "shared"
        inheritance = VM_INHERIT_SHARE if how == "shared" else VM_INHERIT_COPY
        return self.map([Slot(place, protection, inheritance=inheritance) for place in places], at)

    def deallocate(self, first: int, count: int) -> int:
        """Unmap what is mapped of a range."""
        if max(first, self.low) >= min(first + count, self.high):
            return KERN_INVALID_ARGUMENT
        self.forget(range(first, first + count))
        return KERN_SUCCESS

    def protect(self, first: int, count: int, protection: int, set_max: bool) -> int:
        """Change rights; the new maximum lowers the current ones."""
        slots = [self.slots[page] for page in self.mapped(first, count)]
        if not slots:
            return KERN_INVALID_ADDRESS
        if any(protection & ~slot.max_protection for slot in slots):
            return KERN_PROTECTION_FAILURE
        for slot in slots:
            slot.protection = slot.protection & protection if set_max else protection
            slot.max_protection = protection if set_max else slot.max_protection
        return KERN_SUCCESS

    def inherit(self, first: int, count: int, inheritance: int) -> int:
        """What children will get."""
        for page in self.mapped(first, count):
            self.slots[page].inheritance = inheritance
        return KERN_SUCCESS

    def discard(self, first: int, count: int) -> int:
        """Private anonymous memory reads zeros again."""
        if any(self.slots[page].wired for page in self.mapped(first, count)):
            return KERN_INVALID_ARGUMENT
        for page in self.mapped(first, count):
            slot = self.slots[page]
            if not slot.place.shared and slot.place.bottom is None:
                slot.place = self.fresh().place
        return KERN_SUCCESS

    def move(self, old: int, old_count: int, new_count: int, at: int | None) -> tuple[int, int]:
        """Resize a range, where it is or elsewhere; growth is new memory like the range's last page."""
        there = self.mapped(old, old_count)
        if not there or new_count <= 0:
            return KERN_INVALID_ADDRESS, 0
        if at is not None and at < old + old_count and old < at + new_count:
            return KERN_INVALID_ARGUMENT, 0
        beyond = range(old + old_count, old + new_count)
        free = not any(page in self.slots for page in beyond) and old + new_count <= self.high
        stays = at is None and (free or new_count <= old_count)
        if not stays and any(self.slots[page].wired for page in there):
            return KERN_INVALID_ARGUMENT, 0
        code, first = (KERN_SUCCESS, old) if stays else self.where(new_count, at)
        if code != KERN_SUCCESS:
            return code, 0
        if new_count < old_count:
            self.forget(range(old + new_count, old + old_count))
        moving = {page - old: self.slots.pop(page) for page in self.mapped(old, old_count)}
        if at is not None:
            self.forget(range(first, first + new_count))
        if new_count > old_count:
            last = replace(moving[max(moving)], wired=0)
            moving |= {number: self.fresh(last) for number in range(old_count, new_count)}
        self.slots |= {first + number: slot for number, slot in moving.items()}
        return KERN_SUCCESS, first

    def wire(self, first: int, count: int) -> int:
        """Keep a range in memory: each page that could be stored to gets its own copy now."""
        there = self.mapped(first, count)
        if len(there) < count:
            return KERN_INVALID_ADDRESS
        slots = [self.slots[page] for page in there]
        if any(slot.place.read() is None for slot in slots if not slot.wired):
            return KERN_PROTECTION_FAILURE
        for slot in slots:
            if slot.protection & VM_PROT_WRITE or slot.place.shared:
                slot.place.own(again=slot.wired > 0)
            slot.wired += 1
            slot.place.wired += 1
        return KERN_SUCCESS

    def unwire(self, first: int, count: int) -> int:
        """One wiring less on each page of a range."""
        there = self.mapped(first, count)
        if len(there) < count:
            return KERN_INVALID_ADDRESS
        if not all(self.slots[page].wired for page in there):
            return KERN_INVALID_ARGUMENT
        for page in there:
            self.slots[page].wired -= 1
            self.slots[page].place.wired -= 1
        return KERN_SUCCESS

    # --- the family

    def fork(self) -> Space:
        """A child's space, by the inheritance of each page."""
        child = Space(self.zeros, self.low, self.high)
        for page, slot in self.slots.items():
            if slot.inheritance == VM_INHERIT_SHARE:
                slot.place.shared = True
                child.slots[page] = replace(slot, wired=0)
            elif slot.inheritance != VM_INHERIT_NONE:
                child.slots[page] = replace(slot, place=slot.place.copy(), wired=0)
        return child


def boxes(spaces: list[Space]) -> Iterator[Box]:
    """Every different copy of a page that was stored to and that some space can see."""
    seen: set[int] = set()
    for space in spaces:
        for slot in space.slots.values():
            source = slot.place.source
            if isinstance(source, Box) and source.touched and id(source) not in seen:
                seen.add(id(source))
                yield source
