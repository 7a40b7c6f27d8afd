"""Checked mode: every access to a record of the VM verifies its guard and its generation."""

import pytest

from harness.errors import DoubleFree, Panic, StaleReference, UnguardedAccess
from harness.shm import Pool
from harness.shm.checked import unguarded
from harness.shm.table import Table
from tests.vmcore.builders import allow_reports, locked, new_object, new_pmap, reports
from tests.vmcore.builders_objects import contents, fill, fork, page_at, space_of, top, write
from tests.vmcore.fault.test_fault import in_thread
from tests.waiting import join
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import OBJ_WAITING, PG_BUSY, PG_FREE, PG_WANTED
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object import vm_object_reference
from vmcore.page.page import frame_alloc, frame_free
from vmcore.pager.swap_map import swap_map_alloc, swap_map_free
from vmcore.show.show import show_chain
from vmcore.space.vmspace import space_map, vmspace_exit


@pytest.fixture
def vm(vm_of):
    return vm_of(checked=True)


@pytest.fixture
def broken(vm):
    """For tests that provoke the checker."""
    allow_reports(vm)
    return vm


def published(vm):
    """An object that another thread could have: its lock was taken since it was made."""
    obj = new_object(vm, 2)
    with locked(obj):
        pass
    return obj


def test_ordinary_work_passes(vm):
    parent = space_of(vm, 3)
    fill(vm, parent, {0: 1, 1: 2, 2: 3})
    child = fork(vm, parent)
    write(vm, child, 0, 9)
    write(vm, parent, 1, 8)

    assert contents(vm, parent, 3) == [1, 8, 3]
    assert contents(vm, child, 3) == [9, 2, 3]
    assert audit(vm) == []
    vmspace_exit(vm, parent)
    assert contents(vm, child, 3) == [9, 2, 3]
    vmspace_exit(vm, child)
    assert all_gone(vm) == []


@pytest.mark.parametrize("write_it", [False, True])
def test_a_field_without_its_guard_is_named_with_what_is_held_and_where(broken, write_it):
    vm = broken
    obj = published(vm)

    with locked(vm.cache_lock), pytest.raises(UnguardedAccess) as caught:
        if write_it:
            obj.ref_count = 3
        else:
            assert obj.ref_count == 1

    error = caught.value
    assert (error.table, error.slot, error.field, error.write) == (
        "vm_objects",
        obj.slot,
        "ref_count",
        write_it,
    )
    assert (error.needs, error.held) == ("O", "cache[1]")
    assert "test_guards.py" in error.where
    assert any("ref_count" in line for line in reports(vm)), "a watcher would not see it"
    vm_object_deallocate(vm, obj)


def test_the_lock_of_another_object_is_no_guard(broken):
    vm = broken
    mine, other = published(vm), published(vm)

    with locked(other), pytest.raises(UnguardedAccess, match="held: object"):
        mine.flags |= OBJ_WAITING

    for obj in (mine, other):
        vm_object_deallocate(vm, obj)


def test_a_new_record_is_its_maker_s_until_its_lock_is_taken(broken):
    vm = broken
    obj = new_object(vm, 1)
    assert obj.ref_count == 1

    vm_object_reference(vm, obj)  # takes the lock, as a thread that has found it would

    with pytest.raises(UnguardedAccess):
        assert obj.ref_count == 2
    vm_object_deallocate(vm, obj)
    vm_object_deallocate(vm, obj)


def test_a_record_that_another_thread_made_is_not_ours(broken):
    vm = broken
    obj = new_object(vm, 1)

    thread, result = in_thread(lambda: isinstance(_try(lambda: obj.size), UnguardedAccess))
    join(thread)

    assert result == [True]
    vm_object_deallocate(vm, obj)


def _try(action):
    try:
        return action()
    except UnguardedAccess as error:
        return error


def test_a_weaker_read_rule_is_the_row_s_own(broken):
    vm = broken
    space = space_of(vm, 1)
    write(vm, space, 0, 5)
    page = page_at(vm, top(vm, space), 0)

    assert vm.g.v_free_count > 0  # F/?: a hint for every process
    with vm.page_queue_lock:
        assert not page.flags_o & PG_BUSY  # O/OP: either lock to read
        with pytest.raises(UnguardedAccess):
            page.flags_o |= PG_WANTED  # but the object's own to write
    vmspace_exit(vm, space)


def test_a_free_page_belongs_to_the_free_list(broken):
    vm = broken
    page = vm.pages.views[vm.config.pages]
    with vm.free_lock:
        assert page.flags_p & PG_FREE

    with pytest.raises(UnguardedAccess, match="flags_o"):
        assert page.flags_o == 0
    taken = frame_alloc(vm, 0)
    assert taken is not None
    assert taken.flags_o == 0, "the thread that took it off the list has it alone"
    frame_free(vm, taken)


def test_every_table_of_the_vm_is_checked(broken):
    vm = broken
    with pytest.raises(UnguardedAccess, match=r"vm_devices\[1\].pager is read without its guard 'E'"):
        assert vm.devices[1].pager
    plain = {name for name, value in vars(vm).items() if isinstance(value, (Pool, Table))}
    assert plain == {"stats"}


def test_a_map_entry_belongs_to_the_map_that_it_is_linked_in(broken):
    vm = broken
    one, two = space_of(vm, 1), space_of(vm, 1)
    write(vm, one, 0, 1)
    entry = vm.entries.views[space_map_first(vm, one)]
    mine, other = space_map(vm, one), space_map(vm, two)

    with other.lock, pytest.raises(UnguardedAccess):
        assert entry.start
    with mine.lock.reading():
        assert entry.start
        with pytest.raises(UnguardedAccess):
            entry.wired_count = 1  # reading is not writing
    for space in (one, two):
        vmspace_exit(vm, space)


def space_map_first(vm, space):
    with space_map(vm, space).lock.reading():
        return space_map(vm, space).first


def test_a_view_of_an_earlier_use_is_stale_also_after_reuse(broken):
    vm = broken
    old = new_object(vm, 1)
    slot = old.slot
    vm_object_deallocate(vm, old)
    with pytest.raises(StaleReference):
        assert old.size

    new = new_object(vm, 1)

    assert new.slot == slot, "the free list is last in, first out"
    assert new is not old
    with pytest.raises(StaleReference):
        old.flags = 0
    with pytest.raises(StaleReference):
        vm.objects.free(old)
    vm_object_deallocate(vm, new)


def test_a_double_free_is_one_in_checked_mode_too(broken):
    vm = broken
    block = vm.swap_blocks.allocate()
    vm.swap_blocks.free(block)

    with pytest.raises((DoubleFree, StaleReference)):
        vm.swap_blocks.free(block)


def test_pictures_and_audits_look_without_locks(vm):
    space = space_of(vm, 1)
    write(vm, space, 0, 1)
    obj = top(vm, space)

    assert show_chain(vm, obj).startswith(f"O{obj.slot}(")
    with unguarded():
        assert obj.ref_count == 1
    vmspace_exit(vm, space)


def _element(vm, name):
    """An array of the VM, an index in it, and the lock that guards that element."""
    pmap = new_pmap(vm)
    with pmap.lock:
        pass  # from here on another thread could have it
    return {
        "vm_page_hash[5].first": (vm.heads, 5, vm.bucket_lock(5)),
        "vm_swap_map[5].taken": (vm.swap_map, 5, vm.swap_map_lock),
        "vm_swap_owners[5].block": (vm.swap_owners, 5, vm.swap_map_lock),
        f"vm_pmaps[{pmap.slot}].buckets[5]": (vm.pmap_buckets[pmap.slot], 5, pmap.lock),
        "vm_globals[1].hash_buckets[5]": (vm.g.hash_buckets, 5, vm.cache_lock),
    }[name], pmap


@pytest.mark.parametrize(
    "name",
    [
        "vm_page_hash[5].first",
        "vm_swap_map[5].taken",
        "vm_swap_owners[5].block",
        "vm_pmaps[1].buckets[5]",
        "vm_globals[1].hash_buckets[5]",
    ],
)
def test_each_element_of_an_array_has_its_guard(broken, name):
    vm = broken
    (array, at, lock), pmap = _element(vm, name)

    with pytest.raises(UnguardedAccess) as read:
        assert array[at] == 0
    with pytest.raises(UnguardedAccess) as stored:
        array[at] = 1
    with pytest.raises(UnguardedAccess):
        array[at : at + 1] = array.plain[at : at + 1]
    with pytest.raises(UnguardedAccess):
        list(array)
    for caught, what in ((read, "read"), (stored, "written")):
        assert str(caught.value).startswith(f"{name} is {what} without its guard")
        assert "test_guards.py" in caught.value.where
        assert "test_each_element_of_an_array" in caught.value.where
    assert len(reports(vm)) == 4, "a watcher would not see it"

    with lock:
        array[at] = 1
        assert array[at] == 1
        array[at] = 0
    with unguarded():
        assert array[at] == 0, "what was refused was not stored"
    vm.pmaps.free(pmap)


def test_the_lock_of_another_bucket_or_pmap_is_no_guard(broken):
    vm = broken
    one, two = new_pmap(vm), new_pmap(vm)
    for pmap in (one, two):
        with pmap.lock:
            pass

    with vm.bucket_lock(6), pytest.raises(UnguardedAccess, match=r"page_hash\[5\].first"):
        vm.heads[5] = 0
    with two.lock, pytest.raises(UnguardedAccess, match="buckets"):
        vm.pmap_buckets[one.slot][0] = 0
    for pmap in (one, two):
        vm.pmaps.free(pmap)


def test_the_buckets_of_a_pmap_that_is_gone_are_stale(broken):
    vm = broken
    pmap = new_pmap(vm)
    buckets = vm.pmap_buckets[pmap.slot]
    assert buckets[3] == 0, "its maker has it alone"
    vm.pmaps.free(pmap)

    with pytest.raises(StaleReference):
        assert buckets[3] == 0


def test_without_checked_mode_the_arrays_are_memory_and_nothing_else(vm_of):
    vm = vm_of()
    for array in (vm.heads, vm.swap_map, vm.swap_owners, vm.pmap_buckets[1]):
        assert type(array) is memoryview


def test_a_slice_of_heads_needs_the_lock_of_each_bucket(broken):
    vm = broken
    with vm.bucket_lock(4):
        assert vm.heads[4:5][0] == 0
        with pytest.raises(UnguardedAccess, match=r"page_hash\[5\].first"):
            assert vm.heads[4:6]


def test_giving_back_another_blocks_swap_page_is_told_with_the_map_locked(vm):
    first = swap_map_alloc(vm, 2, 7)
    with pytest.raises(Panic, match="belongs to block 7"):
        swap_map_free(vm, first, 2, 8)
    swap_map_free(vm, first, 2, 7)
    assert reports(vm) == []
