"""L33: msync locks the object of an entry that has none yet."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import VM_PROT_WRITE
from vmcore.map.map_clip import entries_between
from vmcore.map.map_entry import entry_share
from vmcore.object.object import vm_object_reference
from vmcore.space.msync import Piece, vm_map_clean
from vmcore.structs import VmMap
from vmcore.vm import Vm


def collect(vm: Vm, map: VmMap, start: int, end: int, writable: bool) -> list[Piece]:
    """As the repaired step, for entries that all have an object.

    Enter:  map locked.
    Exit:   same.
    Takes:  sharing map, object, map hint.
    Sleeps: yes (a sharing map's lock).
    """
    found: list[Piece] = []
    for entry in entries_between(vm, map, start, end):
        low = entry.offset + max(start, entry.start) - entry.start
        high = entry.offset + min(end, entry.end) - entry.start
        may_write = writable and bool(entry.protection & VM_PROT_WRITE)
        if entry.is_a_map:
            share = entry_share(vm, entry)
            share.lock.read()
            found += collect(vm, share, low, high, may_write)
            share.lock.release()
            continue
        target = vm.objects(entry.object)
        vm_object_reference(vm, target)
        found.append(Piece(target, low, high, may_write))
    return found


def sync(scene: Scene) -> None:
    """Msync of the whole region."""
    vm = scene.vm
    vm_map_clean(vm, scene.amap("P"), BASE, BASE + 4 * vm.page_size, True, False)


script = Script(
    scene=lambda scene: scene.map("P"),  # it was never touched
    roles={"P": sync},
    cues=(("P", "start"), ("P", "end")),
)

defect = Defect(
    id="L33",
    name="clean-null-object",
    origin="reconstructed",
    quote="an entry that was never touched has no object, and msync locks the object of every entry",
    interleaving=(
        "P: maps memory and does not touch it: its entry has no object",
        "P: msync of the range: the pieces are collected, this one with the others   [map r]",
        "P: locks the object of each piece: of this one there is none",
    ),
    symptom="msync of fresh memory follows a null pointer",
    verdicts=("panic", "unguarded_access"),
    scenario="refusals",
    replacements={"msync.collect": collect},
    notes="The crash of the old kernels is an exception here, and an exception that is not caught a panic.",
    script=script,
)
