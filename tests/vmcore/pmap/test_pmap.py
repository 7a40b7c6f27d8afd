"""Mappings: both of their lists, replaced frames, rights that only fall, bits that survive."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import TableFull
from tests.vmcore.builders import close_vm, leaks, locked, make_vm, new_object, new_page, new_pmap
from vmcore.constants import (
    PV_MODIFIED,
    VM_PROT_DEFAULT,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_WRITE,
)
from vmcore.pmap.mmu import access
from vmcore.pmap.pmap import (
    pmap_change_wiring,
    pmap_clear_modify,
    pmap_clear_reference,
    pmap_enter,
    pmap_extract,
    pmap_is_modified,
    pmap_is_referenced,
    pmap_page_protect,
)
from vmcore.pmap.pmap_lists import find
from vmcore.pmap.pmap_range import pmap_destroy, pmap_protect, pmap_remove


@pytest.fixture
def pages(vm):
    obj = new_object(vm, 16)
    return [new_page(vm, obj, i, number=i) for i in range(8)]


def mapped(vm, pmap):
    """The pmap's own list: va -> (frame, prot)."""
    views, found, slot = vm.mappings.views, {}, pmap.first
    while slot:
        found[views[slot].va] = (views[slot].frame, views[slot].prot)
        slot = views[slot].pmap_next
    assert len(found) == pmap.count
    return found


def mappers(vm, page):
    """(pmap, va) of every mapping on the frame's list."""
    views, found, slot = vm.mappings.views, set(), page.pv_first
    while slot:
        assert views[slot].frame == page.slot
        found.add((views[slot].pmap, views[slot].va))
        slot = views[slot].pv_next
    return found


def write_through(vm, pmap, va):
    return access(vm, pmap, va, True, lambda _frame: True)


def test_a_mapping_is_on_both_lists(vm, pages):
    pmap = new_pmap(vm)

    pmap_enter(vm, pmap, 0x5000, pages[3], VM_PROT_READ, False)

    assert [pmap_extract(vm, pmap, va) for va in (0x5000, 0x6000)] == [pages[3], None]
    assert mapped(vm, pmap) == {0x5000: (pages[3].slot, VM_PROT_READ)}
    assert mappers(vm, pages[3]) == {(pmap.slot, 0x5000)}


def test_entering_the_same_frame_again_changes_rights_and_keeps_the_bits(vm, pages):
    pmap = new_pmap(vm)
    pmap_enter(vm, pmap, 0, pages[0], VM_PROT_DEFAULT, False)
    assert write_through(vm, pmap, 0)

    pmap_enter(vm, pmap, 0, pages[0], VM_PROT_READ, True)

    assert mapped(vm, pmap) == {0: (pages[0].slot, VM_PROT_READ)}
    assert vm.mappings.in_use() == 1
    assert pmap_is_modified(vm, pages[0])
    with locked(pmap):
        mapping = find(vm, pmap, 0)
        assert mapping is not None
        assert mapping.wired


def test_entering_another_frame_replaces_the_old_one_and_saves_its_bits(vm, pages):
    pmap = new_pmap(vm)
    pmap_enter(vm, pmap, 0, pages[0], VM_PROT_DEFAULT, False)
    assert write_through(vm, pmap, 0)

    pmap_enter(vm, pmap, 0, pages[1], VM_PROT_DEFAULT, False)

    assert mapped(vm, pmap) == {0: (pages[1].slot, VM_PROT_DEFAULT)}
    assert mappers(vm, pages[0]) == set()
    assert pmap_is_modified(vm, pages[0])
    assert not pmap_is_modified(vm, pages[1])


def test_page_protect_reaches_every_pmap(vm, pages):
    pmaps = [new_pmap(vm) for _ in range(3)]
    for i, pmap in enumerate(pmaps):
        pmap_enter(vm, pmap, i * vm.page_size, pages[0], VM_PROT_DEFAULT, False)
        pmap_enter(vm, pmap, 0x100000, pages[1], VM_PROT_DEFAULT, False)

    pmap_page_protect(vm, pages[0], VM_PROT_READ)
    pmap_page_protect(vm, pages[0], VM_PROT_DEFAULT)  # never raises any rights
    assert all(mapped(vm, pmap)[i * vm.page_size][1] == VM_PROT_READ for i, pmap in enumerate(pmaps))
    pmap_page_protect(vm, pages[0], VM_PROT_NONE)

    assert mappers(vm, pages[0]) == set()
    assert all(mapped(vm, pmap) == {0x100000: (pages[1].slot, VM_PROT_DEFAULT)} for pmap in pmaps)


def test_wired_mappings_may_be_spared(vm, pages):
    pmap = new_pmap(vm)
    pmap_enter(vm, pmap, 0, pages[0], VM_PROT_DEFAULT, True)
    pmap_enter(vm, pmap, vm.page_size, pages[0], VM_PROT_DEFAULT, False)

    pmap_page_protect(vm, pages[0], VM_PROT_NONE, spare_wired=True)

    assert mappers(vm, pages[0]) == {(pmap.slot, 0)}
    pmap_change_wiring(vm, pmap, 0, False)
    pmap_page_protect(vm, pages[0], VM_PROT_NONE, spare_wired=True)
    assert mappers(vm, pages[0]) == set()


def test_protect_only_lowers_rights_and_only_in_the_range(vm, pages):
    pmap, size = new_pmap(vm), vm.page_size
    pmap_enter(vm, pmap, 0, pages[0], VM_PROT_READ, False)
    pmap_enter(vm, pmap, size, pages[1], VM_PROT_DEFAULT, False)
    pmap_enter(vm, pmap, 2 * size, pages[2], VM_PROT_DEFAULT, False)

    pmap_protect(vm, pmap, 0, 2 * size, VM_PROT_WRITE | VM_PROT_READ)
    pmap_protect(vm, pmap, 0, 2 * size, VM_PROT_READ)

    assert [mapped(vm, pmap)[i * size][1] for i in range(3)] == [VM_PROT_READ, VM_PROT_READ, VM_PROT_DEFAULT]
    pmap_protect(vm, pmap, size, 3 * size, VM_PROT_NONE)
    assert set(mapped(vm, pmap)) == {0}


def test_bits_survive_their_mapping_until_they_are_cleared(vm, pages):
    pmap = new_pmap(vm)
    pmap_enter(vm, pmap, 0, pages[0], VM_PROT_DEFAULT, False)
    assert write_through(vm, pmap, 0)

    pmap_remove(vm, pmap, 0, vm.page_size)

    assert pmap_is_modified(vm, pages[0])
    assert pmap_is_referenced(vm, pages[0])
    pmap_clear_reference(vm, pages[0])
    assert pages[0].pv_bits == PV_MODIFIED
    pmap_clear_modify(vm, pages[0])
    assert pages[0].pv_bits == 0


def test_clearing_bits_clears_those_of_live_mappings(vm, pages):
    pmap = new_pmap(vm)
    pmap_enter(vm, pmap, 0, pages[0], VM_PROT_DEFAULT, False)
    assert write_through(vm, pmap, 0)

    pmap_clear_modify(vm, pages[0])

    assert not pmap_is_modified(vm, pages[0])
    assert pmap_is_referenced(vm, pages[0])
    assert write_through(vm, pmap, 0)
    assert pmap_is_modified(vm, pages[0])


def test_a_destroyed_pmap_takes_all_its_mappings_along(vm, pages):
    pmap = new_pmap(vm)
    for i, page in enumerate(pages):
        pmap_enter(vm, pmap, i << 40, page, VM_PROT_READ, False)

    pmap_destroy(vm, pmap)

    assert vm.mappings.in_use() == 0
    assert vm.pmaps.in_use() == 0
    assert all(mappers(vm, page) == set() for page in pages)


def test_with_a_full_table_a_pmap_gives_up_an_unwired_mapping_of_its_own(vm_of):
    vm = vm_of(mappings=3)
    page, size = new_page(vm, new_object(vm, 1), 0), vm.page_size
    other, pmap = new_pmap(vm), new_pmap(vm)
    pmap_enter(vm, other, 0, page, VM_PROT_READ, False)
    pmap_enter(vm, pmap, size, page, VM_PROT_READ, False)
    pmap_enter(vm, pmap, 0, page, VM_PROT_READ, True)

    pmap_enter(vm, pmap, 2 * size, page, VM_PROT_READ, False)

    assert set(mapped(vm, pmap)) == {0, 2 * size}
    assert set(mapped(vm, other)) == {0}


def test_a_full_table_of_mappings_names_its_option(vm_of):
    vm = vm_of(mappings=2)
    page, pmap = new_page(vm, new_object(vm, 1), 0), new_pmap(vm)
    pmap_enter(vm, pmap, 0, page, VM_PROT_READ, True)
    pmap_enter(vm, pmap, vm.page_size, page, VM_PROT_READ, True)

    with pytest.raises(TableFull) as full:
        pmap_enter(vm, pmap, 2 * vm.page_size, page, VM_PROT_READ, False)

    assert full.value.hint == "hangdog run --mappings 4"
    assert vm.native.held() == []


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "remove", "protect", "page_read", "page_none"]),
        st.integers(0, 1),  # pmap
        st.integers(0, 5),  # page number of the address, spread over buckets
        st.integers(0, 3),  # page
    ),
    max_size=40,
)


@settings(max_examples=40)
@given(steps=OPERATIONS)
def test_any_sequence_keeps_both_lists_as_the_model_says(steps):
    vm = make_vm(pages=32, contracts=False)
    obj = new_object(vm, 8)
    pages = [new_page(vm, obj, i) for i in range(4)]
    pmaps = [new_pmap(vm) for _ in range(2)]
    model: dict[tuple[int, int], tuple[int, int]] = {}

    for step, which, at, number in steps:
        pmap, page, va = pmaps[which], pages[number], at * 64 * vm.page_size
        if step == "enter":
            pmap_enter(vm, pmap, va, page, VM_PROT_DEFAULT, False)
            model[pmap.slot, va] = (page.slot, VM_PROT_DEFAULT)
        elif step == "remove":
            pmap_remove(vm, pmap, va, va + vm.page_size)
            model.pop((pmap.slot, va), None)
        elif step == "protect":
            pmap_protect(vm, pmap, 0, va, VM_PROT_READ)
            for key, (frame, _) in list(model.items()):
                if key[0] == pmap.slot and key[1] < va:
                    model[key] = (frame, VM_PROT_READ)
        else:
            prot = VM_PROT_READ if step == "page_read" else VM_PROT_NONE
            pmap_page_protect(vm, page, prot)
            for key, (frame, _) in list(model.items()):
                if frame == page.slot:
                    model[key] = (frame, prot)
                    if not prot:
                        del model[key]

    seen = {(pmap.slot, va): row for pmap in pmaps for va, row in mapped(vm, pmap).items()}
    assert seen == model
    for page in pages:
        assert mappers(vm, page) == {key for key, (frame, _) in model.items() if frame == page.slot}
    assert leaks(vm) == []
    close_vm(vm)


def test_two_threads_that_unmap_and_enter_the_same_address_lose_no_mapping(vm_of):
    vm = vm_of(contracts=False)
    obj = new_object(vm, 8)
    pages = [new_page(vm, obj, i) for i in range(4)]
    pmap, failed = new_pmap(vm), []

    def churn(first):
        try:
            for i in range(300):
                pmap_enter(vm, pmap, 0, pages[(first + i) % 4], VM_PROT_DEFAULT, False)
                pmap_page_protect(vm, pages[(first + i + 1) % 4], VM_PROT_NONE)
                pmap_remove(vm, pmap, 0, vm.page_size) if i % 3 == 0 else None
        except BaseException as error:  # noqa: BLE001 - the main thread judges
            failed.append(error)

    threads = [threading.Thread(target=churn, args=(n,), daemon=True) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failed == []
    assert vm.mappings.in_use() == pmap.count == sum(len(mappers(vm, page)) for page in pages)
