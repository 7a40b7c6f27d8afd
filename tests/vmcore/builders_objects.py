"""Worlds in known states for the object, map and fault tests.

A page's contents are one number, repeated: ``stamp``.  ``swap_out`` moves an object's
resident pages to its swap pager without the daemon, so that a test says exactly which
pages are where.
"""

from harness.shm.checked import unguarded
from tests.vmcore.builders import locked, stamp
from vmcore.constants import VM_PROT_NONE
from vmcore.map.map_entry import entry_object, vm_map_lookup_entry
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object import vm_object_reference
from vmcore.object.object_pages import vm_object_page_clean
from vmcore.object.shadow import vm_object_shadow
from vmcore.page.page import object_pages, vm_page_free, vm_page_lookup
from vmcore.pageout.pageout import vm_pageout_scan
from vmcore.pager.swap_io import next_write, reap, write_record
from vmcore.pmap.pmap import pmap_page_protect
from vmcore.space.access import vm_read, vm_write
from vmcore.space.map_user import vm_allocate
from vmcore.space.vmspace import space_map, vmspace_alloc, vmspace_fork
from vmcore.structs import VmMapEntry, VmObject, VmPage, Vmspace
from vmcore.vm import Vm

BASE = 0x10000


def number(page: bytes) -> int:
    """The number a page is full of; a mixed page is a torn one."""
    value = page[:8]
    assert page == value * (len(page) // 8), "torn page"
    return int.from_bytes(value, "little")


def va(vm: Vm, page: int) -> int:
    """Address of a page of the region that ``space_of`` maps."""
    return BASE + page * vm.page_size


def empty_space(vm: Vm) -> Vmspace:
    space = vmspace_alloc(vm)
    assert space is not None
    return space


def space_of(vm: Vm, pages: int, **kwargs: int) -> Vmspace:
    """A space with one anonymous region of this many pages at BASE."""
    space = empty_space(vm)
    vm_allocate(vm, space_map(vm, space), pages * vm.page_size, BASE, **kwargs)
    return space


def write(vm: Vm, space: Vmspace, page: int, value: int) -> None:
    vm_write(vm, space, va(vm, page), stamp(vm, value))


def read(vm: Vm, space: Vmspace, page: int) -> int:
    return number(vm_read(vm, space, va(vm, page)))


def fill(vm: Vm, space: Vmspace, values: dict[int, int]) -> None:
    for page, value in values.items():
        write(vm, space, page, value)


def contents(vm: Vm, space: Vmspace, pages: int) -> list[int]:
    return [read(vm, space, page) for page in range(pages)]


def fork(vm: Vm, space: Vmspace) -> Vmspace:
    return vmspace_fork(vm, space)


@unguarded()
def entry_at(vm: Vm, space: Vmspace, page: int = 0) -> VmMapEntry:
    inside, slot = vm_map_lookup_entry(vm, space_map(vm, space), va(vm, page))
    assert inside
    entry: VmMapEntry = vm.entries.views[slot]
    return entry


@unguarded()
def top(vm: Vm, space: Vmspace, page: int = 0) -> VmObject:
    """The object of the entry at a page."""
    obj = entry_object(vm, entry_at(vm, space, page))
    assert obj is not None
    return obj


def shadow_of(vm: Vm, obj: VmObject, offset: int, pages: int) -> VmObject:
    """A new front object; it takes over the caller's reference."""
    front = vm_object_shadow(vm, obj, offset, pages * vm.page_size)
    assert front is not None
    return front


def below(vm: Vm, obj: VmObject) -> VmObject:
    """What the object shadows; it must shadow something."""
    shadow: VmObject = vm.objects(obj.shadow)
    return shadow


@unguarded()
def chain(vm: Vm, space: Vmspace, page: int = 0) -> list[int]:
    """Slots of the objects from the top down."""
    obj: VmObject | None = top(vm, space, page)
    slots = []
    while obj is not None:
        slots.append(obj.slot)
        obj = vm.objects(obj.shadow) if obj.shadow else None
    return slots


@unguarded()
def resident(vm: Vm, obj: VmObject) -> list[int]:
    """Page numbers of the resident pages, sorted."""
    return sorted(page.offset // vm.page_size for page in object_pages(vm, obj))


def page_at(vm: Vm, obj: VmObject, number: int) -> VmPage:
    """The resident page with this number."""
    with locked(obj):
        page = vm_page_lookup(vm, obj, number * vm.page_size)
    assert page is not None
    return page


@unguarded()
def swapped(vm: Vm, obj: VmObject) -> int:
    """How many pages the object's pager holds."""
    return int(vm.pagers(obj.pager).sw_cnt) if obj.pager else 0


def swap_out(vm: Vm, obj: VmObject, *only: int) -> None:
    """Write the object's pages to swap and free their frames (``only`` these pages)."""
    obj.lock.acquire()
    obj.ref_count += 1
    assert vm_object_page_clean(vm, obj, 0, 0, True, False)
    for page in object_pages(vm, obj):
        if not only or page.offset // vm.page_size in only:
            pmap_page_protect(vm, page, VM_PROT_NONE)
            vm.page_queue_lock.acquire()
            vm_page_free(vm, page)
            vm.page_queue_lock.release()
    obj.ref_count -= 1
    obj.lock.release()


def clean(vm: Vm, space: Vmspace, page: int, sync: bool) -> bool:
    """What msync does for the object of one page."""
    amap = space_map(vm, space)
    amap.lock.read()
    obj = entry_object(vm, entry_at(vm, space, page))
    vm_object_reference(vm, obj)
    amap.lock.release()
    if obj is None:
        return True
    obj.lock.acquire()
    done = vm_object_page_clean(vm, obj, 0, 0, sync, False)
    obj.lock.release()
    vm_object_deallocate(vm, obj)
    return done


@unguarded()
def live_objects(vm: Vm) -> set[int]:
    """Slots of all objects but the kernel's."""
    kernel = {ref & 0xFFFFFFFF for ref in (vm.g.kernel_object, vm.g.kmem_object)}
    return {obj.slot for obj in vm.objects.live()} - kernel


def page_out_step(vm: Vm) -> None:
    """What the daemon and the disk do under a great shortage, here and now: every page that can leaves."""
    for _ in range(3):  # active to inactive; inactive to the disk; the clean ones go
        scan(vm)
        finish_writes(vm)


def scan(vm: Vm) -> None:
    """One scan of the daemon, under a great shortage."""
    g, vm.me.is_daemon = vm.g, True
    with unguarded():
        kept = g.v_free_target
        g.v_free_target = g.v_inactive_target = vm.config.pages
    vm_pageout_scan(vm)
    with unguarded():
        g.v_free_target, vm.me.is_daemon = kept, False


def finish_writes(vm: Vm) -> None:
    """What is queued is written, and what is written is noted."""
    vm.me.is_daemon = True
    while writes_queued(vm):
        record = next_write(vm)
        assert record is not None
        write_record(vm, record)
    reap(vm, True)
    vm.me.is_daemon = False


@unguarded()
def writes_queued(vm: Vm) -> int:
    return int(vm.g.writes_queued)
