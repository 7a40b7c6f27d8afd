"""Instant invariants of names and backing store (A8, A9, A11)."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.shm.checked import unguarded
from tests.vmcore.builders import locked, new_object, new_page
from tests.vmcore.builders_checked import broken, checked_vm, said_at_release
from tests.vmcore.builders_files import held
from tests.vmcore.builders_objects import (
    swap_out,
)
from vmcore.checked.records import WALK_EVERY
from vmcore.constants import (
    OBJ_CANPERSIST,
    OBJ_INTERNAL,
)
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_cache import cache_clear
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


@pytest.fixture
def file(vm: Vm) -> Iterator[Any]:
    """A file's object, referenced."""
    found = held(vm)
    yield found
    vm_object_deallocate(vm, found)
    cache_clear(vm)


def test_the_cached_list_is_as_long_as_its_count(vm):
    vm.cache_lock.acquire()
    with broken(vm.g, vm_object_cached=1):
        said = said_at_release(vm, vm.cache_lock)
    vm.cache_lock.release()

    assert said == "A8: 0 objects are cached, vm_object_cached is 1"


def test_a_cached_object_has_no_reference(vm):
    cached = held(vm)
    vm_object_deallocate(vm, cached)
    vm.cache_lock.acquire()
    with broken(cached, ref_count=1):
        said = said_at_release(vm, vm.cache_lock)
    vm.cache_lock.release()
    cache_clear(vm)

    assert said.startswith(f"A8: object {cached.slot} is on the cached list with 1 references")


def test_an_object_with_a_name_and_no_reference_is_cached(vm, file):
    with locked(vm.cache_lock):
        file.lock.acquire()
        with broken(file, ref_count=0):
            said = said_at_release(vm, file.lock)
        file.lock.release()

    assert said == f"A8: object {file.slot} has a name and no reference, and is not cached"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"pager": 0}, "has pager 0, which does not hash there"),
        ({"flags": OBJ_CANPERSIST | OBJ_INTERNAL}, "is anonymous, or not marked as hashed"),
        ({"is_hashed": 0}, "is anonymous, or not marked as hashed"),
    ],
)
def test_a_name_leads_to_a_pager(vm, file, fields, said):
    vm.cache_lock.acquire()
    with broken(file, **fields):
        found = said_at_release(vm, vm.cache_lock, WALK_EVERY)
    vm.cache_lock.release()

    assert found.startswith("A9: ")
    assert found.endswith(said)


def test_a_pager_belongs_to_the_object_that_it_is_in(vm, file):
    with unguarded():
        pager = vm.pagers(file.pager)
    file.lock.acquire()
    with broken(pager, pg_object=1 << 32 | 1):
        said = said_at_release(vm, file.lock)
    file.lock.release()

    assert said == f"A9: object {file.slot} has pager {pager.slot}, which is object 1's"


def test_a_swap_pager_and_its_blocks_agree(vm, obj):
    swap_out(vm, obj)
    with unguarded():
        pager = vm.pagers(obj.pager)
        block = vm.swap_blocks.views[pager.sw_first]
        first = block.swb_block
    pager.lock.acquire()
    with broken(pager, sw_cnt=3):
        counted = said_at_release(vm, pager.lock, WALK_EVERY)
    with broken(block, swb_mask=0):
        kept = said_at_release(vm, pager.lock, WALK_EVERY)
    vm.swap_owners.plain[first] = 77
    owned = said_at_release(vm, pager.lock, WALK_EVERY)
    vm.swap_owners.plain[first] = block.slot
    pager.lock.release()

    assert counted == f"A11: pager {pager.slot} counts 3 pages, its blocks hold 1"
    assert kept.startswith(f"A11: swap block {block.slot} is kept with no valid page")
    assert owned == f"A11: swap pages of swap block {block.slot} belong to [77]"
