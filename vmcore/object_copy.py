"""Virtual copies of objects.

A *deferred* copy makes nothing: both sides keep the same object, and each interposes a
shadow of its own before its first write (``needs_copy`` of the entry).  It is right for
anonymous memory, and for private file mappings, which may see later changes of the file
until they write themselves ("symmetric").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.locks.contract import contract
from vmcore.constants import PG_COPYONWRITE
from vmcore.page import object_pages
from vmcore.page_flags import set_flags_o
from vmcore.structs import VmObject

if TYPE_CHECKING:
    from vmcore.vm import Vm


@contract
def vm_object_copy(
    vm: Vm, object: VmObject | None, offset: int, size: int
) -> tuple[VmObject | None, int, bool]:
    """(object, offset, does the source need a copy too); the result has a new reference.

    Source: Mach vm/vm_object.c, vm_object_copy.
    Enter:  object unlocked (referenced by the caller; the map is write-locked).
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    if object is None:
        return None, 0, False
    end = offset + size
    object.lock.acquire()
    object.ref_count += 1
    for page in object_pages(vm, object):
        if offset <= page.offset < end:
            set_flags_o(vm, page, PG_COPYONWRITE)
    object.lock.release()
    return object, offset, True
