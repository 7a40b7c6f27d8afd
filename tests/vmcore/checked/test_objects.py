"""Instant invariants of objects (A1, A2, A4 to A7, A10): each broken one is named at the release."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.vmcore.builders import locked, new_object, new_page
from tests.vmcore.builders_checked import broken, checked_vm, said_at_release
from tests.vmcore.builders_objects import (
    page_at,
    shadow_of,
)
from vmcore.checked.records import WALK_EVERY
from vmcore.constants import (
    OBJ_COLLAPSING,
    OBJ_DYING,
    OBJ_FADING,
    OBJ_INTERNAL,
    OBJ_WAITING,
    PG_BUSY,
    PG_FAKE,
    PG_TABLED,
)
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object import link_shadower, unlink_shadower
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
def pair(vm: Vm) -> Iterator[tuple[Any, Any]]:
    """(front, what it shadows)"""
    back = new_object(vm, 2)
    front = shadow_of(vm, back, 0, 2)
    yield front, back
    vm_object_deallocate(vm, front)


@pytest.mark.parametrize(
    ("fields", "invariant"),
    [
        ({"ref_count": -1}, "A1"),
        ({"flags": OBJ_INTERNAL | OBJ_DYING}, "A1"),
        ({"flags": OBJ_INTERNAL | OBJ_WAITING}, "A5"),
        ({"flags": OBJ_INTERNAL | OBJ_COLLAPSING}, "A10"),
        ({"flags": OBJ_INTERNAL | OBJ_FADING}, "A10"),
        ({"copy": 1 << 32 | 9}, "A7"),
    ],
)
def test_an_object_contradicts_itself(vm, obj, fields, invariant):
    obj.lock.acquire()
    with broken(obj, **fields):
        assert said_at_release(vm, obj.lock).startswith(f"{invariant}: ")
    obj.lock.release()


def test_a_shadower_has_a_reference(vm, pair):
    _, back = pair
    back.lock.acquire()
    with broken(back, ref_count=0):
        said = said_at_release(vm, back.lock)
    back.lock.release()

    assert said == f"A1: object {back.slot} has 0 references and 1 shadowers"


def test_a_shadower_shadows_us(vm, pair):
    front, back = pair
    back.lock.acquire()
    with broken(front, shadow=0):
        said = said_at_release(vm, back.lock)
    back.lock.release()

    assert said == f"A6: object {back.slot} lists object {front.slot} as a shadower, which shadows another"


def test_what_we_shadow_lists_us(vm, pair):
    front, back = pair
    with locked(front), locked(back):
        unlink_shadower(vm, front, back)
        said = said_at_release(vm, front.lock)
        link_shadower(vm, front, back)

    assert said == f"A6: object {front.slot} is missing among the shadowers of object {back.slot}"


def test_a_front_that_collapses_has_a_back_that_fades(vm, pair):
    front, back = pair
    with locked(front), locked(back), broken(front, flags=OBJ_INTERNAL | OBJ_COLLAPSING):
        said = said_at_release(vm, front.lock)

    assert said == f"A10: object {front.slot} collapses with object {back.slot}, which does not fade"


def test_a_chain_is_no_ring(vm, pair):
    front, back = pair
    front.lock.acquire()
    with broken(back, shadow=vm.objects.ref(front)):
        said = said_at_release(vm, front.lock, WALK_EVERY)
    front.lock.release()

    assert said == f"A6: the chain of object {front.slot} is a ring"


def test_a_source_with_a_copy_that_shadows_another_object(vm, pair):
    front, back = pair
    back.lock.acquire()
    with broken(back, copy=vm.objects.ref(front)), broken(front, shadow_offset=4096):
        said = said_at_release(vm, back.lock)
    back.lock.release()

    assert said.startswith(f"A7: copy-object {front.slot} shadows {back.slot}+4096")


def test_a_copy_of_anonymous_memory(vm, pair):
    front, back = pair
    back.lock.acquire()
    with broken(back, copy=vm.objects.ref(front)):
        said = said_at_release(vm, back.lock)
    back.lock.release()

    assert said == f"A7: object {back.slot} has a copy-object, and is anonymous or shadows something"


def test_the_list_of_pages_is_as_long_as_its_count(vm, obj):
    obj.lock.acquire()
    with broken(obj, resident_page_count=5):
        said = said_at_release(vm, obj.lock, WALK_EVERY)
    obj.lock.release()

    assert said == f"A2: object {obj.slot} lists 1 pages and counts 5"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"object": 1 << 32 | 99}, "A2: page {page} in the list of object {object} belongs to 99"),
        ({"offset": 1 << 20}, "A2: object {object} of 16384 bytes has page {page} at 1048576"),
        (
            {"flags_o": PG_TABLED | PG_FAKE},
            "A4: page {page} of object {object} is fake or wanted, and not busy",
        ),
        (
            {"flags_o": PG_TABLED | PG_BUSY},
            "A4: page {page} of object {object} is busy, and no thread pages there",
        ),
    ],
)
def test_a_page_does_not_fit_its_object(vm, obj, fields, said):
    page = page_at(vm, obj, 0)
    obj.lock.acquire()
    with broken(page, **fields):
        found = said_at_release(vm, obj.lock, WALK_EVERY)
    obj.lock.release()

    assert found.startswith(said.format(page=page.slot, object=obj.slot))
