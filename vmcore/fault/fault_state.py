"""What a fault owns at each moment, and the one way to give it all back.

Rules that everything else relies on: a fault owns either an object lock or a busy page
at any time; it holds a paging count on every object in which it owns a busy page, plus
one counted reference, on the top object; and it gives up every busy page before it
waits for another one.

``unlock_things`` replaces the historic UNLOCK_THINGS macro: every early exit calls it.
"""

from __future__ import annotations

from threading import local

from harness.locks.contract import contract
from vmcore.map.map_lookup import Lookup, vm_map_lookup_done
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.page.object_paging import vm_object_paging_end
from vmcore.page.page_wait import FREE_PAGE
from vmcore.structs import VmMap, VmObject, VmPage
from vmcore.vm import Vm
from vmcore.vm_error import panic

RETRY = -2  # start over with the lookup; KERN_* results are >= 0
FOUND = -3  # the search ended with a busy page in ``page``


class FaultState:
    """One per thread, used again by every fault: a fault must not cost an allocation.

    object   where ``page`` is; locked whenever a step begins or ends
    page     the page found: busy, on no queue
    first    the top object: one reference and one paging count are ours
    fake     our busy placeholder in the top object while ``page`` is below it
    pushed   the copy-object (reference) that step 4 has dealt with
    asked    the type of access that was asked for; of a wired entry the fault deals with
             every one that is allowed (``fault_type``)
    wiring   the page is to be wired: our caller reads the map, and asks for no access
    copied   ``page`` is a copy made by this fault, which no thread has seen yet
    """

    __slots__ = (
        "asked",
        "copied",
        "fake",
        "fault_type",
        "first",
        "first_offset",
        "lookup",
        "map",
        "object",
        "offset",
        "page",
        "prot",
        "pushed",
        "va",
        "wired",
        "wiring",
    )
    map: VmMap
    first: VmObject
    object: VmObject
    page: VmPage

    def __init__(self) -> None:
        self.lookup = Lookup()
        self.fake: VmPage | None = None
        self.asked = 0
        self.copied = self.wired = self.wiring = False
        self.va = self.fault_type = self.prot = self.first_offset = self.offset = self.pushed = 0


_mine = local()


def fault_state() -> FaultState:
    """This thread's state record."""
    state: FaultState | None = getattr(_mine, "state", None)
    if state is None:
        state = _mine.state = FaultState()
    return state


@contract
def unlock_things(vm: Vm, state: FaultState) -> None:
    """Give back counts, locks, the placeholder and the maps; keep the top reference.

    Source: Mach vm/vm_fault.c, UNLOCK_THINGS.
    Enter:  state.object locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: never.
    """
    object, first = state.object, state.first
    vm_object_paging_end(vm, object)
    object.lock.release()
    if object is not first:
        first.lock.acquire()
        if state.fake is not None:
            FREE_PAGE(vm, state.fake)
            state.fake = None
        vm_object_paging_end(vm, first)
        first.lock.release()
    vm_map_lookup_done(state.lookup)


@contract
def unlock_and_deallocate(vm: Vm, state: FaultState) -> None:
    """The same, and the top reference too; with it goes whatever a collapse put aside.

    Source: Mach vm/vm_fault.c, UNLOCK_AND_DEALLOCATE.
    Enter:  state.object locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (terminations).
    """
    unlock_things(vm, state)
    drop_top(vm, state)


@contract
def drop_top(vm: Vm, state: FaultState) -> None:
    """Give back the top reference.

    While its caller reads the map, a wiring fault must not end objects (that waits for
    page-outs, whose owners may wait for the map).  It need not: the entry that is being
    wired has a reference of its own, and can neither go nor get another object now.

    Enter:  nothing locked (but the map of a wiring fault).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (terminations; never when wiring).
    """
    first = state.first
    if not state.wiring:
        vm_object_deallocate(vm, first)
        return
    first.lock.acquire()
    first.ref_count -= 1
    left = first.ref_count
    first.lock.release()
    if left <= 0:
        raise panic(f"object {first.slot} of an entry that is being wired has {left} references", first)
