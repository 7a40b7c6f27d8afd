"""Copying what a wired entry maps, here and now.

A wired range cannot be copied on demand: the store that makes the copy necessary would
put a new page in front of the wired one.  Its pages are all resident, so they are copied
one by one into a new object.

The map stays write-locked, so we wait for memory at most.  Not for a page: its owner may
want this very map.  Nor need we: a wired page that is busy has its contents, and no thread
stores into it, because our caller has taken the right to write from all its mappings.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import PG_CLEAN, PG_FAKE, VM_PROT_WRITE
from vmcore.map.map_entry import entry_object
from vmcore.map.unwire import pmap_wired_page
from vmcore.object.object import vm_object_allocate
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page import vm_page_alloc, vm_page_lookup
from vmcore.page.page_flags import clear_flags_o
from vmcore.page.page_queues import vm_page_activate, vm_page_unwire, vm_page_wire
from vmcore.page.page_wait import page_wakeup
from vmcore.page.vm_wait import VM_WAIT
from vmcore.page_events import COPIED, pack
from vmcore.pmap.pmap import pmap_enter
from vmcore.pmap.pmap_range import pmap_protect
from vmcore.structs import VmMap, VmMapEntry, VmObject, VmPage
from vmcore.vm import Vm, release_later
from vmcore.vm_error import panic


@contract
def vm_fault_copy_entry(
    vm: Vm, source: VmObject, offset: int, size: int, wired: bool = False
) -> VmObject | None:
    """A new object with a copy of every page of (source, offset, size); None without memory.

    The pages are entered in no hardware map: their user's faults find them, and a full
    table of mappings is then an error of the caller, not one in the middle of a fork.
    wired: each page has one wiring, for a mapping that the caller is going to make.

    Source: Mach vm/vm_fault.c, vm_fault_copy_entry.
    Enter:  anything (the maps are write-locked, the pages resident and write-protected).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (memory).
    """
    copy = vm_object_allocate(vm, size)
    if copy is None:
        return None
    for at in range(0, size, vm.page_size):
        page = page_for_copy(vm, copy, at)
        if page is None:
            abandon_copy(vm, copy, at if wired else 0)
            return None
        copy_resident(vm, source, offset + at, page)
        finish_copy(vm, copy, page, wired)
    return copy


@contract
def page_for_copy(vm: Vm, copy: VmObject, at: int) -> VmPage | None:
    """A busy page of the new object, with our paging count; None when there is no memory.

    Enter:  copy unlocked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (memory).
    """
    while True:
        copy.lock.acquire()
        page = vm_page_alloc(vm, copy, at)
        if page is not None:
            vm_object_paging_begin(vm, copy)
        copy.lock.release()
        if page is not None or not VM_WAIT(vm):
            return page


@contract
def copy_resident(vm: Vm, source: VmObject, offset: int, target: VmPage) -> None:
    """Copy the bytes of the first page down the chain that has any.

    It may lie below the top: a read-only range that was wired and then made writable has
    got a shadow, and each page follows at its next fault.  Such a fault's placeholder is
    passed by: what it is going to hold lies below it.

    Enter:  source unlocked.
    Exit:   same.
    Takes:  object, page hash.
    Sleeps: never.
    """
    object = source
    object.lock.acquire()
    while True:
        page = vm_page_lookup(vm, object, offset)
        if page is not None and not page.flags_o & PG_FAKE:
            vm.frames[target.slot][:] = vm.frames[page.slot]
            vm.point(COPIED, pack(target.slot, page.slot, 0))
            object.lock.release()
            return
        if not object.shadow:
            raise panic(
                f"a wired entry's page at {offset:#x} of object {object.slot} is not resident", object
            )
        below = vm.objects(object.shadow)
        offset += object.shadow_offset
        below.lock.acquire()
        object.lock.release()
        object = below


@contract
def finish_copy(vm: Vm, copy: VmObject, page: VmPage, wired: bool) -> None:
    """The page has contents that no pager has: wire it, or queue it.

    Enter:  copy unlocked.
    Exit:   same.
    Takes:  object, page queues, channel.
    Sleeps: never.
    """
    copy.lock.acquire()
    clear_flags_o(vm, page, PG_FAKE | PG_CLEAN)
    vm.page_queue_lock.acquire()
    if wired:
        vm_page_wire(vm, page)
    page_wakeup(vm, page)
    vm_page_activate(vm, page)
    vm.page_queue_lock.release()
    vm_object_paging_end(vm, copy)
    copy.lock.release()


@contract
def abandon_copy(vm: Vm, copy: VmObject, end: int) -> None:
    """No memory for the rest: take the wirings of [0, end) back; the object goes later.

    Enter:  copy unlocked.
    Exit:   same.
    Takes:  object, page hash, page queues.
    Sleeps: never.
    """
    copy.lock.acquire()
    for at in range(0, end, vm.page_size):
        page = vm_page_lookup(vm, copy, at)
        assert page is not None  # wired pages stay
        vm.page_queue_lock.acquire()
        vm_page_unwire(vm, page)
        vm.page_queue_lock.release()
    copy.lock.release()
    release_later(vm, copy, False)


@contract
def own_wired_pages(vm: Vm, map: VmMap, entry: VmMapEntry) -> bool:
    """Before a wired entry is shared: all its pages in its top object; False without memory.

    A sharer's store copies a page up from below, or puts a shadow in front; the wired
    mapping, which only its own faults replace, would go on showing the page behind.  So
    an entry whose pages were wired read-only in an object below gets a new object with all of them.

    Source: ours; the sharing-map rule of docs/reference, section 4.8, seen from fork.
    Enter:  map write-locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (memory).
    """
    old = entry_object(vm, entry)
    assert old is not None  # it has wired pages
    pmap, size = vm.pmaps(map.pmap), entry.end - entry.start
    addresses = range(entry.start, entry.end, vm.page_size)
    pages = [pmap_wired_page(vm, pmap, va) for va in addresses]
    vm.page_queue_lock.acquire()  # either lock of a page's identity will do
    own = not entry.needs_copy and all(page is not None and page.object == entry.object for page in pages)
    vm.page_queue_lock.release()
    if own:
        return True
    pmap_protect(vm, pmap, entry.start, entry.end, entry.protection & ~VM_PROT_WRITE)
    made = vm_fault_copy_entry(vm, old, entry.offset, size, True)
    if made is None:
        return False
    made.lock.acquire()
    for va, before in zip(addresses, pages, strict=True):
        page = vm_page_lookup(vm, made, va - entry.start)
        assert page is not None
        assert before is not None
        vm.page_queue_lock.acquire()
        pmap_enter(vm, pmap, va, page, entry.protection, True)
        vm_page_unwire(vm, before)
        vm.page_queue_lock.release()
    made.lock.release()
    entry.object, entry.offset = vm.objects.ref(made), 0
    entry.needs_copy = entry.copy_on_write = 0
    release_later(vm, old, False)
    return True
