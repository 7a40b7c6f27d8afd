"""``boot`` lays a VM down in an empty arena, ``attach`` finds it in another process.

The steps of ``boot`` follow, one function each, in the order in which it calls them.  The process
that boots is alone in the arena, so no step needs a lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from ctypes import sizeof
from typing import Any, Final

from harness.errors import CannotRunHere, TableFull
from harness.locks import contract
from harness.shm.arena import Arena
from vmcore import ranks, structs
from vmcore.checked.guards import install
from vmcore.config import MAX_CLUSTER, OPTIONS, Config
from vmcore.constants import BUCKET_LOCKS, PG_FICTITIOUS, PG_FREE, PV_LOCKS
from vmcore.io import make_files
from vmcore.object.object import vm_object_allocate
from vmcore.structs import LockCell, Stats, VmBoot, VmGlobals, VmObject, VmPage
from vmcore.vm import POOLS, Vm, hash_size

KERNEL_OBJECT_PAGES: Final = 1 << 20  # address space, not memory: nothing is resident in it
STORED: Final = (
    *OPTIONS, "cache_max", "page_size", "cluster_pages", "devices", "device_pages", "alias_distance"
)  # fmt: skip


def arena_size(config: Config, seats: int = 128) -> int:
    """What ``Arena.create(size=...)`` needs for this VM."""
    records = sum((getattr(config, name) + 1) * (sizeof(record) + 1) for name, (record, _) in POOLS.items())
    records += (config.frames + 1) * sizeof(VmPage) + (config.pending + 1) * sizeof(structs.PendingClean)
    records += (config.pending * (MAX_CLUSTER - 1) + 1) * sizeof(structs.PendingPage)
    records += (config.devices + 1) * sizeof(structs.Device)
    records += (seats + 1) * sizeof(Stats) + 2 * (sizeof(VmGlobals) + sizeof(VmBoot))
    records += (len(POOLS) + PV_LOCKS + BUCKET_LOCKS + 3) * sizeof(LockCell)
    regions = (config.frames + 1) * config.page_size + hash_size(config) * 4 + (config.swap_pages + 1) * 5
    slack = 128 * 1024  # alignment of some sixty blocks, and a caller's few tables
    return int(records + regions + slack)


def boot(arena: Arena, config: Config, replacements: Mapping[str, Callable[..., Any]] | None = None) -> Vm:
    """Lay a VM down in a fresh arena.  One process does this, before another attaches."""
    # fmt: off
    vm = Vm(arena, config)              # every table, every lock with its class
    write_config(vm)              # so that attach knows the sizes
    set_chain(vm)                 # the one case of two locks of a class: front, then shadow
    bind(vm, replacements)        # contracts on or off
    set_thresholds(vm)            # when the daemon works
    empty_swap_map(vm)            # page 0 has no owner
    free_all_frames(vm)           # every frame on the free list
    mark_device_pages(vm)         # except those that are a device's
    link_pending(vm)              # every record of an asynchronous write is free
    open_store(vm)                # the swap file and the files, unlinked at once
    make_vnodes(vm)               # one per file
    make_kernel_objects(vm)       # never freed
    # fmt: on
    if config.checked:
        install(vm)  # last: until now we were alone
    return vm


def attach(arena: Arena, replacements: Mapping[str, Callable[..., Any]] | None = None) -> Vm:
    """Open the VM of a process that is still there (its descriptors are the store)."""
    record: Any = arena.table("vm_boot", VmBoot)[1]
    sizes: dict[str, Any] = {name: int(getattr(record, name)) for name in STORED}
    vm = Vm(arena, Config(**sizes, contracts=bool(record.contracts), checked=bool(record.checked)))
    bind(vm, replacements)
    vm.swap_fd = reopen(record.creator, record.swap_fd)
    vm.files = [reopen(record.creator, record.file_fds[i]) for i in range(record.file_count)]
    if vm.config.checked:
        install(vm)
    return vm


def write_config(vm: Vm) -> None:
    """Sizes into the boot record, for attach."""
    for name in (*STORED, "contracts", "checked"):
        setattr(vm.boot_record, name, int(getattr(vm.config, name)))


def set_chain(vm: Vm) -> None:
    """Object locks nest, front object first, then what it shadows; no other way."""
    vm.native.set_chain(
        vm.class_ids[ranks.OBJECT.name],
        VmObject.shadow.offset - VmObject.lock_.offset,
        vm.objects.views[0].address,
        sizeof(VmObject),
        VmObject.lock_.offset,
    )


def bind(vm: Vm, replacements: Mapping[str, Callable[..., Any]] | None) -> None:
    """Contracts on or off, and the caller's own steps in the place of ours."""
    contract.bind(vm.config.contracts, dict(replacements or {}), vm.class_ids)


def empty_swap_map(vm: Vm) -> None:
    """Page 0 of the swap file has no owner: a block that starts at 0 means "none"."""
    vm.g.swap_total = vm.config.swap_pages
    vm.swap_map[0] = 1


def set_thresholds(vm: Vm) -> None:
    """When the daemon works, from the number of frames."""
    g, config = vm.g, vm.config
    g.v_free_min, g.v_free_target = config.free_min, config.free_target
    g.v_free_reserved, g.v_wire_max = config.free_reserved, config.wire_max
    g.v_inactive_target = config.free_target + 1


def free_all_frames(vm: Vm) -> None:
    """Chain every page on the free list, in frame order."""
    views, g = vm.pages.views, vm.g
    for slot in range(1, vm.config.pages + 1):
        views[slot].flags_p = PG_FREE
        views[slot].pageq_next = slot + 1 if slot < vm.config.pages else 0
    g.free_first, g.free_last, g.v_free_count = 1, vm.config.pages, vm.config.pages


def mark_device_pages(vm: Vm) -> None:
    """The pages behind the managed ones stand for device memory: they are never free, nor queued."""
    for page in vm.pages.views[vm.config.pages + 1 :]:
        page.flags_o = PG_FICTITIOUS


def link_pending(vm: Vm) -> None:
    """Chain every record of an asynchronous write on the free list."""
    count = vm.config.pending
    for slot in range(1, count + 1):
        vm.pending.views[slot].next = slot + 1 if slot < count else 0
    vm.g.spc_free_first = 1


def open_store(vm: Vm) -> None:
    """The swap file and the files: real, and without a name before anything is in them."""
    config, record = vm.config, vm.boot_record
    swap_size = (config.swap_pages + 1) * config.page_size
    vm.swap_fd, *vm.files = make_files(config.directory, [swap_size, *config.files])
    record.creator, record.swap_fd = os.getpid(), vm.swap_fd
    record.file_count = len(vm.files)
    for i, descriptor in enumerate(vm.files):
        record.file_fds[i] = descriptor


def make_vnodes(vm: Vm) -> None:
    """One vnode per file; vnode slot i + 1 is file i."""
    for number, size in enumerate(vm.config.files):
        vnode = vm.vnodes.allocate()
        assert vnode is not None  # Config has checked that there are enough
        vnode.number, vnode.v_size, vnode.v_usecount, vnode.v_vmdata = number, size, 1, 0


@contract.contract
def make_kernel_objects(vm: Vm) -> None:
    """The two objects that are never freed.

    Source: Mach vm/vm_object.c, vm_object_init.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  object list, pool.
    Sleeps: never.
    """
    size = KERNEL_OBJECT_PAGES * vm.page_size
    for name in ("kernel_object", "kmem_object"):
        object = vm_object_allocate(vm, size)
        if object is None:
            raise TableFull("vm_objects", vm.config.objects, OPTIONS["objects"])
        setattr(vm.g, name, vm.objects.ref(object))


def reopen(pid: int, descriptor: int) -> int:
    """Our own descriptor of a file that has no name any more."""
    if pid == os.getpid():
        return descriptor
    try:
        return os.open(f"/proc/{pid}/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise CannotRunHere(f"the store of the VM went with process {pid}: {error}", "hangdog ps") from error
