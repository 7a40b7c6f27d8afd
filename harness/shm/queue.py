"""Doubly linked queues through fields of the records themselves, by slot.

Guarantees: no allocation, a record is on the queue once, slot 0 is "none", and a
record that is removed has both links cleared.  Refuses to remove what is not on the
queue where the links show it.  Takes no lock: the caller holds the one that guards
head and links.
"""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, Generic, TypeVar

from harness.errors import RecordError

R = TypeVar("R")


class Queue(Generic[R]):
    """One queue: its ends (and length) are fields of ``head``, its links fields of the records."""

    def __init__(
        self,
        views: Sequence[R],
        head: Any,
        first: str,
        last: str,
        next_field: str,
        prev_field: str,
        count_field: str | None = None,
    ) -> None:
        self.views, self.head = views, head
        self.first, self.last, self.count_field = first, last, count_field
        self.next_field, self.prev_field = next_field, prev_field
        self._next: Callable[[R], int] = attrgetter(next_field)
        self._prev: Callable[[R], int] = attrgetter(prev_field)

    def __len__(self) -> int:
        """Length: the count field where there is one, else by walking."""
        if self.count_field is not None:
            return int(getattr(self.head, self.count_field))
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return bool(getattr(self.head, self.first))

    def __iter__(self) -> Iterator[R]:
        """First to last.  The record in hand may be removed; no other may meanwhile."""
        slot = getattr(self.head, self.first)
        while slot:
            record = self.views[slot]
            slot = self._next(record)  # before the caller may unlink it
            yield record

    def append(self, record: R) -> None:
        """Put a record behind the last one.  RecordError when its links show it on a queue."""
        self._require_free(record)
        slot, last = self._slot(record), getattr(self.head, self.last)
        setattr(record, self.prev_field, last)
        setattr(record, self.next_field, 0)
        if last:
            setattr(self.views[last], self.next_field, slot)
        else:
            setattr(self.head, self.first, slot)
        setattr(self.head, self.last, slot)
        self._add(1)

    def prepend(self, record: R) -> None:
        """Put a record before the first one.  RecordError when its links show it on a queue."""
        self._require_free(record)
        slot, first = self._slot(record), getattr(self.head, self.first)
        setattr(record, self.next_field, first)
        setattr(record, self.prev_field, 0)
        if first:
            setattr(self.views[first], self.prev_field, slot)
        else:
            setattr(self.head, self.last, slot)
        setattr(self.head, self.first, slot)
        self._add(1)

    def remove(self, record: R) -> None:
        """Take a record out.  RecordError when its neighbours do not know it."""
        slot, before, after = self._slot(record), self._prev(record), self._next(record)
        ahead = self._next(self.views[before]) if before else getattr(self.head, self.first)
        behind = self._prev(self.views[after]) if after else getattr(self.head, self.last)
        if ahead != slot or behind != slot:
            raise RecordError(
                f"record {slot} is not on the queue {self.first!r}: "
                f"before it {before} leads to {ahead}, behind it {after} leads back to {behind}"
            )
        if before:
            setattr(self.views[before], self.next_field, after)
        else:
            setattr(self.head, self.first, after)
        if after:
            setattr(self.views[after], self.prev_field, before)
        else:
            setattr(self.head, self.last, before)
        setattr(record, self.next_field, 0)
        setattr(record, self.prev_field, 0)
        self._add(-1)

    def pop_first(self) -> R | None:
        """Take out the first record, or None when there is none."""
        slot = getattr(self.head, self.first)
        if not slot:
            return None
        record: R = self.views[slot]
        self.remove(record)
        return record

    def _slot(self, record: Any) -> int:
        return int(record.slot)

    def _require_free(self, record: R) -> None:
        slot = self._slot(record)
        if self._next(record) or self._prev(record) or getattr(self.head, self.first) == slot:
            raise RecordError(
                f"record {slot} is on a queue already: its links are "
                f"{self._prev(record)} and {self._next(record)}"
            )

    def _add(self, change: int) -> None:
        if self.count_field is not None:
            setattr(self.head, self.count_field, getattr(self.head, self.count_field) + change)


def validate_queue(queue: Queue[Any]) -> list[int]:
    """Walk a queue both ways at once; its slots in order.

    RecordError names the first link that is wrong: out of the table, a back link that differs, an
    end or a length that does not agree.  A ring ends the walk too: its first record is reached a
    second time from elsewhere than its back link says.
    """
    name, limit = queue.first, len(queue.views)
    slots: list[int] = []
    before, slot = 0, int(getattr(queue.head, queue.first))
    while slot:
        if slot >= limit:
            raise RecordError(f"queue {name!r}: {before} leads to {slot}, the table ends at {limit - 1}")
        back = getattr(queue.views[slot], queue.prev_field)
        if back != before:
            raise RecordError(f"queue {name!r}: {before} leads to {slot}, which leads back to {back}")
        slots.append(slot)
        before, slot = slot, int(getattr(queue.views[slot], queue.next_field))
    last = getattr(queue.head, queue.last)
    if last != before:
        raise RecordError(f"queue {name!r} ends with {before}, but {queue.last!r} says {last}")
    if queue.count_field is not None and len(queue) != len(slots):
        raise RecordError(
            f"queue {name!r} has {len(slots)} records, but {queue.count_field!r} says {len(queue)}"
        )
    return slots
