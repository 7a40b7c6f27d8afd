"""Everything runs out once: frames, swap, and each table of records.  Orderly errors, no hang, no loss."""

import os
import select
import time
from itertools import count

import pytest

from tests.vmcore.builders import LIMIT_S, failing, leaks, services
from tests.vmcore.builders_objects import (
    BASE,
    contents,
    fill,
    fork,
    live_objects,
    read,
    space_of,
    top,
    va,
    write,
)
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import KERN_RESOURCE_SHORTAGE, VM_INHERIT_SHARE, VM_PROT_READ
from vmcore.object.object_cache import cache_clear
from vmcore.pager.swap_io import reap
from vmcore.space.access import vm_read
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.map_user import vm_allocate, vm_deallocate, vm_map_file
from vmcore.space.vmspace import space_map, vmspace_alloc, vmspace_exit
from vmcore.vm_error import VmError, VmFault

TABLES = (
    "objects", "entries", "maps", "sharing_maps", "pmaps", "mappings", "vmspaces", "pagers", "swap_blocks",
)  # fmt: skip


def use_up(pool, keep=0):
    """Take every record of a pool but ``keep``; the rest comes back with ``give_back``."""
    taken = []
    while (record := pool.allocate()) is not None:
        taken.append(record)
    for record in taken[:keep]:
        pool.free(record)
    return taken[keep:]


def give_back(pool, taken):
    for record in taken:
        pool.free(record)


def in_use(vm):
    return {name: getattr(vm, name).in_use() for name in TABLES}


def shortage(call, *args, **kwargs):
    """The call must be refused for want of records or memory, and for nothing else."""
    with pytest.raises(VmError) as refused:
        call(*args, **kwargs)
    assert refused.value.code == KERN_RESOURCE_SHORTAGE


# --- records: a shortage, and nothing has changed


def test_without_an_object_a_store_is_refused_and_other_accesses_work(vm):
    space = space_of(vm, 4)
    other = space_of(vm, 4)
    write(vm, other, 0, 7)
    taken = use_up(vm.objects)
    before = in_use(vm)

    shortage(write, vm, space, 0, 1)

    assert in_use(vm) == before
    assert (vm.native.held(), read(vm, other, 0)) == ([], 7)
    give_back(vm.objects, taken)
    write(vm, space, 0, 1)
    assert (read(vm, space, 0), audit(vm)) == (1, [])


def test_without_an_object_no_shadow_is_made_and_pages_are_kept(vm):
    parent = space_of(vm, 2)
    write(vm, parent, 0, 5)
    child = fork(vm, parent)
    taken = use_up(vm.objects)
    references = top(vm, parent).ref_count

    shortage(write, vm, parent, 0, 6)
    shortage(write, vm, child, 0, 6)

    assert (read(vm, parent, 0), read(vm, child, 0)) == (5, 5)
    assert top(vm, parent) is top(vm, child)
    assert top(vm, parent).ref_count == references
    give_back(vm.objects, taken)
    write(vm, child, 0, 6)
    assert (read(vm, parent, 0), read(vm, child, 0), audit(vm)) == (5, 6, [])


@pytest.mark.parametrize("table", ["vmspaces", "pmaps", "maps", "entries"])
def test_a_fork_without_records_leaves_no_child_and_the_parent_as_it_was(vm, table):
    parent = space_of(vm, 2)
    write(vm, parent, 0, 5)
    pool = getattr(vm, table)
    taken = use_up(pool)
    before, objects = in_use(vm), live_objects(vm)

    shortage(fork, vm, parent)

    assert (in_use(vm), live_objects(vm)) == (before, objects)
    give_back(pool, taken)
    write(vm, parent, 0, 6)
    child = fork(vm, parent)
    assert (read(vm, child, 0), audit(vm)) == (6, [])


@pytest.mark.parametrize(
    ("table", "keep"), [("sharing_maps", 0), ("entries", 0), ("entries", 1), ("objects", 0)]
)
def test_a_fork_that_cannot_share_leaves_the_parents_memory_whole(vm, table, keep):
    parent = space_of(vm, 2, inheritance=VM_INHERIT_SHARE)
    if table != "objects":
        write(vm, parent, 0, 5)
    pool = getattr(vm, table)
    taken = use_up(pool, keep)
    before = {name: n for name, n in in_use(vm).items() if name not in ("sharing_maps", "entries")}

    shortage(fork, vm, parent)

    assert {name: n for name, n in in_use(vm).items() if name in before} == before
    give_back(pool, taken)
    write(vm, parent, 1, 6)
    child = fork(vm, parent)
    write(vm, child, 0, 9)
    assert (read(vm, parent, 0), read(vm, child, 1), audit(vm)) == (9, 6, [])


@pytest.mark.parametrize("keep", [0, 1])
def test_without_an_entry_nothing_is_mapped_unmapped_or_protected(vm, keep):
    space = space_of(vm, 4)
    fill(vm, space, {0: 1, 1: 2, 2: 3, 3: 4})
    amap, size = space_map(vm, space), vm.page_size
    taken = use_up(vm.entries, keep)

    shortage(vm_deallocate, vm, amap, va(vm, 1), size)
    assert vm_map_protect(vm, amap, va(vm, 1), va(vm, 2), VM_PROT_READ) == KERN_RESOURCE_SHORTAGE
    assert contents(vm, space, 4) == [1, 2, 3, 4]
    use_up_the_rest = use_up(vm.entries)
    shortage(vm_allocate, vm, amap, size)

    give_back(vm.entries, taken + use_up_the_rest)
    fill(vm, space, {0: 5, 1: 6, 2: 7, 3: 8})
    assert (contents(vm, space, 4), audit(vm)) == ([5, 6, 7, 8], [])


def test_without_a_space_there_is_no_space(vm):
    for table in ("vmspaces", "pmaps", "maps"):
        pool = getattr(vm, table)
        taken = use_up(pool)
        before = in_use(vm)

        assert vmspace_alloc(vm) is None

        assert in_use(vm) == before
        give_back(pool, taken)


@pytest.mark.parametrize(("table", "keep"), [("pagers", 0), ("objects", 0), ("objects", 1), ("entries", 0)])
def test_without_records_a_file_is_not_mapped_and_its_vnode_stays_free(vm_of, table, keep):
    vm = vm_of(files=(4 * 4096,))
    space, vnode, pool = space_of(vm, 1), vm.vnodes.views[1], getattr(vm, table)
    taken = use_up(pool, keep)
    uses = vnode.v_usecount

    shortage(vm_map_file, vm, space_map(vm, space), vnode, 4 * vm.page_size)

    give_back(pool, taken)
    cache_clear(vm)
    assert (vnode.v_usecount, vnode.v_vmdata, vm.pagers.in_use()) == (uses, 0, 0)
    at = vm_map_file(vm, space_map(vm, space), vnode, 4 * vm.page_size)
    assert vm_read(vm, space, at) == bytes(vm.page_size)
    assert audit(vm) == []


def test_a_full_table_of_mappings_only_costs_faults(vm_of):
    """A space whose mapping was taken faults it in again; a pmap without mappings takes one of another."""
    vm = vm_of(mappings=2)
    spaces = [space_of(vm, 4) for _ in range(3)]

    for turn in range(3):
        for number, space in enumerate(spaces):
            fill(vm, space, {page: 100 * turn + 10 * number + page for page in range(4)})
        for number, space in enumerate(spaces):
            assert contents(vm, space, 4) == [100 * turn + 10 * number + page for page in range(4)]

    assert vm.mappings.in_use() == 2
    assert audit(vm) == []


# --- memory and swap: told, not hung


@pytest.mark.parametrize(
    "short",
    [{"swap_pages": 16}, {"swap_blocks": 2}, {"pagers": 1}, {"swap_pages": 16, "pending": 1}],
    ids="+".join,
)
def test_with_memory_and_swap_full_every_operation_ends_in_order(vm_of, short):
    vm = vm_of(pages=64, **short)
    space, small, ballast = space_of(vm, 256), space_of(vm, 1), space_of(vm, 24)
    stored = 0

    with services(vm):
        write(vm, small, 0, 77)
        fill(vm, ballast, dict.fromkeys(range(24), 5))
        with pytest.raises(VmFault) as told:
            for page in range(256):
                write(vm, space, page, 1000 + page)
                stored += 1
        assert told.value.code == KERN_RESOURCE_SHORTAGE
        child = fork(vm, space)
        shortage(fill, vm, child, dict.fromkeys(range(stored), 1))
        assert vm.g.memory_waiters == 0

        vmspace_exit(vm, child)
        vmspace_exit(vm, ballast)  # frames come back, so every page can be looked at
        assert contents(vm, space, stored) == [1000 + page for page in range(stored)]
        vmspace_exit(vm, space)
        assert read(vm, small, 0) == 77
        again = space_of(vm, 30)
        fill(vm, again, {page: page for page in range(30)})
        assert contents(vm, again, 30) == list(range(30))
        vmspace_exit(vm, again)

    vmspace_exit(vm, small)
    reap(vm, True)
    assert all_gone(vm) == []


def test_on_a_disk_that_takes_nothing_memory_is_all_there_is(vm_of):
    vm = vm_of(pages=64)
    vm.io.hook = failing("swap_write")
    space = space_of(vm, 256)

    with services(vm):
        shortage(fill, vm, space, {page: page for page in range(256)})
        vmspace_exit(vm, space)
        space = space_of(vm, 30)
        fill(vm, space, {page: page for page in range(30)})
        assert contents(vm, space, 30) == list(range(30))

    vmspace_exit(vm, space)
    reap(vm, True)
    assert all_gone(vm) == []


def live(vm, number, tell, enough):
    """Grow, fork, store, split and leave; whatever is refused for want of something is done without.

    Four turns, and more until ``enough()``: whether users meet is the scheduler's choice.
    """
    until = time.monotonic() + LIMIT_S / 4
    for turn in count():
        if turn >= 4 and (enough() or time.monotonic() > until):
            break
        space = done_without(tell, empty_space_or_shortage, vm)
        if space is None:
            continue
        done_without(tell, vm_allocate, vm, space_map(vm, space), 48 * vm.page_size, BASE)
        done_without(tell, vm_allocate, vm, space_map(vm, space), 2 * vm.page_size, None, 3, VM_INHERIT_SHARE)
        mine = {}
        for page in range(48):
            value = number * 10000 + turn % 100 * 100 + page
            if not done_without(tell, write_said, vm, space, page, value):
                break
            mine[page] = value
        child = done_without(tell, fork, vm, space)
        if child is not None:
            done_without(tell, fill, vm, child, dict.fromkeys(range(0, 48, 5), 1))
            done_without(tell, vm_deallocate, vm, space_map(vm, child), va(vm, 7), 3 * vm.page_size)
        for page, value in mine.items():
            found = done_without(tell, read, vm, space, page)
            assert found in (None, value), f"page {page} of {number} is {found}, not {value}"
        for one in (child, space):
            if one is not None:
                vmspace_exit(vm, one)


def write_said(vm, space, page, value):
    write(vm, space, page, value)
    return True


def empty_space_or_shortage(vm):
    space = vmspace_alloc(vm)
    if space is None:
        raise VmError("vmspace_alloc", KERN_RESOURCE_SHORTAGE)
    return space


def done_without(tell, call, *args):
    """The call's result, or None when it was refused for want of something."""
    try:
        return call(*args)
    except VmError as refused:
        if refused.code not in (KERN_RESOURCE_SHORTAGE, 1):  # 1: not mapped, since the mapping was refused
            raise
        os.write(tell, b"x")
        return None


@pytest.mark.parametrize(
    "short",
    [
        {"objects": 8},
        {"entries": 6},
        {"maps": 3, "pmaps": 8},
        {"pmaps": 3},
        {"vmspaces": 3},
        {"sharing_maps": 1},
        {"mappings": 4},
        {"pagers": 2},
        {"swap_blocks": 3},
        {"swap_pages": 24},
        {"swap_pages": 24, "pending": 1, "objects": 9, "entries": 7},
    ],
    ids=lambda short: "+".join(f"{name}={n}" for name, n in short.items()),
)
def test_processes_that_run_out_of_anything_go_on_and_leave_nothing(vm_of, short):
    vm = vm_of(pages=64, **short)

    told, tell = os.pipe()

    def enough():
        return "mappings" in short or bool(select.select([told], [], [], 0)[0])

    with services(vm) as team:
        for number in (1, 2, 3):
            team.start(f"user {number}", live, number, tell, enough)
        said = team.wait(*(f"user {number}" for number in (1, 2, 3)))

    assert set(said.values()) == {"fine"}, "\n".join(said.values())
    reap(vm, True)
    assert leaks(vm) == []
    assert all_gone(vm) == []
    os.close(tell)
    assert os.read(told, 1) or "mappings" in short, "nothing ran out: this run would prove nothing"
    os.close(told)
