"""Faults against busy pages, short memory, failing pagers, forks and other threads."""

import threading

import pytest

from tests.vmcore.builders import locked, stamp
from tests.vmcore.builders_objects import (
    chain,
    contents,
    fill,
    fork,
    page_at,
    read,
    resident,
    space_of,
    swap_out,
    top,
    va,
    write,
)
from tests.waiting import join
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import (
    KERN_INVALID_ADDRESS,
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    PG_ACTIVE,
    PG_BUSY,
    PG_COPYONWRITE,
    PG_INACTIVE,
    VM_PROT_READ,
    VM_PROT_WRITE,
)
from vmcore.fault.fault import vm_fault
from vmcore.object.object_pages import vm_object_deactivate_pages, vm_object_pmap_remove
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page_queues import page_dequeue
from vmcore.page.page_wait import RELEASE_PAGE, page_busy
from vmcore.space.access import vm_read
from vmcore.space.map_user import vm_allocate
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_share
from vmcore.vm_error import VmFault


def in_thread(function, *args):
    """Start a thread; its result, or its error, is in the list when it has ended."""
    result: list[object] = []

    def body():
        try:
            result.append(function(*args))
        except BaseException as error:
            result.append(error)
            raise

    thread = threading.Thread(target=body)
    thread.start()
    return thread, result


def test_a_zero_fill_fault_leaves_one_active_page_and_no_hold(vm):
    space = space_of(vm, 2)

    assert vm_fault(vm, space_map(vm, space), va(vm, 1) + 5, VM_PROT_WRITE) == KERN_SUCCESS

    obj = top(vm, space)
    assert (obj.ref_count, obj.paging_in_progress, resident(vm, obj)) == (1, 0, [1])
    assert vm.me.stats.v_zfod == vm.me.stats.v_faults == 1
    assert not vm.arena.native.depth()
    assert audit(vm) == []
    vmspace_exit(vm, space)


@pytest.mark.parametrize("kind", [VM_PROT_READ, VM_PROT_WRITE])
def test_a_fault_on_nothing_is_refused(vm, kind):
    space = space_of(vm, 1)

    assert vm_fault(vm, space_map(vm, space), va(vm, 1), kind) == KERN_INVALID_ADDRESS

    assert not vm.arena.native.depth()
    vmspace_exit(vm, space)


def test_a_fault_waits_for_a_busy_page_and_holds_nothing_meanwhile(vm):
    space = space_of(vm, 1)
    write(vm, space, 0, 3)
    obj = top(vm, space)
    page = page_at(vm, obj, 0)
    child = fork(vm, space)
    with locked(obj):
        vm.page_queue_lock.acquire()
        page_dequeue(vm, page)
        page_busy(vm, page)
        vm.page_queue_lock.release()
        vm_object_paging_begin(vm, obj)

    thread, result = in_thread(read, vm, child, 0)
    wait_until_wanted(vm, page)

    assert obj.paging_in_progress == 1, "the waiter kept a paging count"
    assert not obj.lock.locked()
    with locked(obj):
        RELEASE_PAGE(vm, page)
        vm_object_paging_end(vm, obj)
    join(thread)
    assert result == [3]
    assert audit(vm) == []
    for one in (space, child):
        vmspace_exit(vm, one)


def wait_until_wanted(vm, page):
    """Until a sleeper has marked the page (it marks it before it sleeps, and cannot miss the wakeup)."""
    for _ in range(1_000_000):
        if page.flags_o & 0x20:
            return
        threading.Event().wait(0)
    raise AssertionError("no thread waits for the page")


def test_a_failing_pager_is_an_error_and_leaves_nothing_busy(vm, monkeypatch):
    space = space_of(vm, 2)
    fill(vm, space, {0: 1, 1: 2})
    swap_out(vm, top(vm, space))

    monkeypatch.setattr(vm.io, "hook", lambda kind, *_: kind != "swap_read")
    with pytest.raises(VmFault) as caught:
        read(vm, space, 0)
    monkeypatch.undo()

    assert caught.value.code == KERN_PROTECTION_FAILURE
    assert audit(vm) == []
    assert contents(vm, space, 2) == [1, 2]
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_range_replaced_during_a_page_in_shows_the_new_memory(vm_of):
    vm = vm_of(contracts=False)  # the hook takes locks in the middle of a read
    space = space_of(vm, 1)
    write(vm, space, 0, 1)
    swap_out(vm, top(vm, space))

    def replace(*_):
        vm.io.hook = None
        vm_allocate(vm, space_map(vm, space), vm.page_size, va(vm, 0))

    vm.io.hook = replace

    assert read(vm, space, 0) == 0
    assert vm.me.stats.fault_restarts == 1
    assert audit(vm) == []
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_fault_on_an_inactive_page_counts_it_as_used_again(vm):
    space = space_of(vm, 2)
    fill(vm, space, {0: 1, 1: 2})
    obj = top(vm, space)
    with locked(obj):
        vm_object_deactivate_pages(vm, obj)
    vm_object_pmap_remove(vm, obj, 0, 2 * vm.page_size)

    assert read(vm, space, 0) == 1

    assert vm.me.stats.v_reactivated == 1
    assert [page_at(vm, obj, page).flags_p & (PG_ACTIVE | PG_INACTIVE) for page in range(2)] == [
        PG_ACTIVE,
        PG_INACTIVE,
    ]
    vmspace_exit(vm, space)


def test_a_page_read_from_below_stays_read_only_until_it_is_copied(vm):
    parent = space_of(vm, 1)
    write(vm, parent, 0, 1)
    child = fork(vm, parent)
    write(vm, child, 0, 2)
    vmspace_exit(vm, child)
    child = fork(vm, parent)

    assert read(vm, child, 0) == 1
    assert page_at(vm, top(vm, parent), 0).flags_o & PG_COPYONWRITE
    write(vm, child, 0, 5)

    assert read(vm, parent, 0) == 1
    for one in (parent, child):
        vmspace_exit(vm, one)


def test_a_fault_through_a_long_chain_finds_the_right_generation(vm):
    spaces = [space_of(vm, 8)]
    for generation in range(8):
        write(vm, spaces[-1], generation, 100 + generation)
        spaces.append(fork(vm, spaces[-1]))

    assert contents(vm, spaces[-1], 8) == [100 + n for n in range(8)]
    assert contents(vm, spaces[3], 8) == [100, 101, 102, 103, 0, 0, 0, 0]
    assert audit(vm) == []
    for space in spaces:
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_chain_in_swap_is_paged_in_from_every_level(vm):
    spaces = [space_of(vm, 4)]
    for generation in range(4):
        write(vm, spaces[-1], generation, 100 + generation)
        spaces.append(fork(vm, spaces[-1]))
    for space in spaces[:-1]:
        swap_out(vm, top(vm, space))

    assert contents(vm, spaces[-1], 4) == [100, 101, 102, 103]
    assert audit(vm) == []
    for space in spaces:
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_forks_of_a_space_that_another_thread_writes_are_snapshots(vm):
    """Pages are written in order, round after round: no snapshot may see a later page newer."""
    pages, rounds = 4, 60
    space = space_of(vm, pages)
    vmspace_share(vm, space)

    def writer():
        for round_number in range(1, rounds + 1):
            fill(vm, space, dict.fromkeys(range(pages), round_number))
        vmspace_exit(vm, space)

    thread, result = in_thread(writer)
    snapshots: list[list[int]] = []
    while thread.is_alive() or not snapshots:
        child = fork(vm, space)
        snapshots.append(contents(vm, child, pages))
        write(vm, child, 1, 10_000)
        vmspace_exit(vm, child)
    join(thread)

    assert result == [None]
    for values in snapshots:
        assert values == sorted(values, reverse=True)
        assert values[0] - values[-1] <= 1
    assert len(chain(vm, space)) == 1
    assert audit(vm) == []
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_two_threads_that_fault_the_same_page_share_it(vm):
    pages = 64
    space = space_of(vm, pages)
    vmspace_share(vm, space)

    def reader():
        for page in range(pages):
            assert vm_read(vm, space, va(vm, page)) in (stamp(vm, 0), stamp(vm, 7))
        vmspace_exit(vm, space)

    thread, result = in_thread(reader)
    fill(vm, space, dict.fromkeys(range(pages), 7))
    join(thread)

    assert result == [None]
    assert resident(vm, top(vm, space)) == list(range(pages))
    assert not any(page.flags_o & PG_BUSY for page in vm.pages.views[1:])
    assert contents(vm, space, pages) == [7] * pages
    assert audit(vm) == []
    vmspace_exit(vm, space)


def test_two_lookups_that_both_upgrade_start_over_and_do_not_deadlock(vm):
    for _ in range(30):
        space = space_of(vm, 2)
        fill(vm, space, {0: 1, 1: 1})
        child = fork(vm, space)
        vmspace_share(vm, child)

        def other(child=child):
            write(vm, child, 0, 2)
            vmspace_exit(vm, child)

        thread, result = in_thread(other)
        write(vm, child, 0, 3)
        join(thread)

        assert result == [None]
        assert len(chain(vm, child)) == 2
        assert read(vm, space, 0) == 1
        assert read(vm, child, 0) in (2, 3)
        for one in (child, space):
            vmspace_exit(vm, one)
        assert audit(vm) == []
