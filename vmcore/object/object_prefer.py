"""Where to map an object, so that all mappings of a page have one colour (see coloring.py).

An object goes where its pages are mapped already.  To go by offsets alone would be
simpler, but would not follow a process that chose its address itself (MAP_FIXED) before us.
Offsets decide only as long as no page is mapped anywhere: then every process must come to the
same answer without seeing the others.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import OBJ_FIXED, PG_FAKE, PG_FICTITIOUS
from vmcore.page.page import object_pages
from vmcore.pmap.coloring import congruent
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


@contract
def PREFER(vm: Vm, frame: VmPage | None, addr: int) -> int | None:  # noqa: N802 - the historic macro's name
    """The machine's aligner: the best address >= addr for this frame; None: it has no opinion.

    Without a frame the answer is the first colour, so that all processes that map something that
    is mapped nowhere yet come to the same answer.

    Source: NetBSD arch/sparc/sparc/pmap.c, pmap_prefer.
    Enter:  anything (no pmap or pv lock).
    Exit:   same.
    Takes:  pv.
    Sleeps: never.
    """
    if not vm.config.colours:
        return None
    if frame is None:
        return congruent(vm, 0, addr)
    pv = vm.pv_lock(frame.slot)
    pv.acquire()
    # The pv lock keeps the mapping, and a mapping never moves.
    mapped_at = vm.mappings.views[frame.pv_first].va if frame.pv_first else None
    pv.release()
    return None if mapped_at is None else congruent(vm, mapped_at, addr)


@contract
def vm_object_prefer(vm: Vm, object: VmObject | None, offset: int, addr: int) -> int:
    """The best address >= addr to map (object, offset) at.

    The first page with an opinion fixes where the object's beginning would lie; without
    one, or without any object, the machine says where a beginning should lie.

    Source: NetBSD vm/vm_object.c (1997), vm_object_prefer.
    Enter:  object unlocked.
    Exit:   same.
    Takes:  object, pv.
    Sleeps: never.
    """
    if object is not None:
        answer = ask_pages(vm, object, offset, addr)
        if answer is not None:
            return answer
    answer = PREFER(vm, None, addr - offset)
    return addr if answer is None else answer + offset


@contract
def ask_pages(vm: Vm, object: VmObject, offset: int, addr: int) -> int | None:
    """What the first page that is mapped somewhere says; None: no page has an opinion.

    Enter:  object unlocked.
    Exit:   same.
    Takes:  object, pv.
    Sleeps: never.
    """
    found = None
    object.lock.acquire()
    for page in object_pages(vm, object):
        if page.flags_o & (PG_FAKE | PG_FICTITIOUS):
            continue
        distance = page.offset - offset
        answer = PREFER(vm, page, addr + distance)
        if answer is not None:
            found = answer - distance
            break
    object.lock.release()
    return found


@contract
def note_fixed(vm: Vm, object: VmObject) -> None:  # noqa: ARG001
    """A caller has chosen an address for this object: its colours may differ from now on.

    Enter:  object unlocked.
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    object.lock.acquire()
    object.flags |= OBJ_FIXED
    object.lock.release()
