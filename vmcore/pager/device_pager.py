"""The device pager: memory that belongs to a device, shown by *fictitious* pages.

A device's frames lie behind the managed ones and are never free.  Its pages have records
of their own, whose slot is the frame as always, and which page shows which part of the
device is fixed.  While a page is in the object it hangs on the pager's list by the very
link that a managed page has for the paging queues (``pageq``), and it counts one wiring
that no entry made: so wirings that begin and end never bring the count to zero, and the page
is never queued.  The list, like the queues, is guarded by the page-queue lock.

There is nothing to read and nothing to write: a store reaches the device at once.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import PG_BUSY, PG_CLEAN, PG_FAKE, PG_FICTITIOUS, PG_TABLED, VM_PAGER_BAD, VM_PAGER_OK
from vmcore.page.page import FLAGS_O, vm_page_free, vm_page_insert
from vmcore.page.page_wait import page_wakeup
from vmcore.pager.swap import pager_offset
from vmcore.structs import Device, Pager, VmObject, VmPage
from vmcore.vm import Vm
from vmcore.vm_error import panic


def device_size(vm: Vm) -> int:
    """Bytes of each device."""
    return vm.config.device_pages * vm.page_size


def fictitious_page(vm: Vm, pager: Pager, offset: int) -> VmPage | None:
    """The page of the device's frame at this offset of the pager; None beyond the device."""
    if not 0 <= offset < device_size(vm):
        return None
    before = vm.config.pages + (pager.pg_handle - 1) * vm.config.device_pages
    page: VmPage = vm.pages.views[before + (offset >> vm.page_shift) + 1]
    return page


@contract
def device_pager_getpage(vm: Vm, pager: Pager, page: VmPage) -> int:
    """Put the device's page in the place of the caller's; the caller then owns it: BUSY, CLEAN, FAKE.

    The caller's own page is gone when we return, so the caller looks the page up again.

    Source: Mach vm/device_pager.c, device_pager_getpage.
    Enter:  nothing locked (the page is busy by the caller, which has a paging count).
    Exit:   same.
    Takes:  object, page queues, page hash, free list, channel.
    Sleeps: never.
    """
    offset = page.offset
    device_page = fictitious_page(vm, pager, pager_offset(vm, page))
    if device_page is None:
        return VM_PAGER_BAD
    object = vm.objects(page.object)
    object.lock.acquire()
    exchange(vm, object, offset, page, pager, device_page)
    object.lock.release()
    return VM_PAGER_OK


@contract
def exchange(vm: Vm, object: VmObject, offset: int, page: VmPage, pager: Pager, device_page: VmPage) -> None:
    """Our page goes, the device's comes, in one queue-lock section.

    The daemon walks its queues under this lock, and knows a page by what may be read under
    it; and no thread finds the place empty.

    Enter:  object locked; vm.page_queue_lock unlocked.
    Exit:   same.
    Takes:  page queues, page hash, free list, channel.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    dismiss(vm, page)
    install(vm, object, offset, pager, device_page)
    vm.page_queue_lock.release()


@contract
def dismiss(vm: Vm, page: VmPage) -> None:
    """Free the caller's page; before that, wake the threads that wait for it.

    Once free it may be another thread's, and a wakeup would take away the BUSY of its new owner.

    Enter:  vm.page_queue_lock locked (and the page's object).
    Exit:   same.
    Takes:  page hash, free list, channel.
    Sleeps: never.
    """
    page_wakeup(vm, page)
    vm_page_free(vm, page)


@contract
def install(vm: Vm, object: VmObject, offset: int, pager: Pager, device_page: VmPage) -> None:
    """Put the device's page into the object, owned by us.

    Enter:  object, vm.page_queue_lock locked.
    Exit:   same.
    Takes:  page hash.
    Sleeps: never.
    """
    give_out(vm, pager, device_page)
    vm_page_insert(vm, device_page, object, offset)


@contract
def give_out(vm: Vm, pager: Pager, page: VmPage) -> None:
    """Make a fictitious page ready for the object, owned by us; on the pager's list at its first time.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    if page.flags_o & (PG_TABLED | PG_BUSY):
        raise panic(f"page {page.slot} of device {pager.pg_handle} is in an object already", page)
    if not page.wire_count:
        page.wire_count = 1  # ours, for as long as it is on the list
        page.pageq_next, page.pageq_prev = pager.devp_pglist, 0
        if pager.devp_pglist:
            vm.pages.views[pager.devp_pglist].pageq_prev = page.slot
        pager.devp_pglist = page.slot
    page.flags_o = PG_FICTITIOUS | PG_BUSY | PG_CLEAN | PG_FAKE
    vm.claim(page.address + FLAGS_O)


def device_pager_haspage(vm: Vm, pager: Pager, offset: int) -> bool:  # noqa: ARG001 - as the others
    """Every page is there.

    Source: Mach vm/device_pager.c, device_pager_haspage.
    """
    return True


def device_pager_putpage(vm: Vm, pager: Pager, page: VmPage) -> int:  # noqa: ARG001 - as the others
    """A device's page is never written out: it is on no queue, and cleaning skips it.

    Source: Mach vm/device_pager.c, device_pager_putpage.
    """
    raise panic(f"page {page.slot} of device {pager.pg_handle} is to be written out", page)


@contract
def device_pager_dealloc(vm: Vm, pager: Pager) -> None:
    """Take the pages back and part with the device: its next mapping makes a new pager.

    Source: Mach vm/device_pager.c, device_pager_dealloc.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  device handle, page queues, pool, channel.
    Sleeps: yes (the handle lock).
    """
    device: Device = vm.devices.views[pager.pg_handle]
    vm.device_lock.acquire()
    take_pages_back(vm, pager)
    device.pager = 0
    device.chan.wakeup()
    vm.device_lock.release()
    vm.pagers.free(pager)


@contract
def take_pages_back(vm: Vm, pager: Pager) -> None:
    """Empty the pager's list; none of the pages may still be in the object.

    Enter:  vm.page_queue_lock unlocked.
    Exit:   same.
    Takes:  page queues.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    slot = pager.devp_pglist
    while slot:
        page = vm.pages.views[slot]
        slot = page.pageq_next
        if page.flags_o & PG_TABLED or page.wire_count != 1:
            raise panic(f"page {page.slot} of device {pager.pg_handle} is still in use", page)
        page.wire_count = page.pageq_next = page.pageq_prev = page.pv_bits = 0
    pager.devp_pglist = 0
    vm.page_queue_lock.release()
