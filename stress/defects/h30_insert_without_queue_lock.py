"""H30: the device pager puts its page into the object without the queue lock."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.page.page import vm_page_insert
from vmcore.pager.device_pager import give_out
from vmcore.space.access import vm_read
from vmcore.space.map_device import vm_map_device
from vmcore.space.vmspace import space_map
from vmcore.structs import Pager, VmObject, VmPage
from vmcore.vm import Vm


def install(vm: Vm, object: VmObject, offset: int, pager: Pager, device_page: VmPage) -> None:
    """As the repaired step, but the queues are unlocked while the new page is inserted.

    Enter:  object, vm.page_queue_lock locked.
    Exit:   same (the queues dropped in between).
    Takes:  page queues, page hash.
    Sleeps: never.
    """
    give_out(vm, pager, device_page)
    vm.page_queue_lock.release()
    vm.point("device page not inserted yet", device_page.slot)
    vm_page_insert(vm, device_page, object, offset)
    vm.page_queue_lock.acquire()


def scene(scene: Scene) -> None:
    """P shows a page of a device."""
    scene.map("P", "O")
    vm = scene.vm
    space = space_map(vm, scene.space("P"))
    vm_map_device(vm, space, vm.devices.views[1], vm.page_size, 0, BASE + 0x10000)


script = Script(
    scene=scene,
    roles={"F": lambda scene: vm_read(scene.vm, scene.space("P"), BASE + 0x10000)},
    cues=(("F", "enter device_pager.exchange"),),
)

defect = Defect(
    id="H30",
    name="insert-without-queue-lock",
    origin="documented",
    quote="the page queues must be locked around the insertion of a device's page",
    interleaving=(
        "D: scans the queues, and knows pages by what the queue lock guards   [queue]",
        "F: the pager inserts the device's page, and changes what D is reading   [object]",
        "D: sees a page that is in an object by half   [queue]",
    ),
    symptom="the daemon meets a page whose identity is just changing",
    verdicts=("contract_violation", "invariant_violation"),
    scenario="device-users",
    replacements={"device_pager.install": install},
    script=script,
    notes="R's step checks its locks, so every insertion is a finding, with the daemon near or not.",
)
