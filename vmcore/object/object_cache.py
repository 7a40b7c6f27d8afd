"""The object cache: file objects that no process maps, kept with their pages.

Two structures under one lock (``vm_cache_lock``): a hash from pager to object, for
every object that has a name, and the LRU list of those among them that have no
reference.  An object is on the list exactly when its count is zero, it may persist and
it is hashed; so ``vm_object_lookup`` is the only way to revive one.

The pager of a hashed object never changes, so the hash may compare it under the cache
lock alone.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import OBJ_CANPERSIST, OBJ_DYING
from vmcore.object.object_pages import vm_object_deactivate_pages
from vmcore.object.terminate import vm_object_terminate
from vmcore.structs import Pager, VmObject
from vmcore.vm import Vm, release_later
from vmcore.vm_error import panic

VM_OBJECT_HASH_COUNT = 157


@contract
def vm_object_lookup(vm: Vm, pager: Pager) -> VmObject | None:
    """The object of this pager with one more reference, taken out of the cache if need be.

    Source: Mach vm/vm_object.c, vm_object_lookup.
    Enter:  anything (usually a vnode lock).
    Exit:   same.
    Takes:  cache, object.
    Sleeps: never.
    """
    stats = vm.me.stats
    stats.v_lookups += 1
    vm.cache_lock.acquire()
    object = find_hashed(vm, pager)
    if object is not None:
        hold_hashed(vm, object)
        stats.v_hits += 1
    vm.cache_lock.release()
    return object


@contract
def hold_hashed(vm: Vm, object: VmObject) -> None:
    """One more reference on an object that the hash names, taken out of the cache if need be.

    Enter:  vm.cache_lock locked; object unlocked.
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    object.lock.acquire()
    if object.ref_count == 0:
        uncache_object(vm, object)
    object.ref_count += 1
    object.lock.release()


def find_hashed(vm: Vm, pager: Pager) -> VmObject | None:
    """The hashed object of this pager; cache locked."""
    wanted = vm.pagers.ref(pager)
    slot = vm.g.hash_buckets[pager.slot % VM_OBJECT_HASH_COUNT]
    while slot:
        object: VmObject = vm.objects.views[slot]
        if object.pager == wanted:
            return object
        slot = object.hash_next
    return None


@contract
def vm_object_enter(vm: Vm, object: VmObject | None, pager: Pager | None) -> None:
    """Give the object a name: later lookups of the pager find it.

    The pager must be installed already.  A half-entered object could be found by its
    name and have no pager, or be removed by another thread's "no pager".

    Source: Mach vm/vm_object.c, vm_object_enter.
    Enter:  object unlocked (private to the caller).
    Exit:   same.
    Takes:  cache, object.
    Sleeps: never.
    """
    if object is None or pager is None:
        return
    object.lock.acquire()
    if not object.pager or vm.pagers(object.pager) is not pager:
        raise panic(f"object {object.slot} is entered before its pager {pager.slot} is installed", object)
    object.flags |= OBJ_CANPERSIST
    object.lock.release()
    hash_object(vm, object, pager)


@contract
def hash_object(vm: Vm, object: VmObject, pager: Pager) -> None:
    """Link the object into the bucket of its pager.

    Enter:  object unlocked (private to the caller).
    Exit:   same.
    Takes:  cache.
    Sleeps: never.
    """
    bucket = pager.slot % VM_OBJECT_HASH_COUNT
    vm.cache_lock.acquire()
    object.hash_next = vm.g.hash_buckets[bucket]
    vm.g.hash_buckets[bucket] = object.slot
    object.is_hashed = 1
    vm.cache_lock.release()


@contract
def vm_object_remove(vm: Vm, pager: Pager | None) -> None:
    """Take the pager's object out of the hash, if it is there.

    Source: Mach vm/vm_object.c, vm_object_remove.
    Enter:  vm.cache_lock locked (and the object that it will find).
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    if pager is None:
        return  # every anonymous termination comes here; there is no bucket of "none"
    unlink_hashed(vm, pager.slot % VM_OBJECT_HASH_COUNT, vm.pagers.ref(pager))


@contract
def unlink_hashed(vm: Vm, bucket: int, wanted: int) -> None:
    """Take the object with this pager out of the bucket, if it is there.

    Enter:  vm.cache_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    views, buckets = vm.objects.views, vm.g.hash_buckets
    previous, slot = None, buckets[bucket]
    while slot:
        object = views[slot]
        if object.pager == wanted:
            if previous is None:
                buckets[bucket] = object.hash_next
            else:
                previous.hash_next = object.hash_next
            object.hash_next = object.is_hashed = 0
            return
        previous, slot = object, object.hash_next


@contract
def cache_object(vm: Vm, object: VmObject) -> None:
    """Append an unreferenced object to the cached list, and make its active pages inactive.

    Enter:  vm.cache_lock, object locked.
    Exit:   nothing locked.
    Takes:  page queues, pv, pmap.
    Sleeps: never.
    """
    g = vm.g
    last = g.cached_last
    object.cached_prev = last
    object.cached_next = 0
    if last:
        vm.objects.views[last].cached_next = object.slot
    else:
        g.cached_first = object.slot
    g.cached_last = object.slot
    object.is_cached = 1
    g.vm_object_cached += 1
    vm.cache_lock.release()
    vm_object_deactivate_pages(vm, object)
    object.lock.release()


def uncache_object(vm: Vm, object: VmObject) -> None:
    """Take an object off the cached list; cache and object locked."""
    g, views = vm.g, vm.objects.views
    if not object.is_cached:
        raise panic(f"object {object.slot} has no reference and is not cached", object)
    following, previous = object.cached_next, object.cached_prev
    if following:
        views[following].cached_prev = previous
    else:
        g.cached_last = previous
    if previous:
        views[previous].cached_next = following
    else:
        g.cached_first = following
    object.cached_next = object.cached_prev = object.is_cached = 0
    g.vm_object_cached -= 1


@contract
def take_least_recent(vm: Vm, limit: int) -> VmObject | None:
    """Pop the head of the cached list when more than limit are there; DYING and locked.

    All under one hold of the cache lock: read the head, unlock, look it up again was
    how two trimmers came to terminate one object.

    Enter:  nothing locked.
    Exit:   result locked.
    Takes:  cache, object.
    Sleeps: never.
    """
    vm.cache_lock.acquire()
    if vm.g.vm_object_cached <= limit:
        vm.cache_lock.release()
        return None
    object: VmObject = vm.objects.views[vm.g.cached_first]
    object.lock.acquire()
    if object.ref_count:
        raise panic(f"cached object {object.slot} has {object.ref_count} references", object)
    uncache_object(vm, object)
    object.flags = (object.flags & ~OBJ_CANPERSIST) | OBJ_DYING
    vm_object_remove(vm, vm.pagers(object.pager))
    vm.cache_lock.release()
    return object


@contract
def cache_trim(vm: Vm, limit: int | None = None) -> int:
    """Terminate the least recently used objects beyond the limit; how many went.

    Source: Mach vm/vm_object.c, vm_object_cache_trim.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (termination writes file pages).
    """
    if limit is None:
        limit = vm.config.cache_max
    gone, bound = 0, len(vm.objects.views)
    while gone < bound and trim_one(vm, limit):
        gone += 1
    return gone


@contract
def trim_one(vm: Vm, limit: int) -> bool:
    """Terminate the least recently used object, if more than limit are cached; was there one?

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (termination writes file pages).
    """
    object = take_least_recent(vm, limit)
    if object is None:
        return False
    shadow = vm_object_terminate(vm, object)
    if shadow is not None:
        release_later(vm, shadow, True)
    return True


@contract
def cache_clear(vm: Vm) -> int:
    """Empty the cache: unmount, shutdown, the end of an epoch.

    Objects may re-enter meanwhile, so the number of rounds is bounded.

    Source: Mach vm/vm_object.c, vm_object_cache_clear.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (termination writes file pages).
    """
    return cache_trim(vm, 0)


@contract
def keep_or_not(vm: Vm, object: VmObject, keep: bool) -> None:
    """Set or clear CANPERSIST; only an object with a name can be kept.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  cache, object.
    Sleeps: never.
    """
    vm.cache_lock.acquire()
    object.lock.acquire()
    if keep and object.is_hashed:
        object.flags |= OBJ_CANPERSIST
    elif not keep:
        object.flags &= ~OBJ_CANPERSIST
    object.lock.release()
    vm.cache_lock.release()
