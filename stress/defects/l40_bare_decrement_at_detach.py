"""L40: the shadow is read again after the sleep, and its count lowered by hand."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.terminate import detach_from_shadow
from vmcore.page.object_paging import vm_object_paging_wait
from vmcore.structs import VmObject
from vmcore.vm import Vm


def detach_and_drain(vm: Vm, object: VmObject) -> VmObject | None:
    """As the repaired step, in the old order, and the reference is not handed to the caller.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (vospgw).
    """
    vm_object_paging_wait(vm, object)
    detach_from_shadow(vm, object)
    return None


def cut_links(vm: Vm, object: VmObject, shadow: VmObject) -> None:
    """As the repaired step, but the count goes down with the links.

    Enter:  object, shadow locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    original("terminate.cut_links")(vm, object, shadow)
    shadow.ref_count -= 1


def scene(scene: Scene) -> None:
    """P's O shadows B, which has no other user."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "O")


script = Script(
    scene=scene,
    roles={"E": lambda scene: scene.exit("P")},
    cues=(("E", "start"), ("E", "end")),
)

defect = Defect(
    id="L40",
    name="bare-decrement-at-detach",
    origin="reconstructed",
    quote="terminate reads the shadow again after sleeping and decrements its count without a release",
    interleaving=(
        "E: the last release of O: terminate sleeps for a page-out   []",
        "E: reads O.shadow = B, unlinks O and lowers B's count by hand",
        "if that was B's last reference, no thread terminates B: it stays for ever, with no reference",
    ),
    symptom="objects without references that no thread can reach, and their memory",
    verdicts=("invariant_violation", "leak", "panic"),
    scenario="fork-trees",
    replacements={
        "terminate.detach_and_drain": detach_and_drain,
        "terminate.cut_links": cut_links,
    },
    script=script,
    notes=(
        "In docs/reference a copy re-points the dying copy-object to another shadow while terminate sleeps, "
        "and the count goes down at the wrong one.  R's copy panics at a dying copy-object instead; so only "
        "the bare decrement is shown, at the object that was the shadow all along."
    ),
)
