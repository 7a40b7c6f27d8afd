"""H30: the device pager puts its page into the object while the daemon may be looking at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.page import vm_page_insert
from vmcore.pager_device import dismiss, give_out
from vmcore.structs import Pager, VmObject, VmPage

if TYPE_CHECKING:
    from vmcore.vm import Vm


def exchange(vm: Vm, object: VmObject, offset: int, page: VmPage, pager: Pager, device_page: VmPage) -> None:
    """As the repaired step, but the queue lock is given back before the insertion."""
    vm.page_queue_lock.acquire()
    dismiss(vm, page)
    give_out(vm, pager, device_page)
    vm.page_queue_lock.release()
    vm.point("device page before insertion", device_page.slot)
    vm_page_insert(vm, device_page, object, offset)


defect = Defect(
    id="H30",
    name="insert-without-queue-lock",
    origin="documented",
    quote="device_pager_getpage inserted its page without the lock of the page queues",
    interleaving=(
        "P: first touch of a device; the pager exchanges P's fake page for its own   [object, queue]",
        "P: lets go of the queues, and inserts the device's page   [object]",
        "D: scans the queues, and reads the page's object and offset while P stores them   [queue]",
    ),
    symptom="the daemon acts on a page that is half in an object",
    verdicts=("contract_violation", "unguarded_access", "invariant_violation", "panic", "crash"),
    scenario="device-users",
    replacements={"vmcore.pager_device.exchange": exchange},
)
