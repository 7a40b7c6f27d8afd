"""A full table of mappings: whose is taken, what is spared, and when there is nothing left to take."""

from contextlib import contextmanager

import pytest

import vmcore.pmap.pmap_range
import vmcore.pmap.pmap_steal
from harness.errors import TableFull
from tests.vmcore.builders import new_object, new_page, new_pmap
from vmcore.constants import VM_PROT_NONE, VM_PROT_READ
from vmcore.pmap.pmap import pmap_change_wiring, pmap_enter, pmap_extract, pmap_page_protect
from vmcore.pmap.pmap_lists import find, remove_mapping
from vmcore.pmap.pmap_range import pmap_protect, pmap_remove
from vmcore.pmap.pmap_steal import STOLEN, steal_from_frame, steal_mapping

RECORDS = 4
SIZE = 4096


@pytest.fixture
def vm(vm_of):
    """Checked: every look at another pmap's mapping must have its locks."""
    return vm_of(mappings=RECORDS, checked=True)


@pytest.fixture
def pages(vm):
    obj = new_object(vm, 8)
    return [new_page(vm, obj, i) for i in range(8)]


@contextmanager
def instead(monkeypatch, module, name, between):
    """``between`` runs first, whenever the module calls the function: another thread is that quick."""
    right = getattr(module, name)

    def late(*arguments, **words):
        between()
        return right(*arguments, **words)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, late)
        yield


def is_mapped(vm, pmap, va):
    return pmap_extract(vm, pmap, va) is not None


def fill(vm, pmap, pages, wired=True):
    """As many mappings as there are records."""
    for i in range(RECORDS):
        pmap_enter(vm, pmap, i * SIZE, pages[i], VM_PROT_READ, wired)


def test_a_pmap_without_unwired_mappings_takes_one_of_another_pmap(vm, pages):
    other, pmap = new_pmap(vm), new_pmap(vm)
    fill(vm, other, pages)
    pmap_change_wiring(vm, other, 2 * SIZE, False)

    pmap_enter(vm, pmap, 0, pages[5], VM_PROT_READ, False)

    assert pmap_extract(vm, pmap, 0) is pages[5]
    assert [is_mapped(vm, other, i * SIZE) for i in range(RECORDS)] == [True, True, False, True]


def test_an_unwired_mapping_is_found_behind_wired_ones_of_its_frame(vm, pages):
    other, pmap = new_pmap(vm), new_pmap(vm)
    pmap_enter(vm, other, 0, pages[0], VM_PROT_READ, False)
    for i in range(1, RECORDS):  # in front of it on the frame's list
        pmap_enter(vm, other, i * SIZE, pages[0], VM_PROT_READ, True)

    assert steal_from_frame(vm, pages[1]) == 0
    assert steal_from_frame(vm, pages[0]) == STOLEN
    assert steal_from_frame(vm, pages[0]) == RECORDS - 1

    pmap_enter(vm, pmap, 0, pages[0], VM_PROT_READ, False)
    assert not is_mapped(vm, other, 0)


def test_what_is_wired_between_the_look_and_the_taking_is_spared(vm, pages, monkeypatch):
    other, pmap = new_pmap(vm), new_pmap(vm)
    fill(vm, other, pages)
    pmap_remove(vm, other, 0, 2 * SIZE)
    pmap_enter(vm, pmap, 0, pages[0], VM_PROT_READ, False)
    pmap_enter(vm, other, 0, pages[1], VM_PROT_READ, True)

    with instead(
        monkeypatch,
        vmcore.pmap.pmap_steal,
        "remove_mapping",
        lambda: pmap_change_wiring(vm, pmap, 0, True),
    ):
        steal_mapping(vm, pmap)

    assert is_mapped(vm, pmap, 0)
    with pytest.raises(TableFull):
        steal_mapping(vm, pmap)


def test_a_range_without_rights_spares_what_is_wired_meanwhile(vm, pages, monkeypatch):
    pmap = new_pmap(vm)
    pmap_enter(vm, pmap, 0, pages[0], VM_PROT_READ, False)
    pmap_enter(vm, pmap, SIZE, pages[1], VM_PROT_READ, False)

    with instead(
        monkeypatch,
        vmcore.pmap.pmap_range,
        "remove_mapping",
        lambda: pmap_change_wiring(vm, pmap, SIZE, True),
    ):
        pmap_protect(vm, pmap, 0, 2 * SIZE, VM_PROT_NONE)

    assert not is_mapped(vm, pmap, 0)
    assert is_mapped(vm, pmap, SIZE)


def test_records_that_become_free_during_the_search_are_no_full_table(vm, pages, monkeypatch):
    other, pmap = new_pmap(vm), new_pmap(vm)
    fill(vm, other, pages)

    # The last frame of the four is unmapped by its pager just before the search comes there.
    frames = iter(vm.pages.views[1:])
    with instead(
        monkeypatch,
        vmcore.pmap.pmap_steal,
        "steal_from_frame",
        lambda: pmap_page_protect(vm, pages[3], VM_PROT_NONE) if next(frames) is pages[3] else None,
    ):
        steal_mapping(vm, pmap)

    assert vm.mappings.in_use() == RECORDS - 1
    pmap_enter(vm, pmap, 0, pages[5], VM_PROT_READ, False)
    assert is_mapped(vm, pmap, 0)


def test_only_when_every_record_is_wired_is_the_table_too_small(vm, pages):
    other, pmap = new_pmap(vm), new_pmap(vm)
    fill(vm, other, pages)

    with pytest.raises(TableFull) as full:
        pmap_enter(vm, pmap, 0, pages[0], VM_PROT_READ, False)

    assert full.value.hint == f"hangdog run --mappings {2 * RECORDS}"
    assert vm.native.held() == []
    assert [is_mapped(vm, other, i * SIZE) for i in range(RECORDS)] == [True] * RECORDS


def test_removing_asks_for_the_frame_and_spares_only_if_told(vm, pages):
    pmap = new_pmap(vm)
    pmap_enter(vm, pmap, 0, pages[0], VM_PROT_READ, True)

    assert not remove_mapping(vm, pmap, 0, pages[1].slot)
    assert not remove_mapping(vm, pmap, 0, pages[0].slot, spare_wired=True)
    with pmap.lock:
        assert find(vm, pmap, 0) is not None
    assert remove_mapping(vm, pmap, 0, pages[0].slot)
    assert not is_mapped(vm, pmap, 0)
