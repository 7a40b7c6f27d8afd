"""L17: two threads make the pager of one file, because neither looks again after the allocation."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject, Vnode
from vmcore.vm import Vm


def make_object(vm: Vm, vnode: Vnode) -> VmObject | None:
    """As the repaired step, but the vnode is unlocked for the allocation.

    Enter:  vnode locked.
    Exit:   vnode locked, dropped in between.
    Takes:  vnode, cache, object, pager, pool, object list.
    Sleeps: yes (the vnode lock).
    """
    vnode.lock.release()  # to allocate may take a while
    vm.point("file without a pager", vnode.slot)
    vnode.lock.acquire()
    made: VmObject | None = original("vnode.make_object")(vm, vnode)
    return made


def scene(scene: Scene) -> None:
    """P and Q have nothing yet."""
    scene.map("P")
    scene.map("Q")


def as_stored(scene: Scene) -> None:
    """What P stores to the file Q sees."""
    scene.write("P", 0, 1)
    scene.expect("Q", 0, 1)


script = Script(
    scene=scene,
    roles={
        "A": lambda scene: scene.show_file("P", 0, shared=True),
        "B": lambda scene: scene.show_file("Q", 0, shared=True),
    },
    cues=(
        ("A", "at file without a pager"),
        ("B", "start"),
        ("B", "end"),
        ("A", "point file without a pager"),
    ),
    check=as_stored,
    files=(4,),
)

defect = Defect(
    id="L17",
    name="duplicate-named-pager",
    origin="reconstructed",
    quote="two map the same file for the first time: both see no pager, both sleep in the allocation",
    interleaving=(
        "A: maps file F: it has no pager, allocates   []",
        "B: maps F: it has no pager, allocates   []",
        "A: F's pager is P1, of object N1; B: F's pager is P2, of object N2",
        "A stores to N1, B never sees it: two objects hold the same file",
    ),
    symptom="what one process stores to a file another one does not see",
    verdicts=("wrong_data", "invariant_violation"),
    scenario="last-users",
    replacements={"vnode.make_object": make_object},
    script=script,
)
