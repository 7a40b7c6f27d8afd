"""L14: a dying copy-object can still be found while its terminator sleeps."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.terminate import detach_from_shadow
from vmcore.page.object_paging import vm_object_paging_wait
from vmcore.structs import VmObject
from vmcore.vm import Vm


def detach_and_drain(vm: Vm, object: VmObject) -> VmObject | None:
    """As the repaired step, in the old order: wait first, cut the links after.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (vospgw).
    """
    vm_object_paging_wait(vm, object)
    return detach_from_shadow(vm, object)


def scene(scene: Scene) -> None:
    """P's C is the snapshot of a file that W stores to; C has a page, which is dirty."""
    scene.map_file("W", 0, "S", shared=True)
    scene.map("P")
    scene.show_file("P", 0, copy=True)
    scene.call("P", "C")
    scene.write("W", 0, 1)


script = Script(
    scene=scene,
    roles={
        "D": lambda scene: scene.clean("C", sync=False),
        "E": lambda scene: scene.exit("P"),
        "F": lambda scene: scene.write("W", 1, 2),
    },
    cues=(
        ("D", "end"),  # the write is queued
        ("E", "start"),
        ("E", "enter object_paging.vm_object_paging_sleep(C)"),
        ("F", "start"),
        ("F", "end"),
        ("disk", "io swap_write"),
    ),
    check=lambda scene: scene.expect("W", 1, 2),
    files=(4,),
)

defect = Defect(
    id="L14",
    name="copy-object-double-termination",
    origin="reconstructed",
    quote="the dying copy-object stays reachable through the source's copy pointer while terminate sleeps",
    interleaving=(
        "D: writes a page of C, a copy-object of S: C.pip is 1   []",
        "E: the last unmap of C: no reference left, terminate sleeps for the paging count   []",
        "F: a write fault on S finds S.copy = C, pushes, and holds a reference: 0 becomes 1",
        "F: drops it: 1 becomes 0, and C is terminated a second time",
    ),
    symptom="one object is freed twice, or revived while it dies",
    verdicts=("panic", "invariant_violation", "unguarded_access"),
    scenario="old-photographs",
    replacements={"terminate.detach_and_drain": detach_and_drain},
    script=script,
)
