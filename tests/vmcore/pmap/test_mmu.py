"""The access: rights, bits and data in one critical section."""

import threading
import time

import pytest

from harness.shm.roster import Roster
from tests.vmcore.builders import new_object, new_page, new_pmap, stamp
from vmcore.constants import (
    PV_MODIFIED,
    PV_REFERENCED,
    VM_PROT_DEFAULT,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_WRITE,
)
from vmcore.pmap.mmu import access
from vmcore.pmap.pmap import pmap_enter, pmap_is_modified, pmap_page_protect

VA = 0x40000


@pytest.fixture
def page(vm):
    return new_page(vm, new_object(vm, 1), 0, number=9)


def bits(vm, pmap):
    return vm.mappings.views[pmap.first].bits


def test_an_address_without_a_mapping_faults_and_the_action_does_not_run(vm):
    ran: list[memoryview] = []

    assert access(vm, new_pmap(vm), VA, False, ran.append) is None

    assert ran == []


def test_a_read_sees_the_frame_and_sets_referenced_only(vm, page):
    pmap = new_pmap(vm)
    pmap_enter(vm, pmap, VA, page, VM_PROT_READ, False)

    assert access(vm, pmap, VA + 123, False, bytes) == stamp(vm, 9)

    assert bits(vm, pmap) == PV_REFERENCED


def test_a_write_needs_the_right_and_sets_modified(vm, page):
    pmap = new_pmap(vm)
    pmap_enter(vm, pmap, VA, page, VM_PROT_READ, False)

    def poke(frame):
        frame[0:8] = b"changed!"
        return True

    assert access(vm, pmap, VA, True, poke) is None
    assert bits(vm, pmap) == 0
    assert bytes(vm.frame(page.slot)) == stamp(vm, 9)
    pmap_enter(vm, pmap, VA, page, VM_PROT_DEFAULT, False)
    assert access(vm, pmap, VA, True, poke) is True
    assert bits(vm, pmap) == PV_REFERENCED | PV_MODIFIED
    assert bytes(vm.frame(page.slot)[:8]) == b"changed!"


def test_a_write_only_mapping_cannot_be_read(vm, page):
    pmap = new_pmap(vm)
    pmap_enter(vm, pmap, VA, page, VM_PROT_WRITE, False)

    assert access(vm, pmap, VA, False, bytes) is None


def test_an_action_that_raises_leaves_the_pmap_unlocked(vm, page):
    pmap = new_pmap(vm)
    pmap_enter(vm, pmap, VA, page, VM_PROT_READ, False)

    with pytest.raises(ZeroDivisionError):
        access(vm, pmap, VA, False, lambda _frame: 1 // 0)

    assert not pmap.lock.locked()


def test_no_thread_can_unmap_a_page_in_the_middle_of_an_access(vm, page):
    """The modify bit is set before the data moves, and both before any thread may look."""
    pmap, inside, seen = new_pmap(vm), threading.Event(), []
    pmap_enter(vm, pmap, VA, page, VM_PROT_DEFAULT, False)

    def unmap():
        inside.wait(30)
        pmap_page_protect(vm, page, VM_PROT_NONE)
        seen.append((bytes(vm.frame(page.slot)), pmap_is_modified(vm, page)))

    thread = threading.Thread(target=unmap, daemon=True)
    thread.start()

    def slow_store(frame):
        inside.set()
        deadline = time.monotonic() + 30
        while not waiters(vm, pmap) and time.monotonic() < deadline:
            thread.join(0.001)
        frame[:] = stamp(vm, 4)
        return True

    assert access(vm, pmap, VA, True, slow_store)
    thread.join(30)

    assert seen == [(stamp(vm, 4), True)]
    assert access(vm, pmap, VA, True, slow_store) is None


def waiters(vm, pmap):
    """How many threads wait for the pmap's lock."""
    return Roster(vm.arena).waiting_for(pmap.lock.offset)
