"""L26: a page is tested for stores first, and unmapped after."""

from __future__ import annotations

from harness.shm.checked import unguarded
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import VM_PROT_NONE
from vmcore.page.page import object_pages
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.pageout.pageout import scan_page
from vmcore.pmap.pmap import pmap_is_modified, pmap_page_protect
from vmcore.structs import VmPage
from vmcore.vm import Vm


def unmap_and_test(vm: Vm, page: VmPage) -> bool:
    """As the repaired step, but the modify bit is looked at while stores are still possible.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  pv, pmap, pool.
    Sleeps: never.
    """
    if pmap_is_modified(vm, page):
        return True
    vm.point("tested, still mapped", page.slot)
    pmap_page_protect(vm, page, VM_PROT_NONE)
    return False


def scene(scene: Scene) -> None:
    """B's page is clean, inactive, and still mapped."""
    vm = scene.vm
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.swap_out("B")
    scene.expect("P", 0, 1)
    with unguarded():  # we are alone
        page = object_pages(vm, scene.object("B"))[0]
    vm.page_queue_lock.acquire()
    vm_page_deactivate(vm, page)
    vm.page_queue_lock.release()


def judge(scene: Scene) -> None:
    """The scan comes to that page."""
    vm = scene.vm
    with unguarded():  # no other thread takes it away
        page = object_pages(vm, scene.object("B"))[0]
    vm.page_queue_lock.acquire()
    scan_page(vm, page)
    vm.page_queue_lock.release()


script = Script(
    scene=scene,
    roles={"D": judge, "S": lambda scene: scene.write("P", 0, 2)},
    cues=(
        ("D", "exit pmap.pmap_is_modified"),
        ("S", "start"),
        ("S", "end"),
        ("D", "point tested, still mapped"),
    ),
    check=lambda scene: scene.expect("P", 0, 2),
)

defect = Defect(
    id="L26",
    name="check-then-unmap",
    origin="reconstructed",
    quote="the daemon asks whether a page is clean, and takes its mappings away only then",
    interleaving=(
        "D: an inactive page: referenced? no.  modified? no   [queue, object]",
        "P: stores to it through a mapping that is still there: referenced and modified now",
        "D: removes the mappings and frees the page: the store is lost",
    ),
    symptom="a store that has succeeded is gone: the page comes back from the pager as it was before",
    verdicts=("wrong_data",),
    scenario="hot-pages",
    options={"noise": "none"},
    replacements={"pageout.unmap_and_test": unmap_and_test},
    script=script,
)
