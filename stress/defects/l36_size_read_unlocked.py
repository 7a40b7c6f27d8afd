"""L36: a pager is made for the size that an object had a moment ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.constants import OBJ_INTERNAL, OBJ_PAGERALLOC, PG_SWAP
from vmcore.object import vm_object_setpager
from vmcore.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.pager import vm_pager_allocate, vm_pager_deallocate
from vmcore.structs import VmObject

if TYPE_CHECKING:
    from vmcore.vm import Vm


def ensure_pager(vm: Vm, object: VmObject) -> bool:
    """As the repaired step, without a second look at the size."""
    if object.pager:
        return True
    if object.flags & OBJ_PAGERALLOC:
        return False
    object.flags |= OBJ_PAGERALLOC
    vm_object_paging_begin(vm, object)
    size = object.size
    object.lock.release()
    vm.point("pager for this size", object.slot)
    pager = vm_pager_allocate(vm, PG_SWAP, 0, size)
    object.lock.acquire()
    if pager is not None and not object.pager:
        vm_object_setpager(vm, object, pager, 0)
        pager = None
    object.flags &= ~OBJ_PAGERALLOC
    vm_object_paging_end(vm, object)
    if pager is not None:
        vm_pager_deallocate(vm, pager)
    return bool(object.pager)


def may_grow(vm: Vm, object: VmObject) -> bool:  # noqa: ARG001
    """As the repaired step, whoever pages."""
    linked = object.shadow or object.copy or object.pager
    return bool(object.ref_count == 1 and object.flags & OBJ_INTERNAL and not linked)


defect = Defect(
    id="L36",
    name="size-read-unlocked",
    origin="reconstructed",
    quote="the size of the object is read before the lock is dropped for the pager's allocation",
    interleaving=(
        "D: a page of heap O is to go: reads O.size, unlocks O, allocates a pager of that size   []",
        "P: maps memory behind the heap; O is alone and has no pager yet: coalesce enlarges it   [map, O]",
        "D: installs the pager, which is too small   [O]",
        "D: a page behind the pager's end: BAD, so it is activated, for ever",
    ),
    symptom="pages that can never be paged out; under pressure the daemon is busy with nothing else",
    verdicts=("invariant_violation", "livelock", "wrong_data", "panic", "leak", "stall"),
    scenario="young-heaps",
    options={"workers": 6},
    replacements={
        "vmcore.object_pager.ensure_pager": ensure_pager,
        "vmcore.object_coalesce.may_grow": may_grow,
    },
    entry="full",
)
