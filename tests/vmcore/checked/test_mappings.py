"""Instant invariants of hardware mappings (A13, A14)."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.shm.checked import unguarded
from tests.vmcore.builders import locked, new_object, new_page, new_pmap, reports
from tests.vmcore.builders_checked import broken, checked_vm, said_at_release
from tests.vmcore.builders_objects import (
    entry_at,
    page_at,
    space_of,
    top,
    va,
    write,
)
from vmcore.constants import (
    PG_FAKE,
    PG_FREE,
    VM_PROT_READ,
    VM_PROT_WRITE,
)
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.pmap.pmap import pmap_enter, pmap_page_protect
from vmcore.space.vmspace import space_map, vmspace_exit
from vmcore.vm import Vm

RW = VM_PROT_READ | VM_PROT_WRITE
PMAP_EVERY = 64


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


@pytest.fixture
def mapping(vm: Vm) -> Iterator[tuple[Any, Any, Any]]:
    """(space, page, the mapping of its address)"""
    space = space_of(vm, 2)
    write(vm, space, 0, 5)
    page = page_at(vm, top(vm, space), 0)
    with locked(vm.pv_lock(page.slot)):
        first = vm.mappings.views[page.pv_first]
    yield space, page, first
    vmspace_exit(vm, space)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"flags_p": PG_FREE}, "A14: page {} is free and mapped"),
        ({"flags_o": PG_FAKE}, "A14: page {} is fake"),
    ],
)
def test_a_mapped_page_is_neither_free_nor_fake(vm, mapping, flags, said):
    _, page, _ = mapping
    pv = vm.pv_lock(page.slot)
    pv.acquire()
    page.pv_first = page.pv_first  # touched
    with broken(vm.pages.table.views[page.slot], **flags):
        found = said_at_release(vm, pv)
    pv.release()

    assert found.startswith(said.format(page.slot))


def test_the_list_of_a_frame_holds_its_mappings(vm, mapping):
    _, page, first = mapping
    pv = vm.pv_lock(page.slot)
    pv.acquire()
    page.pv_first = page.pv_first
    with broken(first, frame=99):
        said = said_at_release(vm, pv)
    pv.release()

    assert said == f"A14: mapping {first.slot} in the list of page {page.slot} maps frame 99"


def test_a_mapping_is_on_the_list_of_its_frame(vm, mapping):
    space, page, _ = mapping
    with unguarded():
        pmap = vm.pmaps(space.pmap)
    with locked(vm.pv_lock(page.slot)):
        pmap.lock.acquire()
        with broken(page, pv_first=0):
            said = said_at_release(vm, pmap.lock, PMAP_EVERY)
        pmap.lock.release()

    assert said == f"A14: pmap {pmap.slot} maps {va(vm, 0):#x} to page {page.slot}, which does not list it"


def test_a_pmap_counts_and_finds_its_mappings(vm, mapping):
    space, _, first = mapping
    with unguarded():
        pmap = vm.pmaps(space.pmap)
    pmap.lock.acquire()
    with broken(pmap, count=3):
        counted = said_at_release(vm, pmap.lock, PMAP_EVERY)
    with broken(first, va=va(vm, 1)):
        lost = said_at_release(vm, pmap.lock, PMAP_EVERY)
    pmap.lock.release()

    assert counted == f"A14: pmap {pmap.slot} lists 1 mappings and counts 3"
    assert lost == f"A14: pmap {pmap.slot} does not find its mapping {first.slot} of {va(vm, 1):#x}"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"protection": VM_PROT_READ}, "its entry may not"),
        ({"needs_copy": 1}, "its entry needs a copy first"),
        ({"offset": 4096}, "at offset 0x0, its entry says 0x1000"),
        ({"object": 1 << 32 | 1}, "its entry's object is 1"),
    ],
)
def test_a_right_to_write_that_the_entry_does_not_give(vm, mapping, fields, said):
    space, page, _ = mapping
    amap, entry, obj = space_map(vm, space), entry_at(vm, space), top(vm, space)
    with unguarded():
        pmap = vm.pmaps(space.pmap)
    with amap.lock.reading():
        obj.lock.acquire()
        pmap_page_protect(vm, page, VM_PROT_READ)
        with broken(entry, **fields):
            pmap_enter(vm, pmap, va(vm, 0), page, RW, False)
            found = said_at_release(vm, obj.lock)
        obj.lock.release()

    assert found.startswith(f"A13: pmap {pmap.slot} may write {va(vm, 0):#x} (page {page.slot}")
    assert found.endswith(said)


def test_a_right_that_cannot_be_judged_is_not_reported(vm, obj):
    """No map is locked: a pmap of a test, or of a child in which no process runs yet."""
    pmap, page = new_pmap(vm), page_at(vm, obj, 0)
    with locked(obj):
        pmap_enter(vm, pmap, 0, page, RW, False)
    with locked(obj):
        pmap_page_protect(vm, page, 0)

    assert reports(vm) == []
    vm.pmaps.free(pmap)


def test_a_mapping_that_is_gone_before_the_look_is_not_reported(vm, obj):
    """A thread that needs a record may take any unwired mapping; what the free leaves in it is no page."""
    pmap, page = new_pmap(vm), page_at(vm, obj, 0)

    with locked(obj):  # the look is at its end
        pmap_enter(vm, pmap, 0, page, RW, False)
        pmap_page_protect(vm, page, 0)

    assert reports(vm) == []
    vm.pmaps.free(pmap)
