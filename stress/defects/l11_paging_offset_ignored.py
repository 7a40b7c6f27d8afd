"""L11: collapse asks the pager with object offsets."""

from __future__ import annotations

from typing import Any

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.pager.pager import vm_pager_has_page
from vmcore.space.map_user import vm_deallocate
from vmcore.structs import VmObject
from vmcore.vm import Vm


def untranslated(step: str, vm: Vm, object: VmObject, *offsets: int) -> Any:
    """Answer of the repaired step for an object whose pager's offsets are its own; object locked."""
    base = object.paging_offset
    object.paging_offset = 0  # no other thread looks: we have the lock
    answer = original(step)(vm, object, *offsets)
    if object.pager:
        object.paging_offset = base
    return answer


def pager_holds(vm: Vm, object: VmObject, offset: int) -> bool:
    """As the repaired step, untranslated.

    Enter:  object locked.
    Exit:   same.
    Takes:  pager.
    Sleeps: never.
    """
    return bool(object.pager) and vm_pager_has_page(vm, vm.pagers(object.pager), offset)


def next_in_pager(vm: Vm, object: VmObject, offset: int) -> int | None:
    """As the repaired step, untranslated.

    Enter:  object locked.
    Exit:   same.
    Takes:  pager.
    Sleeps: never.
    """
    found = untranslated("object_pager.next_in_pager", vm, object, offset)
    return None if found is None or found >= object.size else int(found)


def remove_from_pager(vm: Vm, object: VmObject, start: int, end: int) -> int:
    """As the repaired step, untranslated.

    Enter:  object locked.
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    return int(untranslated("object_pager.remove_from_pager", vm, object, start, end))


def scene(scene: Scene) -> None:
    """P's T shadows O, which shadows the second half of B; all of B and a page of T are in swap.

    Q's branch is at B, R's is at O.
    """
    vm = scene.vm
    scene.map("P", "B", pages=8)
    for number in range(8):
        scene.put("B", number, number + 1)
    vm_deallocate(vm, scene.amap("P"), BASE + 4 * vm.page_size, 4 * vm.page_size)
    scene.shadow("P", "O", offset=4)
    scene.shadow("P", "T")
    scene.put("T", 3, 9)
    scene.swap_out("B")
    scene.swap_out("T")
    scene.branch("Q", "S", over="B")
    scene.branch("R", "U", over="O")


def leave_twice(scene: Scene) -> None:
    """Q's exit collapses B into O, which inherits a pager; R's collapses O into T, page by page."""
    scene.exit("Q")
    scene.exit("R")


script = Script(
    scene=scene,
    roles={"A": leave_twice},
    cues=(("A", "start"), ("A", "end")),
    check=lambda scene: scene.expect("P", 0, 5),
)

defect = Defect(
    id="L11",
    name="paging-offset-ignored",
    origin="reconstructed",
    quote=(
        "collapse called haspage, remove and next with object offsets, while page I/O adds the paging offset"
    ),
    interleaving=(
        "map 8 pages, write all, fork; the parent unmaps the first 4 and writes: O shadows B at 4 pages",
        (
            "everything is paged out; the child exits; overlay: O inherits B's pager with "
            "paging_offset 4 pages"
        ),
        "fork again, write, page out the new front O2; the child exits; overlay(O2, O)",
        (
            "next(0) answers 4 pages, which is past the end of O: nothing is swapped, it says, and "
            "the pager goes"
        ),
    ),
    symptom="pages lost, or taken from other slots, after two collapses of clipped regions",
    verdicts=("wrong_data", "invariant_violation", "leak"),
    scenario="clip-and-fork",
    options={"workers": 8, "disk_ms": 3.0},
    replacements={
        "object_pager.pager_holds": pager_holds,
        "object_pager.next_in_pager": next_in_pager,
        "object_pager.remove_from_pager": remove_from_pager,
    },
    script=script,
)
