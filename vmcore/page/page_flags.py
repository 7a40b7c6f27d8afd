"""The two flag words of a page, and the only functions that read and write them apart.

O bits are guarded by the lock of the page's object, P bits by the page-queue lock.
They lie in two words because a word is changed by reading and writing it: in one word,
two processes that each hold *their* lock lose each other's bits.  The point between
the read and the write is named so that such a loss can be provoked.

BUSY and WANTED are only ever changed here.  Other bits may be changed inline where it
is hot: their lock makes that safe, and nothing needs to be provoked about them.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.structs import VmPage
from vmcore.vm import Vm


@contract
def set_flags_o(vm: Vm, page: VmPage, bits: int) -> None:
    """Set O bits.

    Source: Mach vm/vm_page.h, the bit fields that became flags.
    Enter:  anything (the page's object is locked; for BUSY the page queues too).
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    flags = page.flags_o
    vm.window("page_flags.rmw", page.slot)
    page.flags_o = flags | bits


@contract
def clear_flags_o(vm: Vm, page: VmPage, bits: int) -> None:
    """Clear O bits.

    Source: Mach vm/vm_page.h, the bit fields that became flags.
    Enter:  anything (the page's object is locked; for BUSY the page queues too).
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    flags = page.flags_o
    vm.window("page_flags.rmw", page.slot)
    page.flags_o = flags & ~bits


@contract
def set_flags_p(vm: Vm, page: VmPage, bits: int) -> None:
    """Set P bits.

    Source: Mach vm/vm_page.h, the bit fields that became flags.
    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    flags = page.flags_p
    vm.window("page_flags.rmw", page.slot)
    page.flags_p = flags | bits


@contract
def clear_flags_p(vm: Vm, page: VmPage, bits: int) -> None:
    """Clear P bits.

    Source: Mach vm/vm_page.h, the bit fields that became flags.
    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    flags = page.flags_p
    vm.window("page_flags.rmw", page.slot)
    page.flags_p = flags & ~bits
