"""Objects behind a page: choose one by its depth, and do to it what daemons and relatives do."""

from __future__ import annotations

from tests.vmcore.builders import locked
from tests.vmcore.machine.peek import holders
from vmcore.constants import PG_BUSY, PG_CLEAN, VM_PROT_NONE
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object import vm_object_reference
from vmcore.object.object_pages import vm_object_page_clean
from vmcore.page.page import object_pages, vm_page_free
from vmcore.pmap.pmap import pmap_is_modified, pmap_page_protect
from vmcore.structs import VmObject, Vmspace
from vmcore.vm import Vm


def object_at(vm: Vm, space: Vmspace, page: int, depth: int) -> VmObject | None:
    """The object behind a page, ``depth`` links down or as far as it goes."""
    for va, reference, _ in holders(vm, vm.maps(space.map)):
        if va == page * vm.page_size and reference:
            found: VmObject = vm.objects(reference)
            while depth and found.shadow:
                found, depth = vm.objects(found.shadow), depth - 1
            return found
    return None


def clean(vm: Vm, obj: VmObject | None, sync: bool) -> None:
    """Msync of one object; asynchronous writes stay in flight."""
    if obj is not None:
        vm_object_reference(vm, obj)
        with locked(obj):
            vm_object_page_clean(vm, obj, 0, 0, sync, False)
        vm_object_deallocate(vm, obj)


def page_out(vm: Vm, obj: VmObject | None) -> None:
    """Everything of the object that can leave memory does."""
    if obj is None:
        return
    vm_object_reference(vm, obj)
    with locked(obj):
        vm_object_page_clean(vm, obj, 0, 0, True, False)
        for page in object_pages(vm, obj):
            if page.flags_o & PG_BUSY or page.wire_count:
                continue
            pmap_page_protect(vm, page, VM_PROT_NONE)
            if page.flags_o & PG_CLEAN and not pmap_is_modified(vm, page):
                with vm.page_queue_lock:
                    vm_page_free(vm, page)
    vm_object_deallocate(vm, obj)


def collapse(vm: Vm, obj: VmObject | None) -> int:
    """Ask for a collapse, as any thread with a reference may; how many links went."""
    if obj is None:
        return 0
    vm_object_reference(vm, obj)
    with locked(obj):
        removed, _ = vm_object_collapse(vm, obj, wait=True)
    vm_object_deallocate(vm, obj)
    return removed
