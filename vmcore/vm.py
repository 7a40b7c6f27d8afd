"""A VM: its tables, its locks, and what belongs to the thread that asks.

``boot`` (boot.py) lays everything down in an empty arena; ``attach`` finds it again in another
process.  A forked child needs neither: it uses its parent's Vm, and only what belongs
to a thread (``vm.me``) is made anew.

Every function of vmcore has a Vm as its first argument, so this file imports none of them.
Nothing here takes a lock.

The table ``vm_pending`` holds the asynchronous page-outs, ``vm_pending_pages`` the pages of
each beyond its first.  A watcher of the arena may register both as providers of wait edges: a
record in state BUSY or WRITING leads from ``busy_address`` and ``pip_address`` to the disk
workers, in state DONE or ERROR to the daemon.  The rows that register them are data of
harness.watch, which this package does not know; the stress package lays them down.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from harness.locks.ranks import LockClass
from harness.shm.arena import Arena
from harness.shm.native import Header
from harness.shm.pool import Pool
from harness.shm.table import Table
from vmcore import ranks, structs
from vmcore.config import MAX_CLUSTER, OPTIONS, Config
from vmcore.constants import BUCKET_LOCKS, PV_LOCKS
from vmcore.io import Io
from vmcore.structs import LockCell, Stats, VmBoot, VmGlobals, VmObject, VmPage

ALL_VMS: weakref.WeakSet[Vm] = weakref.WeakSet()

# Lock classes of the rows that are not called lock_ (channels have one class).
MAP_LOCKS: Final = {"ref_lock_": ranks.MAP_REF, "hint_lock_": ranks.MAP_HINT, "chan_": ranks.CHANNEL}
GLOBAL_LOCKS: Final = {
    "cache_lock_": ranks.CACHE,
    "page_queue_lock_": ranks.PAGE_QUEUES,
    "free_lock_": ranks.FREE_LIST,
    "object_list_lock_": ranks.OBJECT_LIST,
    "io_list_lock_": ranks.IO_LIST,
    "swap_map_lock_": ranks.SWAP_MAP,
    "pages_needed_lock_": ranks.PAGES_NEEDED,
    "handle_lock_": ranks.HANDLE,
    "named_chan_": ranks.CHANNEL,
    "device_lock_": ranks.DEVICE_HANDLE,
    "daemon_chan_": ranks.CHANNEL,
    "free_chan_": ranks.CHANNEL,
    "disk_chan_": ranks.CHANNEL,
}


# Pools by name: record type and the class of each embedded lock.
POOLS: dict[str, tuple[type[Any], dict[str, LockClass]]] = {
    "objects": (structs.VmObject, {"lock_": ranks.OBJECT, "chan_": ranks.CHANNEL}),
    "mappings": (structs.Mapping, {}),
    "pmaps": (structs.Pmap, {"lock_": ranks.PMAP}),
    "entries": (structs.VmMapEntry, {}),
    "maps": (structs.VmMap, {"lock_": ranks.MAP, **MAP_LOCKS}),
    "sharing_maps": (structs.VmMap, {"lock_": ranks.SHARING_MAP, **MAP_LOCKS}),
    "vmspaces": (structs.Vmspace, {"lock_": ranks.VMSPACE}),
    "pagers": (structs.Pager, {"lock_": ranks.PAGER, "chan_": ranks.CHANNEL}),
    "swap_blocks": (structs.SwapBlock, {}),
    "vnodes": (structs.Vnode, {"lock_": ranks.VNODE, "chan_": ranks.CHANNEL}),
}


def seat_count(arena: Arena) -> int:
    """How many threads the arena can seat: one row of counters each."""
    return int(Header.from_buffer(arena.mapping).seat_count)


class ThreadState(threading.local):
    """What belongs to one thread: its row of counters, its release list, what it is."""

    def __init__(self, vm: Vm) -> None:
        native = vm.arena.native
        seat = native.seat() or native.sit("thread")
        self.stats: Stats = vm.stats.views[seat]
        self.release_list: list[tuple[Any, bool]] = []  # (VmObject, via_shadow): see release_later
        self.is_daemon = False  # may take the reserve; never waits for memory


class Vm:
    """Everything a vmcore function reaches through its first argument."""

    def __init__(self, arena: Arena, config: Config) -> None:
        self.arena, self.config = arena, config
        self.native = native = arena.native
        self.claim, self.unclaim = native.claim, native.unclaim
        self.point, self.window = native.point, native.window  # worth remembering; only worth a delay
        self.pass_on, self.changed = native.pass_on, native.changed
        self.class_ids = {lock_class.name: lock_class.declare(arena) for lock_class in ranks.ALL}
        self.page_size = config.page_size
        self.page_shift = config.page_size.bit_length() - 1
        self.zeros = bytes(config.page_size)
        self._open_pools()
        self._open_tables()
        self._open_locks()
        self._open_regions()
        self.files: list[int] = []
        self.swap_fd = -1
        self.io = Io(self)
        self.me = ThreadState(self)
        ALL_VMS.add(self)

    def _table(self, name: str, record: type[Any], count: int, **classes: LockClass) -> Table[Any]:
        ids = {row: self.class_ids[lock_class.name] for row, lock_class in classes.items()}
        return self.arena.table(f"vm_{name}", record, count, OPTIONS.get(name, ""), ids)

    def _open_pools(self) -> None:
        cells = self._table("pool_locks", LockCell, len(POOLS), lock_=ranks.POOL)
        pools: dict[str, Pool[Any]] = {}
        for number, (name, (record, classes)) in enumerate(POOLS.items(), 1):
            ids = {row: self.class_ids[lock_class.name] for row, lock_class in classes.items()}
            count, lock = getattr(self.config, name), cells[number].lock
            pools[name] = Pool(self.arena, f"vm_{name}", record, count, lock, OPTIONS[name], ids)
        self.objects: Pool[structs.VmObject] = pools["objects"]
        self.mappings: Pool[structs.Mapping] = pools["mappings"]
        self.pmaps: Pool[structs.Pmap] = pools["pmaps"]
        self.entries: Pool[structs.VmMapEntry] = pools["entries"]
        self.maps: Pool[structs.VmMap] = pools["maps"]
        self.sharing_maps: Pool[structs.VmMap] = pools["sharing_maps"]
        self.vmspaces: Pool[structs.Vmspace] = pools["vmspaces"]
        self.pagers: Pool[structs.Pager] = pools["pagers"]
        self.swap_blocks: Pool[structs.SwapBlock] = pools["swap_blocks"]
        self.vnodes: Pool[structs.Vnode] = pools["vnodes"]

    def _open_tables(self) -> None:
        self.boot_record: Any = self._table("boot", VmBoot, 1)[1]
        self.globals_table = self._table("globals", VmGlobals, 1, **GLOBAL_LOCKS)
        self.g: Any = self.globals_table[1]
        self.pages: Table[VmPage] = self._table("pages", VmPage, self.config.frames, chan_=ranks.CHANNEL)
        self.pending: Table[structs.PendingClean] = self._table(
            "pending", structs.PendingClean, self.config.pending
        )
        more = self.config.pending * (MAX_CLUSTER - 1)  # pages of a run beyond its first
        self.pending_pages: Table[structs.PendingPage] = self._table(
            "pending_pages", structs.PendingPage, more
        )
        self.devices: Table[structs.Device] = self._table(
            "devices", structs.Device, self.config.devices, chan_=ranks.CHANNEL
        )
        self.stats: Table[Stats] = self._table("stats", Stats, seat_count(self.arena))

    def _open_locks(self) -> None:
        g = self.g
        self.cache_lock, self.page_queue_lock, self.free_lock = g.cache_lock, g.page_queue_lock, g.free_lock
        self.object_list_lock, self.io_list_lock = g.object_list_lock, g.io_list_lock
        self.swap_map_lock, self.pages_needed_lock = g.swap_map_lock, g.pages_needed_lock
        self.handle_lock, self.named_chan, self.device_lock = g.handle_lock, g.named_chan, g.device_lock
        self.daemon_chan, self.free_chan, self.disk_chan = g.daemon_chan, g.free_chan, g.disk_chan
        pv = self._table("pv_locks", LockCell, PV_LOCKS, lock_=ranks.PV)
        buckets = self._table("bucket_locks", LockCell, BUCKET_LOCKS, lock_=ranks.BUCKET)
        self.pv_locks = [cell.lock for cell in pv.views[1:]]
        self.bucket_locks = [cell.lock for cell in buckets.views[1:]]

    def _open_regions(self) -> None:
        """What is not a record: frames, hash heads, the swap map, the buckets of the pmaps."""
        config, size, view = self.config, self.page_size, self.arena.native.view
        memory = view(self._region("frames", config.frames * size, size), config.frames * size)
        # Slot 0 is no frame; an empty view makes its use fail at once.
        self.frames = [memory[0:0], *(memory[at : at + size] for at in range(0, len(memory), size))]
        self.frame: Callable[[int], memoryview] = self.frames.__getitem__
        buckets = hash_size(config)
        self.hash_mask = buckets - 1
        self.heads: Any = view(self._region("page_hash", buckets * 4), buckets * 4).cast("I")
        taken = config.swap_pages + 1  # one byte per page, 1 is taken
        self.swap_map: Any = view(self._region("swap_map", taken), taken)
        owners = (config.swap_pages + 1) * 4  # slot of the SwapBlock that owns the page
        self.swap_owners: Any = view(self._region("swap_owners", owners), owners).cast("I")
        # A ctypes array attribute makes two objects per access; these are made once.
        at, length = structs.Pmap.buckets.offset, structs.Pmap.buckets.size
        self.pmap_buckets: Any = [view(pmap.address + at, length).cast("I") for pmap in self.pmaps.views]

    def _region(self, name: str, size: int, align: int = 64) -> int:
        return self.arena.reserve(f"vm_{name}", size, align)

    def pv_lock(self, frame: int) -> Any:
        """The lock of the frame's group."""
        return self.pv_locks[frame % PV_LOCKS]

    def bucket_lock(self, bucket: int) -> Any:
        """The lock of the page-hash bucket's group."""
        return self.bucket_locks[bucket % BUCKET_LOCKS]


def _new_threads_after_fork() -> None:
    """The forking thread's state would otherwise be shared with the child's: same counter row."""
    for vm in ALL_VMS:
        vm.me = ThreadState(vm)


os.register_at_fork(after_in_child=_new_threads_after_fork)


def hash_size(config: Config) -> int:
    """Buckets of the page hash: the next power of two that is no smaller than the pages."""
    return 1 << (config.pages - 1).bit_length()


def release_later(vm: Vm, object: VmObject, via_shadow: bool) -> None:
    """Move one reference of the caller's to its thread's release list; any locks may be held.

    Here because every function above deallocate.py (collapse, maps, faults) appends to the list,
    and only deallocate.py may work it off.
    """
    vm.me.release_list.append((object, via_shadow))
