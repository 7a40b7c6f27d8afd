"""H27: the last frames go to any thread that asks, and the daemon has none to write anything with."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def reserve_for(vm: Vm, object: VmObject) -> int:  # noqa: ARG001
    """As the repaired step, but no caller has to leave a frame.

    Enter:  anything.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return 0


def scene(scene: Scene) -> None:
    """Every frame is W's but the reserve; P has nothing yet."""
    scene.map("P", pages=16)
    scene.fill("W")


def take_the_rest(scene: Scene) -> None:
    """More pages than there are in the reserve."""
    for number in range(scene.vm.g.v_free_reserved + 1):
        scene.write("P", number, number)


script = Script(
    scene=scene,
    roles={"F": take_the_rest},
    cues=(
        ("F", "enter vm_wait.VM_WAIT"),
        ("pageout", "enter pageout.vm_pageout_scan"),
    ),
    pages=32,
    check=lambda scene: scene.expect("P", 0, 0),
)

defect = Defect(
    id="H27",
    name="no-reserve",
    origin="documented",
    quote="the code that kept the last pages for the kernel and the daemon was lost in a merge",
    interleaving=(
        "F, G, H: faults of dirty pages take the last free frame",
        "D: a page must be written; the write needs a frame of its own: there is none",
        "D: AGAIN, for every page; swap is nearly empty",
        "all wait for memory that D could make, had it one frame; here D says in the end: no memory",
    ),
    symptom="a hang, or 'no memory', while the swap has room",
    verdicts=("deadlock", "lost_wakeup", "invariant_violation", "panic"),
    scenario="long-lived-parent",
    notes=(
        "R does not wait for ever: where the old systems hung it says that there is no memory.  That report "
        "counts: an access that is refused while the swap has room."
    ),
    replacements={"page.reserve_for": reserve_for},
    script=script,
)
