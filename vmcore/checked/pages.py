"""Instant invariants of pages and their queues: A2 (hash), A3, A4.

Looked at when the page-queue lock is let go: every page that this thread wrote to since its last look, and
now and then both queues from end to end.  A page's identity, its place in the hash and BUSY change only
under the queue lock (with the object's), so they hold still here.  FREE is set and cleared under the
free-list lock, but never while the page is in an object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmcore.checked.records import SLOT, Records, walk
from vmcore.constants import (
    HASH_SPREAD,
    OBJ_DYING,
    PG_ACTIVE,
    PG_BUSY,
    PG_FAKE,
    PG_FICTITIOUS,
    PG_FREE,
    PG_INACTIVE,
    PG_LAUNDRY,
    PG_TABLED,
    PG_WANTED,
)
from vmcore.vm_error import an_object, broken

QUEUED = PG_ACTIVE | PG_INACTIVE


def check_queues(records: Records) -> None:
    """The queue lock is held, and about to be let go."""
    touched = records.touched.pages
    while touched:
        records.require(page_facts(records, records.pages[touched.pop()]))
    if records.due("queues"):
        g = records.g
        records.require(queue_facts(records, g.active_first, g.v_active_count, PG_ACTIVE))
        records.require(queue_facts(records, g.inactive_first, g.v_inactive_count, PG_INACTIVE))


def page_facts(records: Records, page: Any) -> Iterator[str]:
    """One page: its flags, its queue, its bucket."""
    name, theirs, ours = f"page {page.slot}", page.flags_o, page.flags_p
    where = ours & QUEUED
    if not theirs & PG_TABLED:
        if where and not theirs & PG_FICTITIOUS:
            yield broken("A3", f"{name} is in no object and on a queue", page)
        return
    if ours & PG_FREE:
        yield broken(
            "A3", f"{name} of object {page.object & SLOT} is free", an_object(page.object & SLOT), page
        )
    if theirs & (PG_FAKE | PG_WANTED) and not theirs & PG_BUSY:
        yield broken("A4", f"{name} is fake or wanted, and not busy", page)
    dying = records.objects[page.object & SLOT].flags & OBJ_DYING  # once set, it stays
    yield from place_facts(name, page, theirs, ours, dying)
    number = (page.object & SLOT) * HASH_SPREAD + (page.offset >> records.vm.page_shift)
    bucket = number & records.vm.hash_mask
    found = sum(one.slot == page.slot for one in walk(records.pages, records.heads[bucket], "hashq_next"))
    if found != 1:
        yield broken("A2", f"{name} is {found} times in hash bucket {bucket}, its own", page)


def place_facts(name: str, page: Any, theirs: int, ours: int, dying: int) -> Iterator[str]:
    """A3 and A4: on which queue, if any, a page in an object has to be.

    The thread that terminates the object cleans its pages off their queues.
    """
    where = ours & QUEUED
    if where == QUEUED:
        yield broken("A3", f"{name} is active and inactive", page)
    if theirs & PG_FICTITIOUS or page.wire_count:
        if where:
            yield broken("A3", f"{name} is on a queue and wired or fictitious", page)
    elif not theirs & PG_BUSY:
        if not where and not dying:
            yield broken(
                "A3",
                f"{name} of object {page.object & SLOT} is left on no queue",
                an_object(page.object & SLOT),
                page,
            )
    elif where == PG_ACTIVE or ours & PG_LAUNDRY:
        yield broken("A4", f"{name} is busy and on a queue, and no thread writes it", page)


def queue_facts(records: Records, first: int, count: int, flag: int) -> Iterator[str]:
    """A3 of one queue: membership agrees with the flags."""
    name, length = "active" if flag == PG_ACTIVE else "inactive", 0
    for page in walk(records.pages, first, "pageq_next"):
        length += 1
        if page.flags_p & (QUEUED | PG_FREE) != flag:
            yield broken("A3", f"page {page.slot} is on the {name} queue with flags {page.flags_p:#x}", page)
        if page.wire_count or page.flags_o & PG_FICTITIOUS:
            yield broken("A3", f"page {page.slot} is on the {name} queue and wired or fictitious", page)
    if length != count:
        yield broken("A3", f"the {name} queue has {length} pages, its count says {count}")
