"""L6: the front object of a sleeping overlay was bypassed, and its backing object got a second user."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import OBJ_CANPERSIST, OBJ_FADING, OBJ_INTERNAL
from vmcore.structs import VmObject
from vmcore.vm import Vm


def may_join(vm: Vm, object: VmObject, backing: VmObject) -> bool:  # noqa: ARG001
    """As the repaired step, but one that absorbs another may be bypassed meanwhile.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return bool(backing.flags & (OBJ_INTERNAL | OBJ_FADING | OBJ_CANPERSIST) == OBJ_INTERNAL)


def revalidate(vm: Vm, object: VmObject, backing: VmObject, mypip: int) -> bool:  # noqa: ARG001
    """As the repaired step, without a second look at backing's count.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return bool(backing.paging_in_progress == 0 and object.paging_in_progress <= mypip)


def scene(scene: Scene) -> None:
    """P's C shadows O, which Q uses too; O and R's S shadow B, B shadows G.

    O's only page is 1, which C hides; it is in swap, as B's page 0 is.
    """
    scene.map("P", "G")
    scene.put("G", 3, 4)
    scene.shadow("P", "B", "O")
    scene.put("B", 0, 1)
    scene.put("O", 1, 2)
    scene.swap_out("B")
    scene.swap_out("O")
    scene.branch("R", "S", over="B")
    scene.branch("Q", "D", over="O")
    scene.shadow("P", "C")
    scene.put("C", 1, 3)


def as_before(scene: Scene) -> None:
    """P sees its own page 1, what it stored, and B's page 0."""
    scene.expect("P", 3, 5)
    scene.expect("P", 1, 3)
    scene.expect("P", 0, 1)
    scene.expect("Q", 0, 1)


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("R"), "X": lambda scene: scene.write("P", 3, 5)},
    cues=(
        ("A", "enter deallocate.candidate(B)"),
        ("A", "enter pager.vm_pager_get_pages"),  # the overlay of B into O reads, nothing is locked
        ("X", "start"),
        ("X", "enter collapse.vm_object_collapse(C)"),
        ("X", "exit collapse.vm_object_collapse(C)"),
        ("A", "io swap_read"),
    ),
    check=as_before,
)

defect = Defect(
    id="L6",
    name="bypass-through-sleeping-overlay",
    origin="reconstructed",
    quote="read from the code: FADING keeps others from collapsing B, but not from referencing it",
    interleaving=(
        "C shadows O, which has another user; O shadows B, B shadows G; C hides all that O has",
        "A: overlay(O, B) reads a page of B   []",
        "X: a fault has copied a page into C and collapses C: O is bypassed, C shadows B, B.ref 1 -> 2   [C]",
        "A: wakes, moves B's pages into O, lets O shadow G, and drops B   [O B]",
        "C still shadows B, which is empty",
    ),
    symptom="a process reads older data or zeros; kernels that look panic at an object still referenced",
    verdicts=("wrong_data", "panic", "invariant_violation"),
    scenario="fork-storm",
    options={"disk_ms": 6.0, "workers": 8, "pages": 72},
    replacements={"collapse.may_join": may_join, "overlay.revalidate": revalidate},
    script=script,
)
