"""The audit of handles: quiet when all is well, and it names what is not."""

import pytest

from tests.vmcore.builders_files import held, mapped, show, vnode
from tests.vmcore.builders_objects import empty_space
from vmcore.audit.audit import audit
from vmcore.audit.named import audit_named
from vmcore.constants import OBJ_CANPERSIST
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.pager_named import swap_pager_named
from vmcore.space.map_named import vm_map_named
from vmcore.space.vmspace import space_map

NAME = 7


@pytest.fixture
def vm(vm_of):
    """A file and two names in use."""
    vm = vm_of(files=(3 * 4096,))
    space, start = mapped(vm, 3, True)
    show(vm, space, start + 2 * vm.page_size)
    for name in (NAME, NAME + 1):
        vm_map_named(vm, space_map(vm, empty_space(vm)), name, vm.page_size)
    assert audit(vm) == []
    return vm


def named_pager(vm, name):
    obj = swap_pager_named(vm, name, vm.page_size)
    assert obj is not None
    vm_object_deallocate(vm, obj)
    return vm.pagers(obj.pager)


def second_pager_of_a_name(vm):
    named_pager(vm, NAME + 1).pg_handle = NAME


def pager_off_the_list(vm):
    vm.g.named_first = vm.pagers.views[vm.g.named_first].named_next


def pager_without_its_mark(vm):
    named_pager(vm, NAME).is_named = 0


def name_that_may_be_cached(vm):
    vm.objects(named_pager(vm, NAME).pg_object).flags |= OBJ_CANPERSIST


def name_that_is_not_hashed(vm):
    vm.objects(named_pager(vm, NAME).pg_object).is_hashed = 0


def vnode_that_forgot_its_pager(vm):
    vnode(vm).v_vmdata = 0


def file_pager(vm):
    return vm.pagers(vnode(vm).v_vmdata)


def change_of_size_without_end(vm):
    file_pager(vm).vnp_resizing = 1


def sizes_that_differ(vm):
    file_pager(vm).vnp_size += 1


def page_behind_the_end(vm):
    file_pager(vm).vnp_size = vnode(vm).v_size = 2 * vm.page_size


def object_that_is_too_small(vm):
    vm.objects(file_pager(vm).pg_object).size = 2 * vm.page_size


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (second_pager_of_a_name, "name 7 has 2 pagers"),
        (pager_off_the_list, "the named list has"),
        (pager_without_its_mark, "not marked as named"),
        (name_that_may_be_cached, "is or may be cached"),
        (name_that_is_not_hashed, "cannot be found"),
        (vnode_that_forgot_its_pager, "does not name its pager"),
        (change_of_size_without_end, "changing its size"),
        (sizes_that_differ, "believes in"),
        (page_behind_the_end, "behind the end of its file"),
        (object_that_is_too_small, "its file"),
    ],
)
def test_what_is_wrong_is_named(vm, wrong, said):
    wrong(vm)

    assert any(said in line for line in audit_named(vm)), audit_named(vm)


def test_the_answer_is_part_of_the_whole_audit(vm):
    change_of_size_without_end(vm)

    assert any("changing its size" in line for line in audit(vm))
    assert held(vm).ref_count == 2
