"""Growing an object in place, so that a heap that grows stays one entry and one object.

Only an object that one entry alone uses can be grown: any other entry would show memory that
was never its own.  What a former, larger mapping has left behind the end goes first, since
new memory reads zeros.  There is nothing of the kind in swap: the object has no pager.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import OBJ_INTERNAL
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.object_page_remove import vm_object_page_remove
from vmcore.structs import VmObject
from vmcore.vm import Vm


@contract
def vm_object_coalesce(
    vm: Vm,
    prev: VmObject | None,
    next: VmObject | None,
    prev_offset: int,
    next_offset: int,  # noqa: ARG001 - of the object that there must not be
    prev_size: int,
    next_size: int,
) -> bool:
    """Make prev reach over the next_size bytes behind what an entry maps of it; did it work?

    The entry maps prev_size bytes from prev_offset, and owns the one reference.  Without an
    object there is nothing to do: a first fault will make one of the right size.  Two
    objects are never joined.

    Source: Mach vm/vm_object.c, vm_object_coalesce.
    Enter:  prev unlocked (the entry's map is write-locked).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (collapse pages in).
    """
    if next is not None:
        return False
    if prev is None:
        return True
    prev.lock.acquire()
    vm_object_collapse(vm, prev)  # a shadow that is only a left-over is no reason to refuse
    grown = may_grow(vm, prev)
    if grown:
        end = prev_offset + prev_size
        # No thread pages here, so nothing is busy and the lock is not dropped.  What is wired
        # would stay, and show old contents as new memory.
        grown = not vm_object_page_remove(vm, prev, end, end + next_size)
        if grown:
            prev.size = max(prev.size, end + next_size)
    prev.lock.release()
    return grown


@contract
def may_grow(vm: Vm, object: VmObject) -> bool:  # noqa: ARG001
    """Is it ours alone, anonymous, and at rest?  To be asked *after* the collapse.

    The collapse drops the lock.  A paging count may mean that a pager is just being made,
    for the size as it is now.

    Enter:  object locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    alone = object.ref_count == 1 and not object.paging_in_progress
    linked = object.shadow or object.copy or object.pager
    return bool(alone and object.flags & OBJ_INTERNAL and not linked)
