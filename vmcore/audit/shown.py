"""A13, the reading half: a mapping shows the page that the entry's chain shows, no other.

A mapping left behind when a nearer object got its own page shows old contents that no thread
may read any more; a right to write is checked in audit_maps.
"""

from __future__ import annotations

from harness.shm.facts import Fact
from vmcore.audit.maps import holder_of, mappings
from vmcore.audit.pages import memq
from vmcore.structs import VmMapEntry, VmPage
from vmcore.vm import Vm
from vmcore.vm_error import Facts, a_page


def audit_shown(vm: Vm) -> list[Fact]:
    """A13: every hardware mapping shows what a fault would find."""
    resident = {(object.slot, page.offset): page for object in vm.objects.live() for page in memq(vm, object)}
    bad = Facts()
    for space in vm.vmspaces.live():
        map = vm.maps(space.map)
        for mapping in mappings(vm, vm.pmaps(space.pmap)):
            held = holder_of(vm, map, mapping.va)
            if held is None:
                continue  # audit_maps says so
            _, entry, offset = held
            right = first_resident(vm, entry, offset, resident)
            if right is None or right.slot != mapping.frame:
                shown = f"page {right.slot}" if right else "no resident page"
                bad.add(
                    "A13",
                    f"map {map.slot} maps {mapping.va:#x} to page {mapping.frame}, "
                    f"where its chain shows {shown}",
                    a_page(mapping.frame),
                )
    return bad


def first_resident(
    vm: Vm, entry: VmMapEntry, offset: int, resident: dict[tuple[int, int], VmPage]
) -> VmPage | None:
    """The nearest resident page on the entry's chain."""
    link = entry.object
    for _ in range(len(vm.objects.views)):
        if not link:
            return None
        object = vm.objects(link)
        page = resident.get((object.slot, offset))
        if page is not None:
            return page
        offset += object.shadow_offset
        link = object.shadow
    return None
