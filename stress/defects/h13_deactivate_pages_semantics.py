"""H13: whatever an object has is deactivated when it enters the cache, its device pages too."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import PG_INACTIVE
from vmcore.page.page import object_pages
from vmcore.page.page_queues import append_inactive, page_dequeue
from vmcore.page.page_queues import vm_page_deactivate as put_on_inactive
from vmcore.space.access import vm_read
from vmcore.space.map_device import vm_map_device
from vmcore.space.vmspace import space_map
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


def vm_object_deactivate_pages(vm: Vm, object: VmObject) -> None:
    """As the repaired step, without a look at the queue that a page is on.

    Enter:  object locked.
    Exit:   same.
    Takes:  page queues, pv, pmap.
    Sleeps: never.
    """
    for page in object_pages(vm, object):
        vm.page_queue_lock.acquire()
        put_on_inactive(vm, page)
        vm.page_queue_lock.release()


def vm_page_deactivate(vm: Vm, page: VmPage) -> None:
    """As the repaired step, for wired and fictitious pages, too.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  pv, pmap.
    Sleeps: never.
    """
    if page.flags_p & PG_INACTIVE:
        return
    page_dequeue(vm, page)
    append_inactive(vm, page)


def scene(scene: Scene) -> None:
    """P has a device beside its memory, and has looked at it."""
    vm = scene.vm
    scene.map("P")
    at, space = BASE << 1, scene.space("P")
    vm_map_device(vm, space_map(vm, space), vm.devices.views[1], 2 * vm.page_size, 0, at)
    vm_read(vm, space, at)
    scene.map("Q", "B")  # another process with a page on a queue
    scene.put("B", 0, 1)


script = Script(
    scene=scene,
    roles={"E": lambda scene: scene.exit("P")},
    cues=(("E", "exit object_pages.vm_object_deactivate_pages"),),
    check=lambda scene: scene.expect("Q", 0, 1),
)

defect = Defect(
    id="H13",
    name="deactivate_pages-semantics",
    origin="documented",
    quote="deactivate_pages must go on looking at active pages only, now that deactivate takes any page",
    interleaving=(
        "E: the last user of a device leaves: its object enters the cache   [cache, object]",
        "E: deactivates its pages, which hang on the device pager's list by the same link   [object, queue]",
        "D: walks the inactive queue, and comes to the pager's list",
    ),
    symptom="two lists that have become one: pages of a device are freed, or queues lose their ends",
    verdicts=("invariant_violation", "panic"),
    scenario="device-users",
    replacements={
        "object_pages.vm_object_deactivate_pages": vm_object_deactivate_pages,
        "page_queues.vm_page_deactivate": vm_page_deactivate,
    },
    script=script,
)
