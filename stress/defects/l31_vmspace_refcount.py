"""L31: two sharers of an address space leave at once, and each counts by itself."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.space.vmspace import vmspace_share
from vmcore.structs import Vmspace
from vmcore.vm import Vm


def drop_user(vm: Vm, space: Vmspace) -> int:
    """As the repaired step, without the lock.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    left: int = space.vm_refcnt - 1
    vm.point("one user less", space.slot)
    space.vm_refcnt = left
    return left


def scene(scene: Scene) -> None:
    """A space with two users and a page."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    vmspace_share(scene.vm, scene.space("P"))


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("P"), "B": lambda scene: scene.exit("P")},
    cues=(
        ("A", "at one user less"),  # it has read 2
        ("B", "start"),
        ("B", "end"),
        ("A", "point one user less"),
    ),
    check=lambda scene: scene.spaces.clear(),  # both have left: nothing is left to exit
)

defect = Defect(
    id="L31",
    name="vmspace-refcount",
    origin="reconstructed",
    quote="the count of the processes that share an address space goes down by a plain decrement",
    interleaving=(
        "A and B share a space, vm_refcnt 2, and both exit",
        "A: reads 2; B: reads 2   []",
        "A: stores 1 and leaves; B: stores 1 and leaves: neither tears the space down",
    ),
    symptom="an address space that has no user and is never freed, or one that is torn down twice",
    verdicts=("leak", "invariant_violation", "unguarded_access", "panic"),
    scenario="short-threads",
    replacements={"vmspace.drop_user": drop_user},
    script=script,
)
