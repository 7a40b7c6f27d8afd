"""Giving references back: the release list, and what a release sets off.

Dropping a reference can terminate an object, which frees its reference on the object
below, and so on down the chain; and it can leave an object with one shadower, which
makes the two collapsible.  Old kernels did both by recursion, with locks held.  Here
everything goes through one list per thread:

* no function that holds a lock drops a last reference; it appends (object, via_shadow)
  *with the reference* by ``release_later``;
* ``drain_release_list`` works the list off where the thread holds nothing.

``via_shadow`` says that the released reference was one of a shadower's.
"""

from __future__ import annotations

from harness.errors import Panic
from harness.locks.contract import contract
from vmcore.constants import OBJ_CANPERSIST, OBJ_COLLAPSING, OBJ_DYING, OBJ_FADING, OBJ_INTERNAL
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.object import only_shadower
from vmcore.object.object_cache import cache_object, cache_trim, keep_or_not, vm_object_remove
from vmcore.object.terminate import vm_object_terminate
from vmcore.structs import VmObject
from vmcore.vm import Vm, release_later
from vmcore.vm_error import panic

CLOSING = OBJ_DYING | OBJ_FADING | OBJ_COLLAPSING


@contract
def vm_object_deallocate(vm: Vm, object: VmObject | None) -> None:
    """Consume one reference.

    Source: Mach vm/vm_object.c, vm_object_deallocate.
    Enter:  nothing locked (no map lock either, no busy page, no paging count).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (termination waits for page-outs and writes files).
    """
    if object is None:
        return
    vm.me.release_list.append((object, False))
    drain_release_list(vm)


@contract
def drain_release_list(vm: Vm) -> None:
    """Release everything that was put aside while locks were held.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (see vm_object_deallocate).
    """
    pending = vm.me.release_list
    if pending and vm.native.depth():
        refuse_release(vm)
    while pending:
        object, via_shadow = pending.pop()
        if take_reference(vm, object):
            survive(vm, object, via_shadow)
        else:
            last_reference(vm, object)


@contract
def refuse_release(vm: Vm) -> None:
    """A reference is to be released with a lock held.

    No map lock may be held either: we may wait for a page-out whose owner waits for that map.

    Enter:  anything.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    raise Panic(f"references are released with locks held: {vm.native.held()}")


@contract
def take_reference(vm: Vm, object: VmObject) -> int:
    """Take one reference off and say how many are left.

    The cache lock comes first: if this was the last reference the object must leave
    the hash, or enter the cache, before any thread can look it up.

    Enter:  nothing locked.
    Exit:   vm.cache_lock, object locked.
    Takes:  cache, object.
    Sleeps: never.
    """
    lock_for_release(vm, object)
    left: int = object.ref_count - 1
    if left < 0:
        raise panic(f"object {object.slot} is released more often than referenced", object)
    object.ref_count = left
    return left


@contract
def lock_for_release(vm: Vm, object: VmObject) -> None:
    """Lock what a release needs, in the order of every lookup.

    Enter:  nothing locked.
    Exit:   vm.cache_lock, object locked.
    Takes:  cache, object.
    Sleeps: never.
    """
    vm.cache_lock.acquire()
    object.lock.acquire()


@contract
def survive(vm: Vm, object: VmObject, via_shadow: bool) -> None:
    """Others still use the object; but one shadower alone may now absorb it.

    Not only a shadower's release does that: so does a child that wrote nothing and
    exits, when its entry's reference leaves just the parent's front object.

    Enter:  vm.cache_lock, object locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (collapse pages in).
    """
    vm.cache_lock.release()  # before the hunt: collapse sleeps, and every thread needs the cache lock
    if not object.shadowers_first or not (via_shadow or object.ref_count == 1):
        object.lock.release()  # every fault drops a reference, so the common case goes no further
        return
    collapse_above(vm, object)


@contract
def collapse_above(vm: Vm, object: VmObject) -> None:
    """Collapse the only shadower of object, if there is one and no thread is at work on it.

    Enter:  object locked.
    Exit:   object unlocked.
    Takes:  any.
    Sleeps: yes (collapse pages in).
    """
    shadower = candidate(vm, object)
    if shadower is not None:
        collapse_candidate(vm, shadower)


@contract
def collapse_candidate(vm: Vm, shadower: VmObject) -> None:
    """Let the candidate absorb what it can, then let it go.

    Enter:  shadower locked (with one reference of the caller).
    Exit:   shadower unlocked.
    Takes:  any.
    Sleeps: yes (collapse pages in).
    """
    vm_object_collapse(vm, shadower)
    after_collapse(vm, shadower)


@contract
def candidate(vm: Vm, object: VmObject) -> VmObject | None:
    """The only shadower of object, locked and held, if it may absorb object now.

    Enter:  object locked.
    Exit:   object unlocked; result locked (with one reference for the caller).
    Takes:  object.
    Sleeps: never.
    """
    found = None
    if object.flags & (OBJ_INTERNAL | OBJ_FADING) == OBJ_INTERNAL:
        shadower = only_shadower(vm, object)
        if shadower is not None and lock_candidate(vm, shadower):
            found = hold_candidate(vm, shadower)
    object.lock.release()
    return found


@contract
def lock_candidate(vm: Vm, shadower: VmObject) -> bool:  # noqa: ARG001
    """Lock an object from below; False when another thread has it.

    It lies above in the chain, so it is tried, never waited for: the thread that has it
    may want our lock next.  It is at work on it, and will collapse it itself.

    Enter:  anything (shadower's shadow is locked).
    Exit:   same (and shadower locked, if it could be had).
    Takes:  object.
    Sleeps: never.
    """
    return bool(shadower.lock.try_acquire())


@contract
def hold_candidate(vm: Vm, shadower: VmObject) -> VmObject | None:  # noqa: ARG001
    """Take a reference on a candidate, so that it outlives its collapse; not if it is about to end.

    Enter:  anything (shadower is locked).
    Exit:   result locked (None: shadower unlocked).
    Takes:  nothing.
    Sleeps: never.
    """
    if shadower.ref_count > 0 and not shadower.flags & CLOSING:
        shadower.ref_count += 1
        return shadower
    shadower.lock.release()
    return None


@contract
def after_collapse(vm: Vm, shadower: VmObject) -> None:
    """Let the candidate go: its hold is one more pair of the list, never a nested call.

    Enter:  shadower locked.
    Exit:   shadower unlocked.
    Takes:  nothing.
    Sleeps: never.
    """
    shadower.lock.release()
    release_later(vm, shadower, False)


@contract
def last_reference(vm: Vm, object: VmObject) -> None:
    """The last reference is gone: keep the object for the next user of its file, or end it.

    Enter:  vm.cache_lock, object locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (termination).
    """
    if object.flags & OBJ_CANPERSIST:
        cache_object(vm, object)
        cache_trim(vm)
        return
    if object.flags & OBJ_DYING:
        raise panic(f"second termination of object {object.slot}", object)
    object.flags |= OBJ_DYING
    vm_object_remove(vm, vm.pagers(object.pager) if object.pager else None)
    vm.cache_lock.release()
    shadow = vm_object_terminate(vm, object)
    if shadow is not None:
        release_later(vm, shadow, True)


@contract
def pager_cache(vm: Vm, object: VmObject | None, keep: bool) -> None:
    """Decide whether the object may outlive its last user; consumes one reference.

    Source: Mach vm/vm_object.c, pager_cache.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (it may have been the last reference).
    """
    if object is None:
        return
    keep_or_not(vm, object, keep)
    vm_object_deallocate(vm, object)
