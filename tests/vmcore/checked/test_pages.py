"""Instant invariants of pages and queues (A2 to A4): named at the first release after a change."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.shm.checked import unguarded
from tests.vmcore.builders import claims, locked, new_object, new_page
from tests.vmcore.builders_checked import broken, checked_vm, said_at_release
from tests.vmcore.builders_objects import (
    page_at,
)
from vmcore.checked.records import WALK_EVERY
from vmcore.constants import (
    PG_ACTIVE,
    PG_FREE,
    PG_INACTIVE,
    PG_LAUNDRY,
    PG_WANTED,
)
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.page.page import leave_bucket
from vmcore.page.page_queues import page_dequeue, vm_page_activate
from vmcore.page.page_wait import page_busy, page_wakeup
from vmcore.vm import Vm


@pytest.fixture
def vm(vm_of: Callable[..., Vm]) -> Vm:
    return checked_vm(vm_of)


@pytest.fixture
def obj(vm: Vm) -> Iterator[Any]:
    """An object of four pages with one resident."""
    made = new_object(vm, 4)
    new_page(vm, made, 0, 7)
    yield made
    vm_object_deallocate(vm, made)


def test_a_page_is_left_on_no_queue(vm, obj):
    page = page_at(vm, obj, 0)
    with locked(obj, vm.page_queue_lock):
        page_dequeue(vm, page)
        said = said_at_release(vm, vm.page_queue_lock)
        vm_page_activate(vm, page)

    assert said == f"A3: page {page.slot} of object {obj.slot} is left on no queue"


def test_a_busy_page_is_left_on_its_queue(vm, obj):
    page = page_at(vm, obj, 0)
    with locked(obj, vm.page_queue_lock):
        page_busy(vm, page)
        said = said_at_release(vm, vm.page_queue_lock)
        page_wakeup(vm, page)

    assert said == f"A4: page {page.slot} is busy and on a queue, and no thread writes it"
    assert not claims(vm)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (PG_FREE, "A3: page {} of object {} is free"),
        (PG_INACTIVE, "A3: page {} is active and inactive"),
    ],
)
def test_a_page_of_an_object_is_neither_free_nor_in_two_places(vm, obj, flags, said):
    page = page_at(vm, obj, 0)
    vm.page_queue_lock.acquire()
    with broken(page, flags_p=page.flags_p | flags):
        found = said_at_release(vm, vm.page_queue_lock)
    vm.page_queue_lock.release()

    assert found == said.format(page.slot, obj.slot)


def test_a_wired_page_is_on_no_queue(vm, obj):
    page = page_at(vm, obj, 0)
    vm.page_queue_lock.acquire()
    with broken(page, wire_count=1):
        said = said_at_release(vm, vm.page_queue_lock)
    vm.page_queue_lock.release()

    assert said == f"A3: page {page.slot} is on a queue and wired or fictitious"


def test_a_page_that_a_thread_waits_for_is_busy(vm, obj):
    page = page_at(vm, obj, 0)
    with locked(obj):
        vm.page_queue_lock.acquire()
        with broken(page, flags_o=page.flags_o | PG_WANTED):
            said = said_at_release(vm, vm.page_queue_lock)
        vm.page_queue_lock.release()

    assert said == f"A4: page {page.slot} is fake or wanted, and not busy"


def test_a_page_of_an_object_is_in_its_hash_bucket(vm, obj):
    page = page_at(vm, obj, 0)
    with locked(obj, vm.page_queue_lock):
        bucket = next(at for at, slot in enumerate(vm.heads.plain) if slot == page.slot)
        leave_bucket(vm, page, obj.slot)
        page.wire_count = 0  # touched
        said = said_at_release(vm, vm.page_queue_lock)
        with unguarded():
            page.hashq_next, vm.heads.plain[bucket] = vm.heads.plain[bucket], page.slot

    assert said == f"A2: page {page.slot} is 0 times in hash bucket {bucket}, its own"


def test_a_page_in_no_object_is_on_no_queue(vm, obj):
    page = page_at(vm, obj, 0)
    vm.page_queue_lock.acquire()
    with broken(page, flags_o=0):
        said = said_at_release(vm, vm.page_queue_lock)
    vm.page_queue_lock.release()

    assert said == f"A3: page {page.slot} is in no object and on a queue"


def test_a_queue_is_as_long_as_its_count(vm, obj):
    vm.page_queue_lock.acquire()
    with broken(vm.g, v_active_count=7):
        said = said_at_release(vm, vm.page_queue_lock, WALK_EVERY)
    vm.page_queue_lock.release()

    assert said == "A3: the active queue has 1 pages, its count says 7"


def test_a_page_on_a_queue_says_so(vm, obj):
    page = page_at(vm, obj, 0)
    vm.page_queue_lock.acquire()
    plain = vm.pages.table.views[page.slot]  # as another process would: we have touched nothing
    plain.flags_p = PG_INACTIVE | PG_LAUNDRY
    said = said_at_release(vm, vm.page_queue_lock, WALK_EVERY)
    with unguarded():
        plain.flags_p = PG_ACTIVE
    vm.page_queue_lock.release()

    assert said.startswith(f"A3: page {page.slot} is on the active queue with flags")
