"""Checked mode: every access verifies its guard and its generation, every release its invariants."""

import pytest

from harness.errors import DoubleFree, StaleReference, UnguardedAccess
from harness.shm.checked import unguarded
from tests.vmcore.builders import allow_reports, locked, new_object, new_page, reports
from tests.vmcore.builders_objects import contents, fill, fork, page_at, space_of, top, write
from tests.vmcore.test_fault import in_thread
from vmcore.audit import all_gone, audit
from vmcore.constants import OBJ_COLLAPSING, OBJ_WAITING, PG_ACTIVE, PG_BUSY, PG_WANTED
from vmcore.deallocate import vm_object_deallocate
from vmcore.instant_objects import resident_facts
from vmcore.instant_pages import queue_facts
from vmcore.instant_records import InstantViolation, Records
from vmcore.instant_store import pager_facts
from vmcore.object import vm_object_reference
from vmcore.pager_swap import swap_pager_alloc
from vmcore.show import show_chain
from vmcore.vmspace import space_map, vmspace_exit


@pytest.fixture
def vm(vm_of):
    return vm_of(checked=True)


@pytest.fixture
def broken(vm):
    """For tests that provoke the checker."""
    allow_reports(vm)
    return vm


def published(vm):
    """An object that somebody else could have: its lock was taken since it was made."""
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
    assert "test_checked.py" in error.where
    assert any("ref_count" in line for line in reports(vm)), "a watcher would not see it"
    vm_object_deallocate(vm, obj)


def test_somebody_else_s_lock_is_no_guard(broken):
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

    vm_object_reference(vm, obj)  # takes the lock, as somebody who has found it would

    with pytest.raises(UnguardedAccess):
        assert obj.ref_count == 2
    vm_object_deallocate(vm, obj)
    vm_object_deallocate(vm, obj)


def test_a_record_that_another_thread_made_is_not_ours(broken):
    vm = broken
    obj = new_object(vm, 1)

    thread, result = in_thread(lambda: isinstance(_try(lambda: obj.size), UnguardedAccess))
    thread.join()

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

    assert vm.g.v_free_count > 0  # F/?: a hint for everybody
    with vm.page_queue_lock:
        assert not page.flags_o & PG_BUSY  # O/OP: either lock to read
        with pytest.raises(UnguardedAccess):
            page.flags_o |= PG_WANTED  # but the object's own to write
    vmspace_exit(vm, space)


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


def test_a_view_of_an_earlier_life_is_stale_even_when_the_record_lives_again(broken):
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


# --- what is looked at when a lock is let go


def test_a_lock_is_not_let_go_over_a_broken_object(broken):
    vm = broken
    obj = published(vm)
    obj.lock.acquire()
    obj.flags |= OBJ_COLLAPSING

    with pytest.raises(InstantViolation, match="A10"):
        obj.lock.release()

    assert obj.lock.held(), "the dump must show who did it"
    obj.flags &= ~OBJ_COLLAPSING
    obj.lock.release()
    vm_object_deallocate(vm, obj)


@pytest.mark.parametrize(
    ("field", "value", "invariant"),
    [("ref_count", -1, "A1"), ("flags", OBJ_WAITING, "A5"), ("copy", 1 << 32 | 3, "A7")],
)
def test_each_object_invariant_has_its_name(broken, field, value, invariant):
    vm = broken
    obj = published(vm)
    obj.lock.acquire()
    before = getattr(obj, field)
    setattr(obj, field, value)

    with pytest.raises(InstantViolation, match=invariant):
        obj.lock.release()

    setattr(obj, field, before)
    obj.lock.release()
    vm_object_deallocate(vm, obj)


def test_the_cached_list_is_looked_at_when_the_cache_lock_is_let_go(broken):
    vm = broken
    vm.cache_lock.acquire()
    vm.g.vm_object_cached += 1

    with pytest.raises(InstantViolation, match="A8: 0 objects are cached, vm_object_cached is 1"):
        vm.cache_lock.release()

    vm.g.vm_object_cached -= 1
    vm.cache_lock.release()


def test_the_walks_find_what_a_release_does_not(vm_of):
    vm = vm_of()  # plain: the walks are called as they are
    records = Records(vm)
    obj = new_object(vm, 2)
    page = new_page(vm, obj, 0, 7)
    assert list(resident_facts(records, obj)) == []
    count = obj.resident_page_count
    obj.resident_page_count = 5
    page.flags_o |= PG_BUSY

    assert [fact[:2] for fact in resident_facts(records, obj)] == ["A2", "A4"]

    obj.resident_page_count, page.flags_o = count, page.flags_o & ~PG_BUSY
    page.flags_p &= ~PG_ACTIVE
    g = vm.g
    assert [fact[:2] for fact in queue_facts(records, g.active_first, g.v_active_count, PG_ACTIVE)] == ["A3"]
    page.flags_p |= PG_ACTIVE
    pager = swap_pager_alloc(vm, 2 * vm.page_size)
    assert pager is not None
    assert list(pager_facts(records, pager)) == []
    pager.sw_cnt = 3
    assert [fact[:3] for fact in pager_facts(records, pager)] == ["A11"]
    pager.sw_cnt = 0
    vm.pagers.free(pager)
    vm_object_deallocate(vm, obj)
