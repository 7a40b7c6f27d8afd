"""What a process owns: a map, a hardware map, and the count of the processes that share them.

Exit has two halves.  The range goes as soon as the last user is *about* to leave, so
that memory is back before a parent hears of the death; the records go with the last
reference, exactly once, whatever the order in which two last sharers come.
"""

from __future__ import annotations

from harness.errors import Panic
from harness.locks.contract import contract
from vmcore.constants import KERN_RESOURCE_SHORTAGE
from vmcore.map.map import vm_map_create, vm_map_deallocate, vm_map_remove, vm_map_unlock_and_release
from vmcore.map.wiring import wait_for_wirings
from vmcore.object.deallocate import drain_release_list
from vmcore.pmap.pmap import pmap_create
from vmcore.pmap.pmap_range import pmap_destroy
from vmcore.space.map_fork import vm_map_fork
from vmcore.structs import VmMap, Vmspace
from vmcore.vm import Vm
from vmcore.vm_error import VmError

VM_MIN_ADDRESS = 0x1000
VM_MAX_ADDRESS = 0x8000_0000_0000


def space_map(vm: Vm, space: Vmspace) -> VmMap:
    """The map of a space."""
    map: VmMap = vm.maps(space.map)
    return map


@contract
def vmspace_alloc(vm: Vm, low: int = VM_MIN_ADDRESS, high: int = VM_MAX_ADDRESS) -> Vmspace | None:
    """An empty address space with one user, or None without records.

    Source: 4.4BSD vm/vm_map.c, vmspace_alloc.
    Enter:  anything.
    Exit:   same.
    Takes:  pool, pmap.
    Sleeps: never.
    """
    space: Vmspace | None = vm.vmspaces.allocate()
    if space is None:
        return None
    pmap = pmap_create(vm)
    if pmap is None:
        vm.vmspaces.free(space)
        return None
    map = vm_map_create(vm, pmap, low, high)
    if map is None:
        pmap_destroy(vm, pmap)
        vm.vmspaces.free(space)
        return None
    space.map, space.pmap = vm.maps.ref(map), vm.pmaps.ref(pmap)
    space.vm_refcnt = 1
    return space


@contract
def vmspace_fork(vm: Vm, space: Vmspace) -> Vmspace:
    """A child's space: what each entry's inheritance says.  VmError without records.

    Source: 4.4BSD vm/vm_map.c, vmspace_fork.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map locks).
    """
    while True:
        busy: list[VmMap] = []
        new = fork_once(vm, space, busy)
        if new is not None:
            return new
        if not busy:
            raise VmError("vmspace_fork", KERN_RESOURCE_SHORTAGE)
        vm.native.failure()
        for share in busy:
            wait_for_wirings(vm, share)
            vm_map_deallocate(vm, share)
        drain_release_list(vm)


@contract
def fork_once(vm: Vm, space: Vmspace, busy: list[VmMap]) -> Vmspace | None:
    """One attempt; None without records, or when ``busy`` names a sharing map to wait for first.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map locks).
    """
    parent = space_map(vm, space)
    new = vmspace_alloc(vm, parent.min_offset, parent.max_offset)
    if new is None:
        return None
    child = space_map(vm, new)
    parent.lock.write()
    parent.timestamp += 1
    if not child.lock.try_write():  # no other thread knows it
        raise Panic(f"new map {child.slot} is locked by another thread")
    done = vm_map_fork(vm, parent, child, busy)
    child.lock.release()
    parent.lock.release()
    vm.me.stats.map_forks += 1
    if not done:
        vmspace_free(vm, new)
        return None
    drain_release_list(vm)  # an object that a wired entry has parted with
    return new


@contract
def vmspace_share(vm: Vm, space: Vmspace) -> Vmspace:  # noqa: ARG001
    """One more process (vfork, thread) in this space.

    Source: 4.4BSD vm/vm_unix.c, vmspace_share.
    Enter:  anything.
    Exit:   same.
    Takes:  vmspace.
    Sleeps: never.
    """
    space.lock.acquire()
    if space.vm_refcnt <= 0:
        raise Panic(f"vmspace {space.slot} is shared after its last user left")
    space.vm_refcnt += 1
    space.lock.release()
    return space


@contract
def vmspace_exit(vm: Vm, space: Vmspace) -> None:
    """A process leaves: give the memory back at once if no other process uses the space.

    Source: 4.4BSD kern/kern_exit.c, exit1; vm/vm_map.c, vmspace_free.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock; terminations).
    """
    if space.vm_refcnt == 1:  # a hint: two last sharers may both read 2, and step 2 still fits
        remove_all(vm, space_map(vm, space))
    vmspace_free(vm, space)


@contract
def vmspace_free(vm: Vm, space: Vmspace) -> None:
    """Drop one user; the one that takes the count to zero, and only that one, tears down.

    Source: 4.4BSD vm/vm_map.c, vmspace_free.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock; terminations).
    """
    if drop_user(vm, space):
        return
    map = space_map(vm, space)
    remove_all(vm, map)
    drain_map(vm, map)
    pmap_destroy(vm, vm.pmaps(space.pmap))
    vm.maps.free(map)
    vm.vmspaces.free(space)


@contract
def drop_user(vm: Vm, space: Vmspace) -> int:  # noqa: ARG001
    """One user less; how many are left.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  vmspace.
    Sleeps: never.
    """
    space.lock.acquire()
    space.vm_refcnt -= 1
    left: int = space.vm_refcnt
    space.lock.release()
    if left < 0:
        raise Panic(f"vmspace {space.slot} is left more often than entered")
    return left


@contract
def remove_all(vm: Vm, map: VmMap) -> None:
    """Delete the whole user range.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock; terminations).
    """
    vm_map_remove(vm, map, map.min_offset, map.max_offset)


@contract
def drain_map(vm: Vm, map: VmMap) -> None:
    """Wait for a thread that still has the map locked, before the map's record goes.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock).
    """
    map.lock.write()
    if map.nentries:
        raise Panic(f"map {map.slot} still has {map.nentries} entries at its end")
    vm_map_unlock_and_release(vm, map, [])


@contract
def vmspace_exec(vm: Vm, space: Vmspace) -> Vmspace:
    """Replace the image: the space to use from now on, empty.

    A process that shares its space (vfork) leaves it and gets one of its own.

    Source: 4.4BSD kern/kern_exec.c; NetBSD vm/vm_map.c, vmspace_exec.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (map lock; terminations).
    """
    if space.vm_refcnt == 1:  # ours alone, and no other thread can enter it but through us
        remove_all(vm, space_map(vm, space))
        return space
    map = space_map(vm, space)
    new = vmspace_alloc(vm, map.min_offset, map.max_offset)
    if new is None:
        raise VmError("vmspace_exec", KERN_RESOURCE_SHORTAGE)
    vmspace_free(vm, space)
    return new
