"""One line per record, for dumps and for people.

Nothing here takes a lock or follows a link blindly: a dump must work on a system that
is wedged, and stale links are printed as such.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import RecordError
from vmcore import constants
from vmcore.structs import VmMap, VmMapEntry, VmObject, VmPage

if TYPE_CHECKING:
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


def show_object(vm: Vm, object: VmObject) -> str:
    """``O12 ref 3 pip 0 pages 4 size 8 INTERNAL swap 2 shadow O7+1``; sizes in pages."""
    parts = [
        f"O{object.slot} ref {object.ref_count} pip {object.paging_in_progress}",
        f"pages {object.resident_page_count} size {object.size // vm.page_size}",
        names(object.flags, "OBJ_", OBJ),
    ]
    if object.pager:
        parts.append(show_pager(vm, object))
    if object.shadow:
        parts.append(f"shadow O{object.shadow & 0xFFFFFFFF}+{object.shadow_offset // vm.page_size}")
    if object.copy:
        parts.append(f"copy O{object.copy & 0xFFFFFFFF}")
    return " ".join(parts)


def show_pager(vm: Vm, object: VmObject) -> str:
    """``swap4``: kind and pages; the place inside when it is not zero."""
    try:
        pager = vm.pagers(object.pager)
    except RecordError:
        return "pager stale"
    kind = f"swap{pager.sw_cnt}" if pager.pg_type == constants.PG_SWAP else "vnode"
    return f"{kind}@{object.paging_offset // vm.page_size}" if object.paging_offset else kind


def show_chain(vm: Vm, object: VmObject | None) -> str:
    """``O12(ref1,3p)→O7(ref2,1p,swap4)``."""
    links: list[str] = []
    while object is not None and len(links) < LONGEST_CHAIN:
        inside = [f"ref{object.ref_count}", f"{object.resident_page_count}p"]
        if object.paging_in_progress:
            inside.append(f"pip{object.paging_in_progress}")
        if object.pager:
            inside.append(show_pager(vm, object))
        links.append(f"O{object.slot}({','.join(inside)})")
        try:
            object = vm.objects(object.shadow) if object.shadow else None
        except RecordError:
            links.append("stale")
            break
    return "→".join(links) or "none"


def show_page(vm: Vm, page: VmPage) -> str:
    """``P5 of O3+2 BUSY|CLEAN ACTIVE``; the offset in pages."""
    owner = f"of O{page.object & 0xFFFFFFFF}+{page.offset // vm.page_size}" if page.object else "of nobody"
    wired = f" wired {page.wire_count}" if page.wire_count else ""
    return f"P{page.slot} {owner} {names(page.flags_o, 'PG_', PG)} {names(page.flags_p, 'PG_', PG)}{wired}"


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


def show_map(vm: Vm, map: VmMap) -> list[str]:
    """A line for the map and one for each entry."""
    lines = [f"map {map.slot}: {map.nentries} entries, {map.size // vm.page_size} pages"]
    slot, views = map.first, vm.entries.views
    while slot and len(lines) <= len(views):
        lines.append("  " + show_entry(vm, views[slot]))
        slot = views[slot].next
    return lines
