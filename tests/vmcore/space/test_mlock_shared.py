"""Wiring through a sharing map: all sharers go on seeing one memory."""

import pytest

import vmcore.fault.fault_copy_entry
from tests.vmcore.builders import failing, locked
from tests.vmcore.builders_objects import (
    entry_at,
    fill,
    fork,
    page_at,
    read,
    space_of,
    swap_out,
    top,
    va,
    write,
)
from tests.vmcore.pmap.test_pmap_steal import instead
from tests.vmcore.space.test_mlock import protect, unwire, wire
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import (
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    PG_ACTIVE,
    PG_INACTIVE,
    VM_INHERIT_COPY,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_READ,
    VM_PROT_WRITE,
)
from vmcore.pmap.pmap_lists import find
from vmcore.space.map_protect import vm_map_inherit
from vmcore.space.map_user import vm_deallocate
from vmcore.space.vmspace import space_map, vmspace_exit


@pytest.fixture
def space(vm):
    """Eight pages at BASE; afterwards everything must be gone."""
    it = space_of(vm, 8)
    yield it
    vmspace_exit(vm, it)
    assert all_gone(vm) == []
    assert vm.g.v_wire_count == 0


@pytest.fixture
def sharers(vm, space):
    """Two spaces that share the eight pages."""
    fill(vm, space, {page: page + 1 for page in range(8)})
    vm_map_inherit(vm, space_map(vm, space), va(vm, 0), va(vm, 8), VM_INHERIT_SHARE)
    other = fork(vm, space)
    yield space, other
    vmspace_exit(vm, other)


def shared_entry(vm, space, page):
    """The sharing map's entry at a page."""
    entry = entry_at(vm, space, page)
    share = vm.sharing_maps(entry.object)
    slot = share.first
    while not vm.entries.views[slot].start <= va(vm, page) < vm.entries.views[slot].end:
        slot = vm.entries.views[slot].next
    return vm.entries.views[slot]


def test_a_wiring_of_shared_memory_counts_in_the_sharing_map(vm, sharers):
    one, other = sharers
    assert wire(vm, one, 2, 6) == KERN_SUCCESS
    assert wire(vm, other, 4, 8) == KERN_SUCCESS

    assert [shared_entry(vm, one, page).wired_count for page in range(8)] == [0, 0, 1, 1, 2, 2, 1, 1]
    assert [entry_at(vm, other, page).wired_count for page in range(8)] == [0] * 4 + [1] * 4
    assert vm.g.v_wire_count == 6
    assert audit(vm) == []
    write(vm, other, 4, 50)
    assert read(vm, one, 4) == 50
    unwire(vm, one, 3, 5)  # clips in the middle of what was wired in one piece
    assert [shared_entry(vm, one, page).wired_count for page in range(8)] == [0, 0, 1, 0, 1, 2, 1, 1]
    assert audit(vm) == []


def test_unmapping_one_sharers_wired_range_leaves_the_others_wiring(vm, sharers):
    one, other = sharers
    wire(vm, one, 0, 4)
    wire(vm, other, 2, 6)

    vm_deallocate(vm, space_map(vm, one), va(vm, 1), 2 * vm.page_size)

    assert [shared_entry(vm, other, page).wired_count for page in range(6)] == [1, 0, 1, 2, 1, 1]
    assert audit(vm) == []


def test_a_failed_wiring_of_shared_memory_leaves_no_count(vm, sharers):
    one, other = sharers
    swap_out(vm, vm.objects(shared_entry(vm, one, 0).object), 3)
    vm.io.hook = failing("swap_read")

    assert wire(vm, other, 0, 8) == KERN_PROTECTION_FAILURE

    vm.io.hook = None
    assert [shared_entry(vm, one, page).wired_count for page in range(8)] == [0] * 8
    assert vm.g.v_wire_count == 0
    assert audit(vm) == []


def test_a_private_copy_of_wired_shared_memory_is_made_at_once(vm, sharers):
    one, other = sharers
    wire(vm, one, 2, 4)
    vm_map_inherit(vm, space_map(vm, other), va(vm, 0), va(vm, 8), VM_INHERIT_COPY)

    copy = fork(vm, other)

    assert not shared_entry(vm, one, 2).needs_copy
    assert shared_entry(vm, one, 5).needs_copy, "what is not wired is copied on demand"
    write(vm, other, 2, 33)
    assert (read(vm, one, 2), read(vm, copy, 2)) == (33, 3), "a wired sharer shows an old page"
    write(vm, other, 5, 66)
    assert (read(vm, one, 5), read(vm, copy, 5)) == (66, 6)
    assert audit(vm) == []
    vmspace_exit(vm, copy)


def test_wiring_shared_memory_that_needs_a_copy_makes_the_shadow_now(vm, sharers):
    one, other = sharers
    vm_map_inherit(vm, space_map(vm, other), va(vm, 0), va(vm, 8), VM_INHERIT_COPY)
    copy = fork(vm, other)
    assert shared_entry(vm, one, 2).needs_copy
    protect(vm, one, 0, 8, VM_PROT_READ)

    assert wire(vm, one, 2, 4) == KERN_SUCCESS

    assert not shared_entry(vm, one, 2).needs_copy
    write(vm, other, 2, 33)
    assert (read(vm, one, 2), read(vm, copy, 2)) == (33, 3)
    assert audit(vm) == []
    vmspace_exit(vm, copy)


@pytest.mark.parametrize("writable_again", [False, True])
def test_a_range_wired_read_only_gets_its_own_object_before_sharing(vm, space, writable_again):
    fill(vm, space, {0: 1, 1: 2})
    child = fork(vm, space)
    protect(vm, child, 0, 2, VM_PROT_READ)
    wire(vm, child, 0, 2)
    assert page_at(vm, top(vm, space), 0).wire_count == 1, "the wired page is not the shared one"
    if writable_again:
        protect(vm, child, 0, 2, VM_PROT_ALL)
        write(vm, child, 0, 1)  # a shadow; page 1 is still the parent's
    vm_map_inherit(vm, space_map(vm, child), va(vm, 0), va(vm, 2), VM_INHERIT_SHARE)

    sharer = fork(vm, child)

    protect(vm, sharer, 0, 2, VM_PROT_ALL)
    write(vm, sharer, 1, 20)
    assert read(vm, child, 1) == 20, "the wired sharer shows the page behind"
    assert read(vm, space, 1) == 2
    assert page_at(vm, top(vm, space), 1).flags_p & (PG_ACTIVE | PG_INACTIVE)
    assert vm.g.v_wire_count == 2
    assert audit(vm) == []
    for one in (sharer, child):
        vmspace_exit(vm, one)


def test_while_wired_pages_are_copied_no_thread_may_store_to_them(vm, space, monkeypatch):
    fill(vm, space, {0: 1, 1: 2})
    child = fork(vm, space)
    protect(vm, child, 0, 2, VM_PROT_READ)
    wire(vm, child, 0, 2)
    protect(vm, child, 0, 2, VM_PROT_ALL)
    write(vm, child, 0, 1)  # its own page now, mapped for stores; page 1 is still the parent's
    vm_map_inherit(vm, space_map(vm, child), va(vm, 0), va(vm, 2), VM_INHERIT_SHARE)
    pmap, seen = vm.pmaps(child.pmap), []

    def look():
        with locked(pmap):
            mappings = [find(vm, pmap, va(vm, page)) for page in range(2)]
        seen.append([mapping.prot & VM_PROT_WRITE for mapping in mappings if mapping])

    look()
    with instead(monkeypatch, vmcore.fault.fault_copy_entry, "vm_fault_copy_entry", look):
        sharer = fork(vm, child)
    look()

    assert seen == [[VM_PROT_WRITE, 0], [0, 0], [VM_PROT_WRITE] * 2]
    for one in (sharer, child):
        vmspace_exit(vm, one)
