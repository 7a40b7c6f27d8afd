"""L27: a copy-object that appears during a collapse is taken for a catastrophe."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm
from vmcore.vm_error import panic


def dispose_of_backing(vm: Vm, object: VmObject, backing: VmObject) -> bool:
    """As the repaired step, but with the old consistency test.

    Enter:  object, backing locked.
    Exit:   object locked.
    Takes:  any.
    Sleeps: never.
    """
    if backing.shadow and vm.objects(backing.shadow).copy:
        raise panic(f"vm_object_collapse: object {backing.slot} lies on a copied object", backing)
    done: bool = original("overlay.dispose_of_backing")(vm, object, backing)
    return done


def scene(scene: Scene) -> None:
    """P's O shadows B, as Q's S does, and B a file; B's and O's pages are in swap.  X has nothing yet."""
    scene.map_file("P", 0, "B")
    scene.shadow("P", "O")
    scene.put("B", 0, 1)
    scene.put("O", 1, 2)
    scene.swap_out("B")
    scene.swap_out("O")
    scene.branch("Q", "S", over="B")
    scene.map("X")


script = Script(
    scene=scene,
    roles={
        "A": lambda scene: scene.exit("Q"),
        "X": lambda scene: scene.show_file("X", 0, copy=True),
    },
    cues=(
        ("A", "enter pager.vm_pager_get_pages"),  # the overlay reads B's page, nothing is locked
        ("X", "start"),
        ("X", "end"),  # the file has a copy-object
        ("A", "io swap_read"),
    ),
    check=lambda scene: scene.expect("P", 0, 1),
    files=(4,),
)

defect = Defect(
    id="L27",
    name="collapsed-a-copy-object-panic",
    origin="reconstructed",
    quote=(
        "the copy pointer of the grand object is tested before a sleeping overlay; at its end "
        "anything else is a panic"
    ),
    interleaving=(
        "A: collapse(O): G.copy is none, so overlay(O, B) begins, and sleeps in a page-in   []",
        "X: maps file G by copy: G.copy is set",
        "A: at the end, G.copy is not none: panic, although nothing is wrong",
    ),
    symptom="a panic in a system that is in order",
    verdicts=("panic",),
    scenario="private-readers",
    replacements={"overlay.dispose_of_backing": dispose_of_backing},
    script=script,
)
