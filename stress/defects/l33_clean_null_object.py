"""L33: msync locks the object of an entry that has none yet."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.map.map_clip import entries_between
from vmcore.space.msync import Piece, collect_entry, vm_map_clean
from vmcore.structs import VmMap
from vmcore.vm import Vm


def collect(vm: Vm, map: VmMap, start: int, end: int, writable: bool) -> list[Piece]:
    """As the repaired step, for entries that all have an object.

    Enter:  map locked.
    Exit:   same.
    Takes:  sharing map, object, map hint.
    Sleeps: yes (a sharing map's lock).
    """
    entries = entries_between(vm, map, start, end)
    return [piece for entry in entries for piece in collect_entry(vm, entry, start, end, writable)]


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
