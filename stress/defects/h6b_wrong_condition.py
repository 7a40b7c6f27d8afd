"""H6, second form: the sleeper owned a share itself and waited for one; wakeups came at zero."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import OBJ_DYING, OBJ_WAITING
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.structs import VmObject
from vmcore.vm import Vm


def drain_paging(vm: Vm, object: VmObject) -> None:
    """Wait until the only share of the paging count is our own.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (vospgc).
    """
    vm_object_paging_begin(vm, object, bool(object.flags & OBJ_DYING))
    while object.paging_in_progress != 1:
        object.flags |= OBJ_WAITING
        object.chan.sleep(object.lock, "vospgc", until=(object, "paging_in_progress", 1))
        object.lock.acquire()
    vm_object_paging_end(vm, object)


def scene(scene: Scene) -> None:
    """The only page of P's O is in swap."""
    scene.map("P", "O")
    scene.put("O", 0, 1)
    scene.swap_out("O")


script = Script(
    scene=scene,
    roles={"F": lambda scene: scene.expect("P", 0, 1), "A": lambda scene: scene.clean("O")},
    cues=(
        ("F", "enter fault_search.page_in(O)"),  # pip is 1
        ("A", "start"),
        ("A", "enter object_pages.drain_paging(O)"),  # O is locked until A sleeps
        ("F", "io swap_read"),
    ),
)

defect = Defect(
    id="H6b",
    name="pip-wakeup-at-zero-wait-for-one",
    origin="reconstructed",
    quote="processes hung in vosca1 and vosca2: the condition of the wakeup was not that of the wait",
    interleaving=(
        "F: a fault on O owns a busy page, pip 0 -> 1   []",
        "A: page_clean(O) adds its own share, pip 1 -> 2, and sleeps until it is exactly 1   []",
        "F: pip 2 -> 1: not zero, so no thread is woken",
        "A: sleeps on, although what it waits for is true",
    ),
    symptom="a process sleeps for ever in vospgc on an object that has no other user",
    verdicts=("lost_wakeup", "deadlock"),
    replacements={"object_pages.drain_paging": drain_paging},
    script=script,
)
