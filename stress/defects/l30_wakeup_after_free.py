"""L30: the device pager frees the caller's page first, and wakes its waiters afterwards."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import PG_BUSY, PG_WANTED
from vmcore.page.page import vm_page_free
from vmcore.page.page_flags import clear_flags_o
from vmcore.space.access import vm_read
from vmcore.space.map_device import vm_map_device
from vmcore.space.vmspace import space_map
from vmcore.structs import VmPage
from vmcore.vm import Vm


def dismiss(vm: Vm, page: VmPage) -> None:
    """As the repaired step, but in the other order; the wakeup is the macro of the time.

    Enter:  vm.page_queue_lock locked (and the page's object).
    Exit:   same.
    Takes:  page hash, free list, channel.
    Sleeps: never.
    """
    vm_page_free(vm, page)
    vm.point("page freed, not yet woken", page.slot)
    wanted = page.flags_o & PG_WANTED
    clear_flags_o(vm, page, PG_BUSY | PG_WANTED)
    if wanted:
        page.chan.wakeup()


def scene(scene: Scene) -> None:
    """P and Q show one page of a device, of which nothing is in the object yet."""
    scene.map("P", "O")
    scene.fork("P", "Q")
    vm = scene.vm
    for name in ("P", "Q"):
        space = space_map(vm, scene.space(name))
        vm_map_device(vm, space, vm.devices.views[1], vm.page_size, 0, BASE + 0x10000)


def look(name: str, scene: Scene) -> None:
    """Load the device's page."""
    vm_read(scene.vm, scene.space(name), BASE + 0x10000)


script = Script(
    scene=scene,
    roles={"F": lambda scene: look("P", scene), "G": lambda scene: look("Q", scene)},
    cues=(
        ("F", "enter fault_search.page_in"),
        ("G", "start"),
        ("G", "exit page_wait.PAGE_ASSERT_WAIT"),
        ("F", "enter device_pager.device_pager_getpage"),
    ),
)

defect = Defect(
    id="L30",
    name="wakeup-after-free",
    origin="reconstructed",
    quote="the page that the device's page replaces is freed, and then its waiters are woken",
    interleaving=(
        "F: a fault on a device has planted the fake page m; G waits for m   []",
        "F: the pager frees m, for which a thread waits   [object, queue]",
        "X: gets m's frame for a page of its own, BUSY   [its object]",
        "F: the wakeup of m takes X's BUSY away",
    ),
    symptom="a thread sleeps on a page that is free, or a page that is being filled has no owner",
    verdicts=("panic", "invariant_violation", "lost_wakeup", "unguarded_access"),
    scenario="device-visits",
    replacements={"device_pager.dismiss": dismiss},
    script=script,
)
