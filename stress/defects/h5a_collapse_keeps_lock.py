"""H5, first form: the front object stayed locked while its collapse read a page."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.pager.pager import vm_pager_get_pages
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


def read_unlocked(vm: Vm, object: VmObject, backing: VmObject, page: VmPage) -> int:  # noqa: ARG001
    """As the repaired step, but only the backing object is unlocked for the read.

    Enter:  object, backing locked.
    Exit:   same (backing dropped in between).
    Takes:  any.
    Sleeps: yes (the read, with object locked).
    """
    pager = vm.pagers(backing.pager)
    backing.lock.release()
    result: int = vm_pager_get_pages(vm, pager, page, True)
    backing.lock.acquire()
    return result


def scene(scene: Scene) -> None:
    """P's O shadows B, as Q's S does; B's page 0 and O's page 1 are in swap."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "O")
    scene.put("O", 1, 2)
    scene.swap_out("B")
    scene.swap_out("O")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q")},
    cues=(
        ("A", "enter overlay.page_in_one(O)"),
        ("A", "exit page.vm_page_alloc(B)"),  # next B is unlocked, and its pager asked
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="H5a",
    name="simultaneous-collapse-keep-locked",
    origin="documented",
    quote="the remark that asks what becomes of a second collapse of the same object while one sleeps",
    interleaving=(
        "A: overlay(O, B) reads a page of B's pager with O locked   [O]",
        "F: a fault on O waits for the lock as long as the disk takes   [], waits for O",
        "D: the completion of another write of O tries its lock, fails, and comes back later",
        "A: whatever of this A needs to end its own wait never comes",
    ),
    symptom="convoys behind the disk, a starved daemon, and in the end a hang",
    verdicts=("contract_violation", "deadlock", "lost_wakeup", "order_violation"),
    scenario="fork-storm",
    replacements={"overlay.read_unlocked": read_unlocked},
    script=script,
)
