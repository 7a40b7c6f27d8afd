"""L20: a page that could not be written is called clean, so that no thread tries again for ever."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import VM_PAGER_ERROR, VM_PAGER_OK, VM_PAGER_PEND
from vmcore.object.object_pages import mark_clean, vm_object_page_clean
from vmcore.page.page import object_pages
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.pageout.pageout import scan_page
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


def write_page(vm: Vm, object: VmObject, page: VmPage, sync: bool, dequeue: bool, terminating: bool) -> int:
    """As the repaired step, but clean whatever the pager says.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  any.
    Sleeps: yes (the write).
    """
    result: int = original("object_pages.write_page")(vm, object, page, sync, dequeue, terminating)
    if result not in (VM_PAGER_OK, VM_PAGER_PEND):
        mark_clean(vm, page)
    return result


def scene(scene: Scene) -> None:
    """B has a dirty page."""
    scene.map("P", "B")
    scene.put("B", 0, 1)


def refused(kind: str, what: int, offset: int) -> int | None:  # noqa: ARG001
    """A disk that cannot write."""
    return VM_PAGER_ERROR if kind == "put" else None


def clean(scene: Scene) -> None:
    """An msync that fails."""
    vm, found = scene.vm, scene.object("B")
    vm.io.result_hook = refused
    found.lock.acquire()
    vm_object_page_clean(vm, found, 0, 0, True, False)
    found.lock.release()
    vm.io.result_hook = None


def look(scene: Scene) -> None:
    """What the daemon does with B's page, at two visits: age it, then judge it."""
    vm, found = scene.vm, scene.object("B")
    found.lock.acquire()
    page = object_pages(vm, found)[0]
    found.lock.release()
    vm.page_queue_lock.acquire()
    vm_page_deactivate(vm, page)
    scan_page(vm, page)
    vm.page_queue_lock.release()


script = Script(
    scene=scene,
    roles={"A": clean, "D": look},
    cues=(("A", "end"), ("D", "start")),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="L20",
    name="clean-failure-loses-data",
    origin="reconstructed",
    quote="after a write error page_clean marks the page clean: otherwise it would loop",
    interleaving=(
        "A: page_clean(O): the write of page m fails",
        "A: m is clean all the same",
        "D: finds m clean on the inactive queue and frees it",
        "a thread that reads m gets what the pager has: an older page, or zeros",
    ),
    symptom="after a disk error, data are lost that were in memory all the time",
    verdicts=("wrong_data", "invariant_violation"),
    scenario="disk-trouble",
    replacements={"object_pages.write_page": write_page},
    script=script,
)
