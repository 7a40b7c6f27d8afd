"""L32, second form: the first entry of the range says whether any of them may be written at once."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import KERN_SUCCESS, VM_PROT_ALL, VM_PROT_READ, VM_PROT_WRITE
from vmcore.map.map import map_pmap
from vmcore.map.map_clip import entries_between
from vmcore.pmap.pmap_range import mappings_in
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.map_user import vm_allocate
from vmcore.structs import Pmap, VmMap
from vmcore.vm import Vm


def protect_locked(vm: Vm, map: VmMap, start: int, end: int, protection: int, set_max: bool) -> int:
    """As the repaired step, but the write mask is that of the first entry.

    Enter:  map write-locked.
    Exit:   same.
    Takes:  sharing map, map hint, map ref, object, pool, pv, pmap.
    Sleeps: yes (the lock of a sharing map).
    """
    code: int = original("map_protect.protect_locked")(vm, map, start, end, protection, set_max)
    pmap = map_pmap(vm, map)
    if code == KERN_SUCCESS and pmap is not None:
        entries = entries_between(vm, map, start, end)
        mask = ~VM_PROT_WRITE if entries[0].copy_on_write else ~0
        for entry in entries:
            set_rights(vm, pmap, entry.start, entry.end, entry.protection & mask)
    return code


def set_rights(vm: Vm, pmap: Pmap, start: int, end: int, prot: int) -> None:
    """A machine layer that sets the rights it is told, higher ones too."""
    pmap.lock.acquire()
    for mapping in mappings_in(vm, pmap, start, end):
        mapping.prot = prot
    pmap.lock.release()


def scene(scene: Scene) -> None:
    """P shares page 2 with its child Q; pages 0 and 1 are new."""
    vm = scene.vm
    scene.map("P", "B")
    scene.put("B", 2, 1)
    scene.fork("P", "Q")
    vm_allocate(vm, scene.amap("P"), 2 * vm.page_size, BASE)
    scene.expect("P", 2, 1)


def close_open_and_store(scene: Scene) -> None:
    """Make everything read-only, and writable again; then store to page 2."""
    vm = scene.vm
    for protection in (VM_PROT_READ, VM_PROT_ALL):
        vm_map_protect(vm, scene.amap("P"), BASE, BASE + 4 * vm.page_size, protection)
    scene.write("P", 2, 5)


script = Script(
    scene=scene,
    roles={"P": close_open_and_store},
    cues=(("P", "start"), ("P", "end")),
    check=lambda scene: scene.expect("Q", 2, 1),
)

defect = Defect(
    id="L32b",
    name="protect-wrong-mask",
    origin="reconstructed",
    quote="the write mask comes from the first entry of the range, not from the current one",
    interleaving=(
        "P: has new memory in front of memory that it shares copy-on-write with a child",
        "P: makes both read-only, then writable: new memory comes first, and may be written at once",
        "the machine layer makes P's mappings of the child's pages writable too",
        "P: stores: no fault, no copy; the child reads P's store",
    ),
    symptom="a child sees what its parent stores after the fork",
    verdicts=("wrong_data", "invariant_violation"),
    scenario="mixed-rights",
    replacements={"map_protect.protect_locked": protect_locked},
    script=script,
    notes="Needs a machine layer that raises rights, which this VM's own never does; it comes with the step.",
)
