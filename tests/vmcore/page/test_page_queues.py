"""The active and inactive queues, LAUNDRY, and wiring."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ContractViolation, Panic
from tests.vmcore.builders import allow_reports, close_vm, leaks, locked, make_vm, new_object, new_page, queue
from vmcore.constants import PG_ACTIVE, PG_BUSY, PG_CLEAN, PG_INACTIVE, PG_LAUNDRY, PV_MODIFIED, PV_REFERENCED
from vmcore.page.page_queues import (
    page_dequeue,
    vm_page_activate,
    vm_page_deactivate,
    vm_page_unwire,
    vm_page_wire,
)
from vmcore.page.page_wait import page_busy, page_wakeup


@pytest.fixture
def page(vm):
    return new_page(vm, new_object(vm, 8), 0)


def test_a_released_page_is_active(vm, page):
    assert queue(vm, "active") == [page.slot]
    assert page.flags_p == PG_ACTIVE


def test_deactivate_clears_the_reference_and_says_if_there_is_laundry(vm, page):
    clean = new_page(vm, vm.objects(page.object), 1)
    clean.flags_o |= PG_CLEAN
    modified = new_page(vm, vm.objects(page.object), 2)
    modified.flags_o |= PG_CLEAN
    modified.pv_bits = PV_MODIFIED
    page.pv_bits = PV_REFERENCED

    with locked(vm.page_queue_lock):
        for one in (page, clean, modified):
            vm_page_deactivate(vm, one)

    assert page.pv_bits == 0
    assert page.flags_p == PG_INACTIVE | PG_LAUNDRY
    assert clean.flags_p == PG_INACTIVE
    assert modified.flags_p == PG_INACTIVE | PG_LAUNDRY
    assert queue(vm, "inactive") == [page.slot, clean.slot, modified.slot]
    assert modified.flags_o & PG_CLEAN, "CLEAN is not deactivate's to write"


def test_deactivate_takes_a_page_from_no_queue_but_not_a_wired_one(vm, page):
    with locked(vm.page_queue_lock):
        page_dequeue(vm, page)
        vm_page_deactivate(vm, page)
        assert page.flags_p & PG_INACTIVE
        vm_page_wire(vm, page)
        vm_page_deactivate(vm, page)

    assert page.flags_p == 0
    assert queue(vm, "inactive") == []
    with locked(vm.page_queue_lock):
        vm_page_unwire(vm, page)


def test_an_active_page_is_not_activated_twice(vm, page):
    with locked(vm.page_queue_lock), pytest.raises(Panic, match="already active"):
        vm_page_activate(vm, page)


def test_wiring_counts_and_the_last_unwire_queues_the_page(vm, page):
    with locked(vm.page_queue_lock):
        vm_page_wire(vm, page)
        vm_page_wire(vm, page)
        assert (page.wire_count, vm.g.v_wire_count, page.flags_p) == (2, 1, 0)
        vm_page_activate(vm, page)
        assert page.flags_p == 0, "a wired page ends on no queue"
        vm_page_unwire(vm, page)
        assert (page.wire_count, vm.g.v_wire_count, page.flags_p) == (1, 1, 0)
        vm_page_unwire(vm, page)

    assert (page.wire_count, vm.g.v_wire_count, page.flags_p) == (0, 0, PG_ACTIVE)
    with locked(vm.page_queue_lock), pytest.raises(Panic, match="not wired"):
        vm_page_unwire(vm, page)


def test_unwiring_a_busy_page_leaves_queueing_to_its_owner(vm, page):
    obj = vm.objects(page.object)
    with locked(obj, vm.page_queue_lock):
        vm_page_wire(vm, page)
        page_busy(vm, page)

        vm_page_unwire(vm, page)

        assert page.flags_p == 0
        assert page.flags_o & PG_BUSY
        page_wakeup(vm, page)
        vm_page_activate(vm, page)


def test_queue_functions_insist_on_the_queue_lock(vm_of):
    vm = vm_of()
    page = new_page(vm, new_object(vm, 1), 0)
    allow_reports(vm)

    with pytest.raises(ContractViolation):
        vm_page_deactivate(vm, page)

    assert queue(vm, "active") == [page.slot]


class Model:
    """What the queues should look like."""

    def __init__(self):
        self.active: list[int] = []
        self.inactive: list[int] = []
        self.wired: dict[int, int] = {}

    def leave(self, slot):
        for one in (self.active, self.inactive):
            if slot in one:
                one.remove(slot)


STEPS = st.lists(
    st.tuples(st.sampled_from(["activate", "deactivate", "wire", "unwire", "dequeue"]), st.integers(0, 4))
)


@settings(max_examples=40)
@given(steps=STEPS)
def test_any_sequence_keeps_the_queues_as_the_model_says(steps):
    vm = make_vm(pages=32, contracts=False)
    obj = new_object(vm, 8)
    pages = [new_page(vm, obj, i) for i in range(5)]
    model = Model()
    model.active = [page.slot for page in pages]

    with locked(vm.page_queue_lock):
        for step, i in steps:
            apply(vm, model, step, pages[i])

    assert queue(vm, "active") == model.active
    assert queue(vm, "inactive") == model.inactive
    assert {page.slot: page.wire_count for page in pages if page.wire_count} == model.wired
    assert leaks(vm) == []
    close_vm(vm)


def apply(vm, model, step, page):
    slot, wired = page.slot, page.slot in model.wired
    if step == "activate" and slot not in model.active:
        vm_page_activate(vm, page)
        model.leave(slot)
        model.active += [] if wired else [slot]
    elif step == "deactivate":
        vm_page_deactivate(vm, page)
        if not wired and slot not in model.inactive:
            model.leave(slot)
            model.inactive.append(slot)
    elif step == "wire":
        vm_page_wire(vm, page)
        model.leave(slot)
        model.wired[slot] = model.wired.get(slot, 0) + 1
    elif step == "unwire" and wired:
        vm_page_unwire(vm, page)
        model.wired[slot] -= 1
        if not model.wired[slot]:
            del model.wired[slot]
            model.active.append(slot)
    elif step == "dequeue":
        page_dequeue(vm, page)
        model.leave(slot)
