"""L48: a counter that many processes change is counted without a lock."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmPage
from vmcore.vm import Vm


def frame_free(vm: Vm, page: VmPage) -> None:
    """As the repaired step, but the frame is counted after the lock was let go.

    Enter:  anything.
    Exit:   same.
    Takes:  free list.
    Sleeps: never.
    """
    original("page.frame_free")(vm, page)
    g = vm.g
    vm.free_lock.acquire()
    g.v_free_count -= 1  # it was counted with the list; we are to count it apart
    vm.free_lock.release()
    count = g.v_free_count
    vm.point("free count read", page.slot)
    g.v_free_count = count + 1


def scene(scene: Scene) -> None:
    """P has a page, Q will have one."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.map("Q", "C")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.drop("B", 0), "B": lambda scene: scene.write("Q", 0, 2)},
    cues=(
        ("A", "at free count read"),
        ("B", "start"),
        ("B", "exit page.frame_alloc"),
        ("A", "point free count read"),
    ),
)

defect = Defect(
    id="L48",
    name="stat-counters",
    origin="reconstructed",
    quote="counters in global memory are incremented by many processes without a lock",
    interleaving=(
        "A: frees a frame: reads the count of free frames, n",
        "B: takes a frame: n - 1",
        "A: writes n + 1: the count says two frames more than there are on the list",
    ),
    symptom="counts that disagree with the lists, in the end a frame that is taken from an empty list",
    verdicts=("invariant_violation", "panic"),
    scenario="fork-storm",
    replacements={"page.frame_free": frame_free},
    script=script,
)
