"""Instant invariants of objects: A1, A2 (lists), A4 (owners), A5, A6, A7, A10.

Looked at when an object's lock is let go.  A fact about two objects is looked at when this thread has
both locks; a thread that would change it needs both.  Of A5 this is the half that one lock guards: that the
owner of a share gives it back is checked by the claim that goes with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmcore.checked.records import SLOT, Records, walk
from vmcore.constants import (
    OBJ_COLLAPSING,
    OBJ_DYING,
    OBJ_FADING,
    OBJ_INTERNAL,
    OBJ_WAITING,
    PG_BUSY,
    PG_FAKE,
    PG_FICTITIOUS,
    PG_TABLED,
    PG_WANTED,
)
from vmcore.vm_error import broken


def check_object(records: Records, object: Any) -> None:
    """The object is locked, and about to be let go."""
    if not records.object_lives(object.slot):
        return  # it was freed under its lock; a thread that looks for it now finds a stale link
    records.require(object_facts(records, object))
    below = records.objects[object.shadow & SLOT] if object.shadow else None
    if below is not None and below.lock.held():
        records.require(pair_facts(records, object, below))
    if records.due("memq"):
        records.require(resident_facts(records, object))
    if below is not None and records.due("chain"):
        records.require(chain_facts(records, object))


def object_facts(records: Records, object: Any) -> Iterator[str]:
    """What one object's fields say about each other."""
    name, flags, count = f"object {object.slot}", object.flags, object.ref_count
    if count < 0:
        yield broken("A1", f"{name} has {count} references", object)
    if flags & OBJ_DYING and count:
        yield broken("A1", f"{name} is dying with {count} references", object)
    shadowers = list(walk(records.objects, object.shadowers_first, "shadowers_next"))
    if count < len(shadowers):
        yield broken("A1", f"{name} has {count} references and {len(shadowers)} shadowers", object)
    for shadower in shadowers:
        if shadower.shadow & SLOT != object.slot:
            yield broken(
                "A6",
                f"{name} lists object {shadower.slot} as a shadower, which shadows another",
                object,
                shadower,
            )
    if flags & OBJ_WAITING and not object.paging_in_progress:
        yield broken("A5", f"a thread waits for paging on {name}, which has none", object)
    if flags & OBJ_COLLAPSING and not (count >= 1 and object.shadow):
        yield broken(
            "A10", f"{name} collapses with {count} references and shadow {object.shadow & SLOT}", object
        )
    if flags & OBJ_FADING and not flags & OBJ_DYING and (count, len(shadowers)) != (1, 1):
        yield broken("A10", f"{name} fades with {count} references and {len(shadowers)} shadowers", object)
    if object.copy:
        yield from copy_facts(records, object)


def copy_facts(records: Records, object: Any) -> Iterator[str]:
    """A7: the copy-object of a locked source cannot be re-pointed without the source's lock."""
    name, copy = f"object {object.slot}", records.objects[object.copy & SLOT]
    if not records.object_lives(copy.slot) or copy.generation != object.copy >> 32:
        yield broken("A7", f"{name} names a copy-object that is gone", object)
    elif copy.shadow & SLOT != object.slot or copy.shadow_offset:
        yield broken(
            "A7",
            f"copy-object {copy.slot} shadows {copy.shadow & SLOT}+{copy.shadow_offset}, not {name}",
            copy,
            object,
        )
    elif object.flags & OBJ_INTERNAL or object.shadow:
        yield broken("A7", f"{name} has a copy-object, and is anonymous or shadows something", object)


def pair_facts(records: Records, object: Any, below: Any) -> Iterator[str]:
    """A6, A10 of an object and what it shadows, both locked."""
    name = f"object {object.slot}"
    if below.generation != object.shadow >> 32:
        yield broken("A6", f"{name} shadows object {below.slot} of an earlier life", object, below)
    elif all(
        one.slot != object.slot for one in walk(records.objects, below.shadowers_first, "shadowers_next")
    ):
        yield broken("A6", f"{name} is missing among the shadowers of object {below.slot}", object, below)
    if object.flags & OBJ_COLLAPSING and not below.flags & OBJ_FADING:
        yield broken("A10", f"{name} collapses with object {below.slot}, which does not fade", object, below)


def chain_facts(records: Records, object: Any) -> Iterator[str]:
    """A6: no ring.  The chain is read without locks: a link counts if its record still lives after the read.

    A link only ever moves down the chain, so links read one after the other make no false ring.
    """
    reference, steps = object.shadow, 0
    while reference:
        below = records.objects[reference & SLOT]
        further = below.shadow
        if below.generation != reference >> 32 or not records.object_lives(below.slot):
            return
        steps += 1
        if below.slot == object.slot or steps > len(records.objects):
            yield broken("A6", f"the chain of object {object.slot} is a ring", object)
            return
        reference = further


def resident_facts(records: Records, object: Any) -> Iterator[str]:
    """A2, A4 of the resident pages."""
    name, seen = f"object {object.slot}", set()
    pages = list(walk(records.pages, object.memq_first, "listq_next"))
    if len(pages) != object.resident_page_count:
        yield broken("A2", f"{name} lists {len(pages)} pages and counts {object.resident_page_count}", object)
    for page in pages:
        flags, offset = page.flags_o, page.offset
        if page.object & SLOT != object.slot or not flags & PG_TABLED:
            yield broken(
                "A2", f"page {page.slot} in the list of {name} belongs to {page.object & SLOT}", object, page
            )
        if offset in seen or (offset >= object.size and not flags & (PG_FAKE | PG_FICTITIOUS)):
            yield broken(
                "A2",
                f"{name} of {object.size} bytes has page {page.slot} at {offset}, twice or beyond",
                object,
                page,
            )
        seen.add(offset)
        if flags & (PG_FAKE | PG_WANTED) and not flags & PG_BUSY:
            yield broken("A4", f"page {page.slot} of {name} is fake or wanted, and not busy", object, page)
        if flags & PG_BUSY and not object.paging_in_progress:
            yield broken("A4", f"page {page.slot} of {name} is busy, and no thread pages there", object, page)
