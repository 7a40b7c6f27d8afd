"""L9: two threads allocate a pager for one object, and the second is installed over the first."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.object import adopt_pager
from vmcore.object.object_pager import allocate_unlocked
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.structs import VmObject
from vmcore.vm import Vm


def ensure_pager(vm: Vm, object: VmObject) -> bool:
    """As the repaired step, without PAGERALLOC and without a second look.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, pager, swap map, pool, channel.
    Sleeps: never.
    """
    if not object.pager:
        vm_object_paging_begin(vm, object)
        pager, _ = allocate_unlocked(vm, object)
        if pager is not None:
            object.pager, object.paging_offset = vm.pagers.ref(pager), 0
            adopt_pager(vm, object, pager)
        vm_object_paging_end(vm, object)
    return bool(object.pager)


def scene(scene: Scene) -> None:
    """B has two dirty pages and no pager."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.put("B", 1, 2)


script = Script(
    scene=scene,
    roles={"D": lambda scene: scene.visit("B"), "A": lambda scene: scene.clean("B")},
    cues=(
        ("A", "at pager allocated(B)"),  # B is unlocked, and has no pager yet
        ("D", "start"),
        ("D", "end"),  # the page is on its way to D's
        ("A", "point pager allocated(B)"),
    ),
)

defect = Defect(
    id="L9",
    name="double-pager",
    origin="reconstructed",
    quote="the daemon and an msync both see no pager, both unlock, both allocate, both install",
    interleaving=(
        "D: pageout_page of a page of O: no pager, unlocks O, allocates P1   []",
        "A: page_clean(O): no pager, unlocks O, allocates P2   []",
        "D: installs P1 and writes the page there",
        "A: installs P2 over P1: the page that D wrote is gone, and P1 has no owner",
    ),
    symptom="swap that no object owns, and pages that have become zeros",
    verdicts=("wrong_data", "invariant_violation", "leak"),
    scenario="first-syncs",
    replacements={"object_pager.ensure_pager": ensure_pager},
    script=script,
)
