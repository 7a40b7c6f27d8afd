"""H17: the inherited pager gets the paging offset of the wrong object."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.object import adopt_pager
from vmcore.structs import VmObject
from vmcore.vm import Vm


def hand_over_or_next(vm: Vm, object: VmObject, backing: VmObject) -> int | None:
    """As the repaired step, but the offset is added to the front's own, which is zero.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    if object.pager or not backing.pager:
        left: int | None = original("overlay.hand_over_or_next")(vm, object, backing)
        return left
    object.pager = backing.pager
    object.paging_offset += object.shadow_offset
    backing.pager = backing.paging_offset = 0
    adopt_pager(vm, object, vm.pagers(object.pager))
    return None


def scene(scene: Scene) -> None:
    """T begins at O's second page, O at B's second page, and B's third page is in swap."""
    scene.map("P", "B")
    scene.put("B", 2, 1)
    scene.shadow("P", "O", pages=3, offset=1)
    scene.shadow("P", "T", pages=2, offset=1)
    scene.swap_out("B")


def join(scene: Scene) -> None:
    """O inherits B's pager, then T inherits it from O."""
    scene.collapse("O")
    scene.collapse("T")


script = Script(
    scene=scene,
    roles={"A": join},
    cues=(("A", "exit overlay.hand_over_or_next(O)"), ("A", "exit overlay.hand_over_or_next(T)")),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="H17",
    name="pager-move-bugs",
    origin="documented",
    quote=(
        "the pager that collapse moved kept an offset computed from the front object instead of the "
        "backing one"
    ),
    interleaving=(
        ("a region is clipped and forked, so O shadows B at an offset; B is paged out, B's other user exits"),
        ("overlay(O, B): O inherits B's pager with paging_offset = O's offset: right, since B's own was 0"),
        "the same again: O2 shadows O at an offset, O is paged out and collapsed",
        "O2 inherits the pager with O2's offset alone: O's paging offset is forgotten",
        "O2 reads pages from slots that belong to other pages",
    ),
    symptom="wrong pages after two collapses of paged, clipped regions",
    verdicts=("wrong_data", "invariant_violation"),
    scenario="clip-and-fork",
    options={"workers": 8},
    replacements={"overlay.hand_over_or_next": hand_over_or_next},
    script=script,
)
