"""L1: a sleeping collapse judged by a count whether its front object was still alive."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def candidate(vm: Vm, object: VmObject) -> VmObject | None:
    """As the repaired step, without a reference: the count of backing is to tell whether it lives.

    Enter:  object locked.
    Exit:   object unlocked; result locked.
    Takes:  object.
    Sleeps: never.
    """
    found: VmObject | None = original("deallocate.candidate")(vm, object)
    if found is not None:
        found.ref_count -= 1  # as if it had not been counted: the lock was not dropped since
    return found


def after_collapse(vm: Vm, shadower: VmObject) -> None:  # noqa: ARG001
    """There is no hold to let go.

    Enter:  shadower locked.
    Exit:   shadower unlocked.
    Takes:  nothing.
    Sleeps: never.
    """
    shadower.lock.release()


def scene(scene: Scene) -> None:
    """P's T shadows B, as Q's S does; B's page 0 and T's page 1 are in swap."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "T")
    scene.put("T", 1, 2)
    scene.swap_out("B")
    scene.swap_out("T")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q"), "E": lambda scene: scene.exit("P")},
    cues=(
        ("A", "enter pager.vm_pager_get_pages"),  # the overlay reads B's page, nothing is locked
        ("E", "start"),
        ("E", "enter terminate.vm_object_terminate(T)"),
        ("E", "exit terminate.vm_object_terminate(T)"),  # T is free
        ("A", "io swap_read"),
    ),
)

defect = Defect(
    id="L1",
    name="orphan-test-fooled",
    origin="reconstructed",
    quote='read from the code: after its sleep the overlay asks "has B still a second reference?"',
    interleaving=(
        "T and S shadow B, whose page is in swap; the last user of S exits",
        "A: deallocate(B) finds T alone above B, takes no reference on it; overlay(T, B) reads   []",
        "E: the owner of T exits; T's count reaches zero, T is terminated and free   []",
        "A: wakes, believes by B's count that T is alive, and locks it: a free record",
    ),
    symptom="use of a freed object in exit storms with pages in swap",
    verdicts=("unguarded_access", "panic"),
    scenario="fork-storm",
    options={"disk_ms": 3.0, "workers": 8, "pages": 64},
    replacements={
        "deallocate.candidate": candidate,
        "deallocate.after_collapse": after_collapse,
    },
    script=script,
)
