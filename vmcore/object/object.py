"""Memory objects: birth, references, and the links of the shadow chain.

The life of an object: ``vm_object_allocate`` gives it one reference.  Map entries,
shadowers and temporary holds own counted references; the cache list, the pager hash
and ``copy`` do not.  The last release (deallocate.py) either puts it in the cache or
marks it DYING and terminates it (terminate.py), or a collapse absorbs it (overlay.py).

Guaranteed here: a record that any thread can find is complete; ``shadow`` and the
``shadowers`` list of the object below always agree, because one function at a time
changes both under both locks.  Refused here: a reference on an object whose count is
zero (it may be cached: only ``vm_object_lookup`` may revive it).
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import OBJ_INTERNAL
from vmcore.structs import Pager, VmObject
from vmcore.vm import Vm
from vmcore.vm_error import panic


@contract
def vm_object_allocate(vm: Vm, size: int) -> VmObject | None:
    """A new anonymous object with one reference, or None when the table is full.

    Source: Mach vm/vm_object.c, vm_object_allocate.
    Enter:  anything.
    Exit:   same.
    Takes:  object list, pool.
    Sleeps: never.
    """
    object: VmObject | None = vm.objects.allocate()
    if object is None:
        return None  # records are not waited for: the caller reports a shortage
    object.flags = OBJ_INTERNAL  # the pool has zeroed every other field
    object.ref_count = 1
    object.size = size
    vm.me.stats.v_nzfod += size // vm.page_size
    g = vm.g
    vm.object_list_lock.acquire()
    first = g.object_list_first
    object.object_list_next = first
    if first:
        vm.objects.views[first].object_list_prev = object.slot
    g.object_list_first = object.slot
    g.vm_object_count += 1
    vm.object_list_lock.release()
    return object


@contract
def object_list_remove(vm: Vm, object: VmObject) -> None:
    """Take a dead object off the list of all objects.

    Enter:  anything.
    Exit:   same.
    Takes:  object list.
    Sleeps: never.
    """
    views, g = vm.objects.views, vm.g
    vm.object_list_lock.acquire()
    following, previous = object.object_list_next, object.object_list_prev
    if following:
        views[following].object_list_prev = previous
    if previous:
        views[previous].object_list_next = following
    else:
        g.object_list_first = following
    g.vm_object_count -= 1
    vm.object_list_lock.release()


@contract
def vm_object_reference(vm: Vm, object: VmObject | None) -> None:  # noqa: ARG001
    """One more counted reference on an object that the caller already keeps alive.

    Source: Mach vm/vm_object.c, vm_object_reference.
    Enter:  object unlocked.
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    if object is None:
        return
    object.lock.acquire()
    count = object.ref_count
    if count <= 0:
        # It may be on the cached list, where a count of one must never be seen.
        object.lock.release()
        raise panic(
            f"vm_object_reference: object {object.slot} has {count} references; use vm_object_lookup", object
        )
    object.ref_count = count + 1
    object.lock.release()


def link_shadower(vm: Vm, object: VmObject, backing: VmObject) -> None:
    """Put object at the head of backing's shadowers; backing locked, no count changes."""
    first = backing.shadowers_first
    object.shadowers_prev = 0
    object.shadowers_next = first
    if first:
        vm.objects.views[first].shadowers_prev = object.slot
    backing.shadowers_first = object.slot


def unlink_shadower(vm: Vm, object: VmObject, backing: VmObject) -> None:
    """Take object off backing's shadowers; backing locked, no count changes."""
    views = vm.objects.views
    following, previous = object.shadowers_next, object.shadowers_prev
    if following:
        views[following].shadowers_prev = previous
    if previous:
        views[previous].shadowers_next = following
    elif backing.shadowers_first == object.slot:
        backing.shadowers_first = following
    else:
        raise panic(
            f"object {object.slot} is not among the shadowers of object {backing.slot}", object, backing
        )
    object.shadowers_next = object.shadowers_prev = 0


def shadow_past(vm: Vm, object: VmObject, backing: VmObject, grand: VmObject | None) -> None:
    """Point object at what backing shadows, at nothing if that is None; all locked, no count changes."""
    unlink_shadower(vm, object, backing)
    if grand is None:
        object.shadow = object.shadow_offset = 0
        return
    link_shadower(vm, object, grand)
    object.shadow = backing.shadow
    object.shadow_offset += backing.shadow_offset


@contract
def unlink_copy(vm: Vm, object: VmObject, backing: VmObject) -> None:
    """Object is backing's copy-object no longer, if it was.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    if backing.copy and vm.objects(backing.copy) is object:
        backing.copy = 0


def only_shadower(vm: Vm, backing: VmObject) -> VmObject | None:
    """The one object that shadows backing, if there is exactly one; backing locked."""
    first = backing.shadowers_first
    if not first:
        return None
    shadower: VmObject = vm.objects.views[first]
    return None if shadower.shadowers_next else shadower


@contract
def vm_object_set_shadow(vm: Vm, object: VmObject, new: VmObject | None) -> None:
    """Point object at another shadow; counts and lists follow.

    The old shadow's count is only decremented: the last reference must not go here, or the old
    shadow is never terminated.  So the caller owns one more and releases it later.

    Source: NetBSD vm/vm_object.c (1997), vm_object_set_shadow.
    Enter:  object locked; new locked (and the old shadow, when there is one).
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    old = vm.objects(object.shadow) if object.shadow else None
    if old is new:
        return
    if old is not None:
        old.ref_count -= 1
        unlink_shadower(vm, object, old)
    if new is None:
        object.shadow = 0
        return
    new.ref_count += 1
    link_shadower(vm, object, new)
    object.shadow = vm.objects.ref(new)


@contract
def vm_object_setpager(vm: Vm, object: VmObject, pager: Pager, paging_offset: int) -> None:
    """Install backing store in an object that has none.

    Source: Mach vm/vm_object.c, vm_object_setpager.
    Enter:  object locked (a private one too: the rule costs nothing there).
    Exit:   same.
    Takes:  pager.
    Sleeps: never.
    """
    if object.pager:
        raise panic(f"object {object.slot} already has a pager", object)
    object.pager = vm.pagers.ref(pager)
    object.paging_offset = paging_offset
    adopt_pager(vm, object, pager)


def adopt_pager(vm: Vm, object: VmObject, pager: Pager) -> None:
    """Store in the pager which object it serves now; object locked."""
    pager.lock.acquire()
    pager.pg_object = vm.objects.ref(object)
    pager.lock.release()
