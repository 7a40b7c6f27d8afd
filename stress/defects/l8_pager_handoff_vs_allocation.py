"""L8: a pager is installed over the one that a collapse has handed over meanwhile."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.object import adopt_pager
from vmcore.object.object_pager import allocate_unlocked
from vmcore.structs import VmObject
from vmcore.vm import Vm


def ensure_pager(vm: Vm, object: VmObject) -> bool:
    """As the repaired step, without a paging count meanwhile and without a second look.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, pager, swap map, pool, channel.
    Sleeps: never.
    """
    if not object.pager:
        pager, _ = allocate_unlocked(vm, object)
        if pager is not None:
            object.pager, object.paging_offset = vm.pagers.ref(pager), 0
            adopt_pager(vm, object, pager)
    return bool(object.pager)


def scene(scene: Scene) -> None:
    """P's O shadows B, whose page 0 is in swap, as Q's S does; O's page 1 is dirty, and O has no pager."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "O")
    scene.put("O", 1, 2)
    scene.swap_out("B")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.clean("O"), "B": lambda scene: scene.exit("Q")},
    cues=(
        ("A", "at pager allocated(O)"),  # O is unlocked, its new pager is not installed yet
        ("B", "start"),
        ("B", "end"),  # O has inherited B's
        ("A", "point pager allocated(O)"),
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="L8",
    name="pager-handoff-vs-allocation",
    origin="reconstructed",
    quote="callers open-coded unlock, allocate and setpager, and did not look again",
    interleaving=(
        "A: page_clean(O): O has no pager, so O is unlocked and one is allocated   []",
        "B: overlay(O, B): O has no pager, so it inherits B's, which holds swapped pages   [O B]",
        "A: installs the new pager over it   [O]: the swapped pages are gone",
    ),
    symptom="swap that no object owns, and pages that have become zeros",
    verdicts=("wrong_data", "invariant_violation", "leak"),
    scenario="synced-heaps",
    options={"workers": 5},
    replacements={"object_pager.ensure_pager": ensure_pager},
    script=script,
)
