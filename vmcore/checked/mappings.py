"""Instant invariants of hardware mappings: A13, A14.

A14 when a pv lock is let go (the frames whose lists this thread changed) and when a pmap's lock is (both
sides of the same mapping, where this thread has both locks).  A13 when the lock of the page's object is
let go, for mappings that this thread gave the right to write while it had the map locked.  Whether a page
was pushed to a copy-object before it became writable is not looked at here: the pushed page may have gone
to the pager, whose lock this thread does not hold.  A forgotten push is wrong data, which the reader sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmcore.checked.records import SLOT, Records, walk
from vmcore.constants import PG_FAKE, PG_FREE, PV_LOCKS, VM_PROT_WRITE
from vmcore.pmap.pmap_lists import BUCKETS
from vmcore.vm_error import a_page, broken

# --- A14


def check_frames(records: Records, group: int) -> None:
    """The pv lock of this group of frames is held, and about to be let go."""
    touched = records.touched.frames
    for frame in [frame for frame in touched if frame % PV_LOCKS == group]:
        touched.discard(frame)
        records.require(frame_facts(records, records.pages[frame]))


def frame_facts(records: Records, page: Any) -> Iterator[str]:
    """The list of one frame; while it is not empty, no thread can free the page."""
    name, seen = f"page {page.slot}", set()
    for mapping in walk(records.mappings, page.pv_first, "pv_next"):
        if not records.mapping_lives(mapping.slot) or mapping.frame != page.slot:
            yield broken(
                "A14", f"mapping {mapping.slot} in the list of {name} maps frame {mapping.frame}", page
            )
        if (mapping.pmap, mapping.va) in seen:
            yield broken("A14", f"pmap {mapping.pmap} maps {mapping.va:#x} to {name} twice", page)
        seen.add((mapping.pmap, mapping.va))
    if seen and page.flags_p & PG_FREE:
        yield broken("A14", f"{name} is free and mapped", page)
    if seen and page.flags_o & PG_FAKE:
        yield broken("A14", f"{name} is fake and mapped", page)


def check_pmap(records: Records, pmap: Any) -> None:
    """The pmap's lock is held, and about to be let go."""
    if records.due("pmap", 64):
        records.require(pmap_facts(records, pmap))


def pmap_facts(records: Records, pmap: Any) -> Iterator[str]:
    """Every mapping of the pmap is in its bucket, and in its frame's list if we may look there."""
    length, name, buckets = 0, f"pmap {pmap.slot}", records.pmap_buckets[pmap.slot]
    for mapping in walk(records.mappings, pmap.first, "pmap_next"):
        length += 1
        if mapping.pmap != pmap.slot:
            yield broken(
                "A14", f"mapping {mapping.slot} in the list of {name} belongs to pmap {mapping.pmap}"
            )
        first = buckets[(mapping.va >> records.vm.page_shift) % BUCKETS]
        if not is_in(walk(records.mappings, first, "hash_next"), mapping):
            yield broken("A14", f"{name} does not find its mapping {mapping.slot} of {mapping.va:#x}")
        frame = mapping.frame
        if records.vm.pv_lock(frame).held():
            first = records.pages[frame].pv_first
            if not is_in(walk(records.mappings, first, "pv_next"), mapping):
                yield broken(
                    "A14",
                    f"{name} maps {mapping.va:#x} to page {frame}, which does not list it",
                    a_page(frame),
                )
    if length != pmap.count:
        yield broken("A14", f"{name} lists {length} mappings and counts {pmap.count}")


def is_in(records: Iterator[Any], wanted: Any) -> bool:
    """Is this record on the list?"""
    return any(record.slot == wanted.slot for record in records)


# --- A13


def check_rights(records: Records, object: Any) -> None:
    """The object is locked, and about to be let go."""
    touched = records.touched.mappings
    while touched:
        records.require(right_facts(records, object, records.mappings[touched.pop()]))


def right_facts(records: Records, object: Any, mapping: Any) -> Iterator[str]:
    """A mapping that may be written, of a page of this object: may it?

    The mapping itself may be taken from us at any time, and its record live again as another one; then
    its generation has moved on, and nothing is said.
    """
    life, pmap, va, prot, frame = mapping.generation, mapping.pmap, mapping.va, mapping.prot, mapping.frame
    if frame >= len(records.pages):
        return  # what a free leaves in a record names no page
    page = records.pages[frame]
    if not prot & VM_PROT_WRITE or page.object & SLOT != object.slot or not page.slot:
        return
    found = holder(records, pmap, va)
    if found is None or mapping.generation != life or not records.mapping_lives(mapping.slot):
        return
    main, entry, offset = found
    name = f"pmap {pmap} may write {va:#x} (page {page.slot} of object {object.slot})"
    if not main.protection & entry.protection & VM_PROT_WRITE:
        yield broken("A13", f"{name}, its entry may not", object, page)
    if entry.needs_copy:
        yield broken("A13", f"{name}, its entry needs a copy first", object, page)
    if entry.object != page.object:
        yield broken("A13", f"{name}, its entry's object is {entry.object & SLOT}", object, page)
    elif page.offset != offset:
        yield broken("A13", f"{name} at offset {page.offset:#x}, its entry says {offset:#x}", object, page)


def holder(records: Records, pmap: int, va: int) -> tuple[Any, Any, int] | None:
    """(main entry, entry that names the object, offset there); None: this thread has not locked the maps."""
    held = [records.map_at[row[0]] for row in records.vm.native.held() if row[0] in records.map_at]
    main = next((map for map in held if map.pmap and map.pmap & SLOT == pmap), None)
    entry = main and entry_at(records, main, va)
    if not entry:
        return None
    offset = entry.offset + va - entry.start
    if not entry.is_a_map:
        return entry, entry, offset
    share = records.sharing_maps[entry.object & SLOT]
    inner = entry_at(records, share, offset) if share in held else None
    return (entry, inner, inner.offset + offset - inner.start) if inner else None


def entry_at(records: Records, map: Any, address: int) -> Any:
    """The entry of this address, or None; the map is locked."""
    found = walk(records.entries, map.first, "next")
    return next((entry for entry in found if entry.start <= address < entry.end), None)
