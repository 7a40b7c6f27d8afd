"""AddressMap: which ranges of one address space are mapped, with what rights and what behind.

Sorted, disjoint, half-open ranges.  Holes are legal everywhere; nothing here fails.  A page is never
looked at by itself, so a reservation of gigabytes costs one entry.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

READ, WRITE, EXECUTE = 1, 2, 4  # Mach's values
ANON = -1


class Range(NamedTuple):
    """[start, end) with the same rights and the same thing behind it."""

    start: int
    end: int
    prot: int
    shared: bool = False
    file: int = ANON  # index into Plan.files
    offset: int = 0  # of start, in the file

    def part(self, start: int, end: int) -> "Range":
        """The piece [start, end) of this range."""
        offset = self.offset + start - self.start if self.file != ANON else 0
        return Range(start, end, self.prot, self.shared, self.file, offset)


class AddressMap:
    """The ranges of one address space.  Not safe for concurrent use; copy() is for forks."""

    __slots__ = ("_ranges", "_readable", "_starts", "_writable", "avoid")

    def __init__(self, ranges: tuple[Range, ...] = (), avoid: tuple[tuple[int, int], ...] = ()) -> None:
        """ranges: sorted and disjoint.  avoid: addresses that touchable() leaves out."""
        self._ranges = list(ranges)
        self._starts = [r.start for r in ranges]
        self._readable: list[Range] | None = None
        self._writable: list[Range] | None = None
        self.avoid = avoid

    def __iter__(self) -> Iterator[Range]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def copy(self, avoid: tuple[tuple[int, int], ...] = ()) -> "AddressMap":
        """An equal map that changes by itself, as a forked child's address space does."""
        other = AddressMap(avoid=avoid)
        other._ranges = self._ranges.copy()
        other._starts = self._starts.copy()
        return other

    def clear(self) -> None:
        """Forget everything (execve, exit)."""
        self._replace(0, len(self._ranges), [])

    def map(self, new: Range) -> None:
        """Put a range down, over whatever is there; joins its lower neighbour if they are alike."""
        low, high, left, right = self._cut(new.start, new.end)
        # Only private anonymous ranges join: two shared regions are two objects.
        if new.file == ANON and not new.shared and not left and low:
            below = self._ranges[low - 1]
            alike = below.file == ANON and not below.shared and below.prot == new.prot
            if alike and below.end == new.start:
                new, low = new._replace(start=below.start), low - 1
        self._replace(low, high, [*left, new, *right])

    def unmap(self, start: int, end: int) -> None:
        """Remove whatever is mapped in [start, end)."""
        low, high, left, right = self._cut(start, end)
        if low != high:
            self._replace(low, high, [*left, *right])

    def protect(self, start: int, end: int, prot: int) -> None:
        """Give what is mapped in [start, end) other rights."""
        low, high, left, right = self._cut(start, end)
        inside = [r._replace(prot=prot) for r in self.parts(start, end)]
        if inside:
            self._replace(low, high, [*left, *inside, *right])

    def move(self, old: int, old_length: int, new: int, new_length: int) -> None:
        """mremap: what is at old is at new afterwards; growth continues the piece at the old end."""
        moved = self.parts(old, old + min(old_length, new_length))
        self.unmap(old, old + old_length)
        self.unmap(new, new + new_length)
        for piece in moved:
            end = new + piece.end - old
            if piece.end == old + old_length:
                end = new + new_length
            self.map(piece._replace(start=new + piece.start - old, end=end))

    def parts(self, start: int, end: int) -> list[Range]:
        """The mapped pieces of [start, end), cut to it."""
        found = []
        at = max(bisect_right(self._starts, start) - 1, 0)
        for r in self._ranges[at:]:
            if r.start >= end:
                break
            if r.end > start:
                whole = r.start >= start and r.end <= end
                found.append(r if whole else r.part(max(r.start, start), min(r.end, end)))
        return found

    def runs(self, start: int, end: int) -> list[tuple[int, int]]:
        """The mapped pieces of [start, end), neighbours joined whatever is behind them."""
        joined: list[tuple[int, int]] = []
        for r in self.parts(start, end):
            if joined and joined[-1][1] == r.start:
                joined[-1] = (joined[-1][0], r.end)
            else:
                joined.append((r.start, r.end))
        return joined

    def holes(self, start: int, end: int) -> list[tuple[int, int]]:
        """The pieces of [start, end) where nothing is mapped."""
        found = []
        for low, high in self.runs(start, end):
            if low > start:
                found.append((start, low))
            start = high
        if start < end:
            found.append((start, end))
        return found

    def touchable(self, write: bool) -> list[Range]:
        """The pieces with read (or read and write) access outside ``avoid``; cached until a change."""
        cached = self._writable if write else self._readable
        if cached is None:
            need = READ | WRITE if write else READ
            cached = [r for r in self._ranges if r.prot & need == need]
            for low, high in self.avoid:
                cached = [piece for r in cached for piece in _without(r, low, high)]
            if write:
                self._writable = cached
            else:
                self._readable = cached
        return cached

    def _cut(self, start: int, end: int) -> tuple[int, int, list[Range], list[Range]]:
        """Indexes of the ranges that [start, end) overlaps, and what of them sticks out on each side."""
        low = bisect_right(self._starts, start) - 1
        if low < 0 or self._ranges[low].end <= start:
            low += 1
        high = low
        while high < len(self._ranges) and self._starts[high] < end:
            high += 1
        if low == high:
            return low, high, [], []
        first, last = self._ranges[low], self._ranges[high - 1]
        left = [first.part(first.start, start)] if first.start < start else []
        right = [last.part(end, last.end)] if last.end > end else []
        return low, high, left, right

    def _replace(self, low: int, high: int, new: list[Range]) -> None:
        self._ranges[low:high] = new
        self._starts[low:high] = [r.start for r in new]
        self._readable = self._writable = None


def _without(r: Range, low: int, high: int) -> list[Range]:
    """What is left of r without [low, high)."""
    if high <= r.start or low >= r.end:
        return [r]
    pieces = []
    if r.start < low:
        pieces.append(r.part(r.start, low))
    if high < r.end:
        pieces.append(r.part(high, r.end))
    return pieces
