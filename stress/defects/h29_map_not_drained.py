"""H29: an address space is freed while somebody who has left it waits for its map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.map import vm_map_unlock_and_release
from vmcore.pmap_range import pmap_destroy
from vmcore.structs import VmMap, Vmspace
from vmcore.vmspace import drop_user, remove_all, space_map

if TYPE_CHECKING:
    from vmcore.vm import Vm


def vmspace_free(vm: Vm, space: Vmspace) -> None:
    """A sharer gives its share back, and only then looks what it has left behind in the map."""
    amap = space_map(vm, space)
    pmap = vm.pmaps(space.pmap)
    if drop_user(vm, space):
        look_back(vm, amap)
        return
    remove_all(vm, amap)
    pmap_destroy(vm, pmap)
    vm.maps.free(amap)  # whoever still waits for its lock gets it afterwards
    vm.vmspaces.free(space)


def look_back(vm: Vm, map: VmMap) -> None:
    """The late waiter: it wants the map once more."""
    vm.point("share given back", map.slot)
    map.lock.write()
    map.timestamp += 1
    vm_map_unlock_and_release(vm, map, [])


defect = Defect(
    id="H29",
    name="map-not-drained",
    origin="documented",
    quote="a map is drained now before it goes: everybody who waits for its lock is waited out",
    interleaving=(
        "A and B share a space; A leaves: vm_refcnt 2 -> 1, and queues for the map's lock",
        "B leaves: vm_refcnt 1 -> 0, deletes all entries   [map w]",
        "B: frees the map, without waiting for A",
        "A: gets the lock of a record that is free, or somebody else's map by now, and stores to it",
    ),
    symptom="a stray store into the map of another process",
    verdicts=("unguarded_access", "panic", "crash", "invariant_violation", "contract_violation"),
    scenario="short-threads",
    options={"checked": True},
    replacements={"vmcore.vmspace.vmspace_free": vmspace_free},
    notes=(
        "A reconstruction: in R nobody waits for the lock of a space that he does not share, so the "
        "late waiter (a sharer that looks back) belongs to the switch, as does the missing drain."
    ),
)
