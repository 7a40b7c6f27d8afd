"""H12: to deactivate a page that is on no queue it is activated first, in a section of its own."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import PG_ACTIVE
from vmcore.page.object_paging import vm_object_paging_end
from vmcore.page.page import object_pages
from vmcore.page.page_queues import vm_page_activate, vm_page_deactivate
from vmcore.page.page_wait import page_wakeup
from vmcore.pageout.pageout import scan_page
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


def leave_source(vm: Vm, object: VmObject, page: VmPage) -> None:
    """As the repaired step, but by way of the active queue, and with the object unlocked in between.

    Enter:  object locked.
    Exit:   object unlocked.
    Takes:  any.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    vm_page_activate(vm, page)  # BUSY still
    vm.page_queue_lock.release()
    vm.page_queue_lock.acquire()
    page_wakeup(vm, page)
    vm.page_queue_lock.release()
    vm_object_paging_end(vm, object)
    object.lock.release()
    vm.point("active, soon inactive", page.slot)
    vm.page_queue_lock.acquire()
    vm_page_deactivate(vm, page)
    vm.page_queue_lock.release()


def scene(scene: Scene) -> None:
    """P's T and Q's S shadow B, whose resident page is clean."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.put("B", 1, 2)  # not hidden by any copy: so B is still needed
    scene.swap_out("B")
    scene.shadow("P", "T")
    scene.branch("Q", "S", over="B")
    scene.expect("Q", 0, 1)


def look(scene: Scene) -> None:
    """What the daemon does with B's page, at two visits: age it, then judge it."""
    vm, found = scene.vm, scene.object("B")
    found.lock.acquire()
    page = object_pages(vm, found)[0]
    found.lock.release()
    vm.page_queue_lock.acquire()
    if page.flags_p & PG_ACTIVE:
        vm_page_deactivate(vm, page)
    scan_page(vm, page)
    vm.page_queue_lock.release()


script = Script(
    scene=scene,
    roles={"F": lambda scene: scene.write("P", 0, 2), "D": look},
    cues=(
        ("F", "exit object_paging.vm_object_paging_end(B)"),  # B is unlocked next
        ("D", "start"),
        ("D", "end"),
        ("F", "point active, soon inactive"),
    ),
)

defect = Defect(
    id="H12",
    name="activate-then-deactivate hack",
    origin="documented",
    quote="the page is activated and then deactivated, so that deactivate does the right thing",
    interleaving=(
        "F: a write fault has copied page m of B: m is BUSY, on no queue   [B]",
        "F: activates m, unlocks the queues, wakes m, unlocks B   []",
        "D: moves m to the inactive queue, finds it clean and frees it   [queue, B]",
        "F: deactivates m: a free page is on the inactive queue",
    ),
    symptom="free pages on the inactive queue, and a free list that ends in the middle",
    verdicts=("invariant_violation", "panic"),
    scenario="fork-storm",
    options={"checked": True},  # at the first unlock of the queues the page is busy and on one
    replacements={"fault_copy.leave_source": leave_source},
    script=script,
)
