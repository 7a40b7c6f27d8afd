"""One line per record, for dumps and for people: objects, pages, maps, and chains.

Nothing here takes a lock or follows a link blindly: a dump must work on a system that
is wedged or in motion, so every walk is bounded, and stale links are printed as such.
Pagers, files and writes are in store.py, everything at once in world.py.

A chain is drawn from the top down::

    O12(ref1,3p)→O7(ref2,1p*,swap4,FADING)→…

references, resident pages, ``*`` when one of them is busy, ``pip`` when above zero, the
backing store with its valid pages (``@`` and the place inside, if that is not zero), and
the flags that do not stand for rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.errors import RecordError
from harness.shm.checked import unguarded
from vmcore import constants
from vmcore.structs import VmMap, VmMapEntry, VmObject, VmPage, Vmspace
from vmcore.vm import Vm

LONGEST_CHAIN = 64  # a ring must not hang the dump


def names(bits: int, prefix: str, table: dict[str, int]) -> str:
    """``BUSY|CLEAN`` from a flags word."""
    found = [name.removeprefix(prefix) for name, bit in table.items() if bit and bits & bit == bit]
    return "|".join(found) or "-"


def flag_table(prefix: str) -> dict[str, int]:
    """All single-bit constants of a prefix."""
    return {
        name: value
        for name, value in vars(constants).items()
        if name.startswith(prefix) and isinstance(value, int) and value > 0 and value & (value - 1) == 0
    }


OBJ = flag_table("OBJ_")
PG = {n: v for n, v in flag_table("PG_").items() if n not in ("PG_SWAP", "PG_VNODE", "PG_DEVICE")}
PASSING = {name: bit for name, bit in OBJ.items() if bit > constants.OBJ_ACTIVE}


def walk(views: Sequence[Any], slot: int, link: str) -> Iterator[Any]:
    """The records of a list of slots.  A link that leads nowhere, or a ring, ends it."""
    for _ in range(len(views)):
        if not 0 < slot < len(views):
            return
        yield views[slot]
        slot = getattr(views[slot], link)


@unguarded()
def show_object(vm: Vm, object: VmObject) -> str:
    """``O12 ref 3 pip 0 pages 4 size 8 INTERNAL swap 2 shadow O7+1``; sizes in pages."""
    if not vm.objects.is_live(object.slot):
        return f"O{object.slot} is free"
    parts = [
        f"O{object.slot} ref {object.ref_count} pip {object.paging_in_progress}",
        f"pages {object.resident_page_count} size {object.size // vm.page_size}",
        names(object.flags, "OBJ_", OBJ),
    ]
    if object.pager:
        parts.append(show_store(vm, object))
    if object.shadow:
        parts.append(f"shadow O{object.shadow & 0xFFFFFFFF}+{object.shadow_offset // vm.page_size}")
    if object.copy:
        parts.append(f"copy O{object.copy & 0xFFFFFFFF}")
    return " ".join(parts)


@unguarded()
def show_store(vm: Vm, object: VmObject) -> str:
    """``swap4``: kind and valid pages; the place inside when it is not zero."""
    try:
        pager = vm.pagers(object.pager)
    except RecordError:
        return "pager stale"
    kind = {
        constants.PG_SWAP: f"swap{pager.sw_cnt}",
        constants.PG_VNODE: "vnode",
        constants.PG_DEVICE: "device",
    }.get(pager.pg_type, "pager?")
    return f"{kind}@{object.paging_offset // vm.page_size}" if object.paging_offset else kind


@unguarded()
def show_link(vm: Vm, object: VmObject) -> str:
    """``O7(ref2,1p*,swap4)``: one link of a chain."""
    resident = walk(vm.pages.views, object.memq_first, "listq_next")
    busy = "*" if any(page.flags_o & constants.PG_BUSY for page in resident) else ""
    inside = [f"ref{object.ref_count}", f"{object.resident_page_count}p{busy}"]
    if object.paging_in_progress:
        inside.append(f"pip{object.paging_in_progress}")
    if object.pager:
        inside.append(show_store(vm, object))
    inside += [name.removeprefix("OBJ_") for name, bit in PASSING.items() if object.flags & bit]
    return f"O{object.slot}({','.join(inside)})"


@unguarded()
def show_chain(vm: Vm, object: VmObject | None, most: int = LONGEST_CHAIN) -> str:
    """``O12(ref1,3p)→O7(ref2,1p,swap4)→…``; the dots when more than ``most`` links follow."""
    objects, end = chain_of(vm, object, most)
    return "→".join([*(show_link(vm, one) for one in objects), *([end] if end else [])]) or "none"


@unguarded()
def chain_of(vm: Vm, object: VmObject | None, most: int = LONGEST_CHAIN) -> tuple[list[VmObject], str]:
    """The objects of a chain from the top, and what ended the walk: nothing, ``most`` or a stale link."""
    objects: list[VmObject] = []
    while object is not None:
        if len(objects) == most:
            return objects, "…"
        objects.append(object)
        try:
            object = vm.objects(object.shadow) if object.shadow else None
        except RecordError:
            return objects, "stale"
    return objects, ""


def chain_behind(vm: Vm, entry: VmMapEntry | None) -> list[VmObject]:
    """The objects that an entry shows."""
    if entry is None or entry.is_a_map or not entry.object:
        return []
    try:
        return chain_of(vm, vm.objects(entry.object))[0]
    except RecordError:
        return []


@unguarded()
def chain_lengths(vm: Vm) -> dict[int, int]:
    """Live object slot -> objects from there down."""
    views, depth = vm.objects.views, {0: 0}
    for one in vm.objects.live():
        path: list[int] = []
        slot = one.slot
        while slot not in depth and len(path) < len(views):
            path.append(slot)
            slot = views[slot].shadow & 0xFFFFFFFF if vm.objects.is_live(slot) else 0
            slot = slot if slot < len(views) and slot not in path else 0
        known = depth.get(slot, 0)
        for back in reversed(path):
            known += 1
            depth[back] = known
    del depth[0]
    return depth


@unguarded()
def longest_chain(vm: Vm) -> int:
    """Objects of the longest shadow chain, read without a lock: a number to look at."""
    return max(chain_lengths(vm).values(), default=0)


@unguarded()
def longest_chains(vm: Vm, count: int, most: int = LONGEST_CHAIN) -> list[str]:
    """The longest chains, drawn; each from an object that no other object shadows."""
    views = vm.objects.views
    tops = [
        (length, slot)
        for slot, length in chain_lengths(vm).items()
        if length > 1 and not views[slot].shadowers_first
    ]
    tops.sort(key=lambda top: (-top[0], top[1]))
    return [show_chain(vm, views[slot], most) for _, slot in tops[:count]]


@unguarded()
def show_page(vm: Vm, page: VmPage) -> str:
    """``P5 of O3+2 BUSY|CLEAN ACTIVE``; the offset in pages, a star when it is busy: ``P5*``.

    Of a frame that is in no object any more, or not yet, it shows where the frame *was* last.
    """
    belongs = "of" if page.flags_o & constants.PG_TABLED else "was of"
    place = f"O{page.object & 0xFFFFFFFF}+{page.offset // vm.page_size}"
    owner = f"{belongs} {place}" if page.object else "of no object"
    wired = f" wired {page.wire_count}" if page.wire_count else ""
    busy = "*" if page.flags_o & constants.PG_BUSY else ""
    return (
        f"P{page.slot}{busy} {owner} {names(page.flags_o, 'PG_', PG)} {names(page.flags_p, 'PG_', PG)}{wired}"
    )


@unguarded()
def show_entry(vm: Vm, entry: VmMapEntry) -> str:
    """``[0x1000, 0x3000) rwx cow needs_copy O12(...)→...``."""
    rights = "".join(
        letter if entry.protection & bit else "-"
        for letter, bit in (
            ("r", constants.VM_PROT_READ),
            ("w", constants.VM_PROT_WRITE),
            ("x", constants.VM_PROT_EXECUTE),
        )
    )
    words = [word for word in ("copy_on_write", "needs_copy") if getattr(entry, word)]
    if entry.is_a_map:
        words.append(f"sharing map {entry.object & 0xFFFFFFFF}+{entry.offset:#x}")
    elif entry.object:
        try:
            words.append(show_chain(vm, vm.objects(entry.object)) + f"+{entry.offset // vm.page_size}")
        except RecordError:
            words.append("stale object")
    return " ".join([f"[{entry.start:#x}, {entry.end:#x})", rights, *words])


@unguarded()
def show_map(vm: Vm, map: VmMap) -> list[str]:
    """A line for the map and one for each entry."""
    kind = "map" if map.is_main_map else "sharing map"
    wirings = f", {map.wirings} wirings under way" if map.wirings else ""
    lines = [f"{kind} {map.slot}: {map.nentries} entries, {map.size // vm.page_size} pages{wirings}"]
    return lines + ["  " + show_entry(vm, entry) for entry in walk(vm.entries.views, map.first, "next")]


@unguarded()
def show_vmspace(vm: Vm, space: Vmspace) -> str:
    """``V3 users 1 map 3 (4 entries, 20 pages) pmap 3 (7 mappings)``."""
    try:
        map, pmap = vm.maps(space.map), vm.pmaps(space.pmap)
    except RecordError:
        return f"V{space.slot} users {space.vm_refcnt}, its map is stale"
    return (
        f"V{space.slot} users {space.vm_refcnt} map {map.slot} ({map.nentries} entries, "
        f"{map.size // vm.page_size} pages) pmap {pmap.slot} ({pmap.count} mappings)"
    )
