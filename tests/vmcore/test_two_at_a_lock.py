"""What is read under a lock is read after it was got: two that wait for the same lock do not see the same.

The test holds the lock until both wait for it.  A thread that had read before would now rely on what
the other has changed.
"""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from harness.shm.roster import Roster
from tests.vmcore.builders import locked, new_object, new_page
from tests.vmcore.builders_files import held, vnode
from tests.vmcore.builders_objects import finish_writes, live_objects
from tests.waiting import join, wait_until
from vmcore.audit.audit import all_gone
from vmcore.constants import PG_CLEAN, PG_INACTIVE, PV_LOCKS, PV_MODIFIED
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object import vm_object_allocate, vm_object_reference
from vmcore.object.object_cache import cache_clear
from vmcore.object.object_pages import vm_object_page_clean
from vmcore.page.page import frame_alloc, frame_free, vm_page_lookup
from vmcore.page.page_queues import vm_page_activate, vm_page_deactivate
from vmcore.pageout.pageout import vm_pageout_scan
from vmcore.pager.pager import vm_pager_has_page
from vmcore.pager.swap_map import swap_map_alloc, swap_map_free
from vmcore.pager.swap_records import free_record, take_record
from vmcore.pmap.pmap import pmap_is_modified
from vmcore.vm import Vm


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(4096,))


def together(vm: Vm, lock: Any, *bodies: Callable[[], Any], first: Callable[[], Any] = int) -> list[Any]:
    """What the bodies return; all wait for the lock before any goes on, and ``first`` is done under it."""
    results: list[Any] = [None] * len(bodies)

    def run(number: int) -> None:
        results[number] = bodies[number]()

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(bodies))]
    with locked(lock):
        for thread in threads:
            thread.start()
        wait_until(lambda: Roster(vm.arena).waiting_for(lock.offset) == len(bodies), "all at the lock")
        first()
    for thread in threads:
        join(thread)
    return results


def listed(vm: Vm) -> list[int]:
    """Slots of the list of all objects, forwards; it must be the same backwards."""
    views, slots = vm.objects.views, []
    slot, before = vm.g.object_list_first, 0
    while slot:
        assert (views[slot].object_list_prev, slot in slots) == (before, False)
        slots.append(slot)
        slot, before = views[slot].object_list_next, slot
    return slots


def test_two_creators_and_two_terminators_leave_the_list_whole(vm):
    one, two = together(vm, vm.object_list_lock, *[lambda: vm_object_allocate(vm, 4096)] * 2)

    assert {one.slot, two.slot} <= set(listed(vm))
    assert vm.g.vm_object_count == len(listed(vm))

    others = listed(vm)[2:]
    together(vm, vm.object_list_lock, *(lambda obj=obj: vm_object_deallocate(vm, obj) for obj in (one, two)))

    assert listed(vm) == others
    assert live_objects(vm) == set()


def test_two_that_count_references_count_two(vm):
    obj = new_object(vm, 1)

    together(vm, obj.lock, *[lambda: vm_object_reference(vm, obj)] * 2)

    assert obj.ref_count == 3
    together(vm, obj.lock, *[lambda: vm_object_deallocate(vm, obj)])
    assert obj.ref_count == 2
    together(vm, vm.cache_lock, *[lambda: vm_object_deallocate(vm, obj)] * 2)
    assert all_gone(vm) == []


def test_two_that_take_get_two(vm):
    frames = together(vm, vm.free_lock, *[lambda: frame_alloc(vm, 0)] * 2)
    records = together(vm, vm.io_list_lock, *[lambda: take_record(vm)] * 2)
    places = together(
        vm, vm.swap_map_lock, *(lambda owner=owner: swap_map_alloc(vm, 2, owner) for owner in (1, 2))
    )

    for found in (frames, records):
        assert len({record.slot for record in found}) == 2
    assert abs(places[0] - places[1]) >= 2
    for frame in frames:
        frame_free(vm, frame)
    for record in records:
        free_record(vm, record)
    for owner, place in enumerate(places, 1):
        swap_map_free(vm, place, 2, owner)


def test_two_that_map_a_file_get_one_object(vm):
    one, two = together(vm, vnode(vm).lock, *[lambda: held(vm)] * 2)

    assert one is two
    assert one.ref_count == 2
    for obj in (one, two):
        vm_object_deallocate(vm, obj)
    cache_clear(vm)


def test_a_modify_bit_that_is_saved_while_one_waits_is_seen(vm):
    obj = new_object(vm, 1)
    page = new_page(vm, obj, 0)

    def save() -> None:
        page.pv_bits |= PV_MODIFIED

    lock = vm.pv_locks[page.slot % PV_LOCKS]
    assert together(vm, lock, lambda: pmap_is_modified(vm, page), first=save) == [True]

    vm_object_deallocate(vm, obj)


def test_a_block_that_is_made_while_one_waits_is_seen(vm):
    obj = new_object(vm, 2)
    new_page(vm, obj, 0)
    with locked(obj):
        assert vm_object_page_clean(vm, obj, 0, 0, True, False)
    pager = vm.pagers(obj.pager)
    block = vm.swap_blocks.views[pager.sw_first]
    first, pager.sw_first = pager.sw_first, 0

    def make() -> None:
        pager.sw_first = first

    assert block.swb_mask
    assert together(vm, pager.lock, lambda: vm_pager_has_page(vm, pager, 0), first=make) == [True]
    vm_object_deallocate(vm, obj)


def test_a_page_that_is_used_again_while_the_scan_waits_is_passed_over(vm):
    obj = new_object(vm, 1)
    page = new_page(vm, obj, 0)
    page.flags_o |= PG_CLEAN
    with locked(vm.page_queue_lock):
        vm_page_deactivate(vm, page)
    vm.g.v_free_target, vm.g.v_inactive_target = vm.config.pages, 0
    assert page.flags_p & PG_INACTIVE

    def scan() -> tuple[bool, bool]:
        vm.me.is_daemon = True
        return vm_pageout_scan(vm)

    found = together(vm, vm.page_queue_lock, scan, first=lambda: vm_page_activate(vm, page))

    assert found == [(False, False)]
    with locked(obj):
        assert vm_page_lookup(vm, obj, 0) is page
    finish_writes(vm)
    vm_object_deallocate(vm, obj)
