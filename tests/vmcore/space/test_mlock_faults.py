"""Faults on wired memory: copies on write around it, and wirings that move to another page."""

import pytest

from tests.vmcore.builders import locked
from tests.vmcore.builders_objects import (
    below,
    chain,
    entry_at,
    fill,
    fork,
    page_at,
    page_out_step,
    read,
    resident,
    space_of,
    swap_out,
    top,
    va,
    write,
)
from tests.vmcore.space.test_mlock import protect, unwire, wire
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import (
    KERN_PROTECTION_FAILURE,
    KERN_SUCCESS,
    PG_ACTIVE,
    PG_INACTIVE,
    VM_PROT_ALL,
    VM_PROT_NONE,
    VM_PROT_READ,
    VM_PROT_WRITE,
)
from vmcore.fault import fault
from vmcore.fault.fault import vm_fault
from vmcore.map import unwire as fault_unwire
from vmcore.map.map import vm_map_remove
from vmcore.pmap.pmap import pmap_change_wiring, pmap_extract
from vmcore.space.map_protect import vm_map_protect
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map, vmspace_exit


@pytest.fixture
def family(vm):
    """Parent and child over one object of four pages; the parent's range is read-only and wired."""
    parent = space_of(vm, 4)
    fill(vm, parent, {0: 1, 1: 2, 2: 3, 3: 4})
    child = fork(vm, parent)
    protect(vm, parent, 0, 4, VM_PROT_READ)
    assert wire(vm, parent, 0, 4) == KERN_SUCCESS
    yield parent, child
    for space in (parent, child):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []
    assert vm.g.v_wire_count == 0


def mapped(vm, space, page):
    """The page that the hardware map of the space reaches."""
    return pmap_extract(vm, vm.pmaps(space.pmap), va(vm, page))


def test_a_childs_copy_on_write_leaves_the_parents_wired_page_alone(vm, family):
    parent, child = family
    wired = page_at(vm, top(vm, parent), 1)
    faults = vm.me.stats.v_faults

    write(vm, child, 1, 20)

    assert not wired.flags_p & (PG_ACTIVE | PG_INACTIVE), "a wired page was queued"
    assert wired.wire_count == 1
    assert mapped(vm, parent, 1) is wired
    page_out_step(vm)
    asked = vm.me.stats.v_faults
    assert read(vm, parent, 1) == 2
    assert vm.me.stats.v_faults == asked > faults, "the parent's wired page was unmapped"
    assert read(vm, child, 1) == 20
    assert audit(vm) == []
    assert unwire(vm, parent, 0, 4) == KERN_SUCCESS
    assert audit(vm) == []


def test_a_store_to_a_range_made_writable_moves_the_wiring_to_the_copy(vm, family):
    parent, child = family
    old = mapped(vm, parent, 2)
    protect(vm, parent, 0, 4, VM_PROT_ALL)
    assert audit(vm) == []

    write(vm, parent, 2, 30)

    new = mapped(vm, parent, 2)
    assert new is not old
    assert (new.wire_count, old.wire_count) == (1, 0)
    assert old.flags_p & (PG_ACTIVE | PG_INACTIVE)
    assert vm.g.v_wire_count == 4
    assert (read(vm, child, 2), read(vm, parent, 3)) == (3, 4)
    assert audit(vm) == []
    page_out_step(vm)
    faults = vm.me.stats.v_faults
    assert [read(vm, parent, page) for page in range(4)] == [1, 2, 30, 4]
    assert vm.me.stats.v_faults == faults
    assert unwire(vm, parent, 0, 4) == KERN_SUCCESS
    assert audit(vm) == []


def test_a_wired_pages_copy_does_not_replace_it_before_its_wiring_moves(vm, family):
    parent, child = family
    vmspace_exit(vm, fork(vm, child))  # so that the fixture's child may go as well
    protect(vm, parent, 0, 4, VM_PROT_ALL)
    for page in range(4):
        write(vm, child, page, 10 + page)
    protect(vm, child, 0, 4, VM_PROT_NONE)
    bottom = chain(vm, parent)[-1]
    assert vm_map_delete_all(vm, child)

    write(vm, parent, 0, 100)  # now the parent's shadow is the bottom's one user: an overlay

    assert bottom not in chain(vm, parent), "nothing was collapsed: the test proves nothing"
    assert [read(vm, parent, page) for page in range(4)] == [100, 2, 3, 4]
    assert vm.g.v_wire_count == 4
    assert audit(vm) == []


def vm_map_delete_all(vm, space):
    """Unmap the whole region of a space."""
    return vm_map_remove(vm, space_map(vm, space), va(vm, 0), va(vm, 4)) == KERN_SUCCESS


def test_a_fork_of_a_range_with_wirings_moved_in_part_copies_every_page(vm, family):
    parent, _ = family
    protect(vm, parent, 0, 4, VM_PROT_ALL)
    write(vm, parent, 0, 10)
    assert resident(vm, top(vm, parent)) == [0], "the other pages lie below the shadow"

    grandchild = fork(vm, parent)

    assert [read(vm, grandchild, page) for page in range(4)] == [10, 2, 3, 4]
    write(vm, parent, 1, 11)
    assert read(vm, grandchild, 1) == 2
    assert vm.g.v_wire_count == 4
    assert audit(vm) == []
    vmspace_exit(vm, grandchild)


def test_a_copy_made_by_a_fault_that_fails_does_not_hide_the_wired_page(vm, family, monkeypatch):
    """Between the copy and the second look another thread takes the rights away."""
    parent, child = family
    protect(vm, parent, 0, 4, VM_PROT_ALL)
    write(vm, parent, 0, 10)
    unwire(vm, parent, 0, 1)
    swap_out(vm, top(vm, parent))  # the shadow has a pager now, so a fault lets go of the map
    wired = mapped(vm, parent, 1)
    real = fault.relookup

    def rights_go(vm_, state):
        state.object.lock.release()
        assert vm_map_protect(vm, space_map(vm, parent), va(vm, 1), va(vm, 2), VM_PROT_NONE) == KERN_SUCCESS
        state.object.lock.acquire()
        return real(vm_, state)

    monkeypatch.setattr(fault, "relookup", rights_go)
    assert vm_fault(vm, space_map(vm, parent), va(vm, 1), VM_PROT_WRITE) == KERN_PROTECTION_FAILURE
    monkeypatch.undo()

    assert mapped(vm, parent, 1) is wired
    assert 1 not in resident(vm, top(vm, parent)), "a copy hides the page that is still wired"
    assert audit(vm) == []
    for page in range(4):
        write(vm, child, page, 1)
    assert vm_map_delete_all(vm, child)  # an overlay of what the parent's shadow hides
    assert audit(vm) == []
    protect(vm, parent, 0, 4, VM_PROT_ALL)
    assert [read(vm, parent, page) for page in range(4)] == [10, 2, 3, 4]


def test_wiring_read_only_memory_copies_pages_up_into_its_own_object(vm):
    space = space_of(vm, 3)
    fill(vm, space, {0: 1, 1: 2})
    child = fork(vm, space)
    write(vm, space, 0, 10)
    protect(vm, space, 0, 3, VM_PROT_READ)
    assert read(vm, space, 1) == 2
    assert resident(vm, top(vm, space)) == [0]

    assert wire(vm, space, 0, 3) == KERN_SUCCESS

    assert resident(vm, top(vm, space)) == [0, 1, 2]
    assert [page_at(vm, top(vm, space), page).wire_count for page in range(3)] == [1, 1, 1]
    assert audit(vm) == []
    for one in (space, child):
        vmspace_exit(vm, one)
    assert all_gone(vm) == []


def test_wiring_a_private_file_mapping_makes_its_shadow_and_all_its_pages(vm_of):
    vm = vm_of(files=(4 * 4096,))
    space = space_of(vm, 1)
    vm_map_file(vm, space_map(vm, space), vm.vnodes.views[1], 4 * vm.page_size, 0, False, va(vm, 2))

    assert wire(vm, space, 2, 6) == KERN_SUCCESS

    assert not entry_at(vm, space, 2).needs_copy
    assert below(vm, top(vm, space, 2)).pager
    assert resident(vm, top(vm, space, 2)) == [0, 1, 2, 3]
    faults = vm.me.stats.v_faults
    write(vm, space, 3, 7)
    assert vm.me.stats.v_faults == faults
    assert audit(vm) == []
    vmspace_exit(vm, space)


def test_a_fault_before_the_wirer_has_come_enters_an_ordinary_mapping(vm):
    space = space_of(vm, 1)
    write(vm, space, 0, 3)
    entry = entry_at(vm, space)
    swap_out(vm, top(vm, space))
    entry.wired_count = 1  # the first pass is over, the second has not come here

    assert read(vm, space, 0) == 3

    page = mapped(vm, space, 0)
    with locked(vm.pmaps(space.pmap)):
        assert not vm.mappings.views[page.pv_first].wired
    assert (page.wire_count, vm.g.v_wire_count) == (0, 0)
    assert page.flags_p & PG_ACTIVE
    entry.wired_count = 0
    assert audit(vm) == []
    vmspace_exit(vm, space)


def test_a_failed_wiring_ends_wired_mappings_before_the_entry_says_so(vm_of, monkeypatch):
    """Faults go on beside it: one that saw no wiring would replace a wired mapping by an ordinary one."""
    vm = vm_of(files=(4096,))
    space = space_of(vm, 1)
    vm_map_file(vm, space_map(vm, space), vm.vnodes.views[1], 4 * vm.page_size, 0, True, va(vm, 1))
    entry, counts = entry_at(vm, space), []

    def look(vm, pmap, address, wired):
        counts.append(entry.wired_count)
        pmap_change_wiring(vm, pmap, address, wired)

    monkeypatch.setattr(fault_unwire, "pmap_change_wiring", look)

    assert wire(vm, space, 0, 5) != KERN_SUCCESS

    assert counts == [1, 1], "the file's one page, then page 0, which was wired before it"
    assert entry.wired_count == 0
    assert audit(vm) == []
    vmspace_exit(vm, space)
