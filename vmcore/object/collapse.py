"""Collapse: fold the shadow chain below an object, so that no thread can tell the difference.

Two ways to lose a link: *overlay* merges a backing object that only we use into us
(overlay.py); *bypass* skips one that we hide completely (bypass.py).  This file decides
whether a pair may be joined at all.  Each condition is a step of its own, because each
was wrong once.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import OBJ_CANPERSIST, OBJ_COLLAPSING, OBJ_FADING, OBJ_INTERNAL
from vmcore.object.bypass import bypass
from vmcore.object.overlay import overlay
from vmcore.page.object_paging import vm_object_paging_sleep
from vmcore.structs import VmObject
from vmcore.vm import Vm

vm_object_collapse_allowed = True


@contract
def vm_object_collapse(vm: Vm, object: VmObject, wait: bool = False, mypip: int = 0) -> tuple[int, bool]:
    """Remove links below object; (how many went, was object's lock dropped meanwhile).

    References taken off other objects go to the release list.  After a dropped lock
    the caller re-reads whatever it knew about the object.

    Source: Mach vm/vm_object.c, vm_object_collapse; NetBSD 1997-98 for the pagers.
    Enter:  object locked (referenced by the caller, which owns mypip of its paging count).
    Exit:   object locked.
    Takes:  any.
    Sleeps: yes (page-in; and for paging counts if wait, which is legal without map lock,
            busy page and paging count only).
    """
    removed, dropped = 0, False
    while vm_object_collapse_allowed and object.shadow and not object.flags & OBJ_COLLAPSING:
        backing = vm.objects(object.shadow)
        backing.lock.acquire()
        if not may_join(vm, object, backing):
            backing.lock.release()
            break
        busy = pip_rule(vm, object, backing, mypip)
        if busy is not None:
            if not wait:
                backing.lock.release()
                break
            wait_for_paging(vm, object, backing, busy)
            dropped = True
            continue
        if grand_blocks(vm, backing):
            backing.lock.release()
            break
        if backing.ref_count == 1:
            joined, slept = overlay(vm, object, backing, mypip)
            dropped = dropped or slept
        else:
            joined = bypass(vm, object, backing)
        if not joined:
            break
        removed += 1
    return removed, dropped


@contract
def may_join(vm: Vm, object: VmObject, backing: VmObject) -> bool:  # noqa: ARG001
    """May these two be joined, as far as their own state goes?

    A FADING object is being absorbed or terminated by another thread; a COLLAPSING one is
    absorbing, and re-pointing us below it would give its backing object a second user
    meanwhile.  A named object is found through the hash and stays what it is.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    flags = backing.flags & (OBJ_INTERNAL | OBJ_FADING | OBJ_COLLAPSING | OBJ_CANPERSIST)
    return bool(flags == OBJ_INTERNAL)


@contract
def pip_rule(
    vm: Vm,  # noqa: ARG001
    object: VmObject,
    backing: VmObject,
    mypip: int,
) -> VmObject | None:
    """Which of the two is paging, beyond the caller's own mypip of object; None: neither.

    The front object's count matters too: a fault plants its fake page first and asks the
    pager after, so a resident page of a paging object need not hide anything.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    if object.paging_in_progress > mypip:
        return object
    if backing.paging_in_progress:
        return backing
    return None


@contract
def wait_for_paging(vm: Vm, object: VmObject, backing: VmObject, busy: VmObject) -> None:
    """Sleep until busy was idle once.  backing may be gone then, so it is not locked again.

    Enter:  object, backing locked.
    Exit:   object locked.
    Takes:  object, channel.
    Sleeps: yes (vospgw).
    """
    if busy is object:
        backing.lock.release()
    else:
        object.lock.release()
    vm_object_paging_sleep(vm, busy, "vospgw")
    object.lock.acquire()


@contract
def grand_blocks(vm: Vm, backing: VmObject) -> bool:
    """Does the object below have a copy-object?  Then backing may be that very object.

    A copy-object's offset in its shadow stays 0, and pushes must reach one place only.

    Enter:  backing locked.
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    if not backing.shadow:
        return False
    grand = vm.objects(backing.shadow)
    grand.lock.acquire()
    blocked = bool(grand.copy)
    grand.lock.release()
    return blocked
