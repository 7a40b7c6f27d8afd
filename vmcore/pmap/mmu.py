"""The memory access: rights, referenced/modified bits and the data, in one critical section.

Anything less would let a page be unmapped, written out and put to other use
between the test and the transfer, or a store happen after the modify bit was read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from harness.locks.contract import contract
from vmcore.constants import PV_MODIFIED, PV_REFERENCED, VM_PROT_READ, VM_PROT_WRITE
from vmcore.pmap.pmap_lists import BUCKETS
from vmcore.structs import Pmap
from vmcore.vm import Vm

T = TypeVar("T")
READ_BITS = PV_REFERENCED
WRITE_BITS = PV_REFERENCED | PV_MODIFIED


@contract
def access(vm: Vm, pmap: Pmap, va: int, write: bool, action: Callable[[memoryview], T]) -> T | None:
    """Run ``action`` on the frame behind the address; None is a fault, and action did not run.

    ``action`` gets the whole page and must return something other than None; it holds
    the pmap lock, so it must be short and call no function of the VM.

    Enter:  pmap unlocked.
    Exit:   same.
    Takes:  pmap.
    Sleeps: never.
    """
    shift, lock = vm.page_shift, pmap.lock
    number = va >> shift
    va = number << shift
    need, bits = (VM_PROT_WRITE, WRITE_BITS) if write else (VM_PROT_READ, READ_BITS)
    lock.acquire()
    try:
        slot = vm.pmap_buckets[pmap.slot][number % BUCKETS]
        while slot:
            mapping = vm.mappings.views[slot]
            if mapping.va == va:
                if not mapping.prot & need:
                    return None
                old = mapping.bits
                if old & bits != bits:
                    mapping.bits = old | bits
                return action(vm.frames[mapping.frame])
            slot = mapping.hash_next
        return None
    finally:
        lock.release()
