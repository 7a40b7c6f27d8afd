"""L27: a copy-object that appears during a collapse is taken for a catastrophe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import Panic
from harness.locks.contract import original
from stress.defect import Defect
from vmcore.structs import VmObject

if TYPE_CHECKING:
    from vmcore.vm import Vm


def dispose_of_backing(vm: Vm, object: VmObject, backing: VmObject) -> bool:
    """As the repaired step, but with the old consistency test.

    Enter:  object, backing locked.
    Exit:   object locked.
    Takes:  any.
    Sleeps: never.
    """
    if backing.shadow and vm.objects(backing.shadow).copy:
        raise Panic(f"vm_object_collapse: object {backing.slot} lies on a copied object")
    done: bool = original("vmcore.overlay.dispose_of_backing")(vm, object, backing)
    return done


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
    verdicts=("panic", "crash"),
    scenario="private-readers",
    replacements={"vmcore.overlay.dispose_of_backing": dispose_of_backing},
)
