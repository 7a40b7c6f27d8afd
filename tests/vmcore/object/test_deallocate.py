"""What a release sets off: the search for a shadower that may now absorb the object."""

import threading

import pytest

from harness.errors import Panic
from tests.vmcore.builders import locked, new_object
from tests.vmcore.builders_objects import (
    chain,
    contents,
    fill,
    fork,
    live_objects,
    space_of,
    top,
    write,
)
from tests.waiting import join
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import OBJ_COLLAPSING, OBJ_FADING
from vmcore.object.deallocate import drain_release_list, vm_object_deallocate
from vmcore.space.vmspace import vmspace_exit
from vmcore.vm import release_later


def family(vm):
    """Parent, child and grandchild, each with a front object of its own."""
    parent = space_of(vm, 3)
    fill(vm, parent, {0: 1, 1: 2, 2: 3})
    child = fork(vm, parent)
    write(vm, child, 0, 10)
    grandchild = fork(vm, child)
    write(vm, grandchild, 1, 20)
    write(vm, child, 2, 30)
    return parent, child, grandchild


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_a_family_may_leave_in_any_order(vm, order):
    spaces = family(vm)
    expected = {0: [1, 2, 3], 1: [10, 2, 30], 2: [10, 20, 3]}
    for gone in order:
        for who, values in expected.items():
            assert contents(vm, spaces[who], 3) == values
        vmspace_exit(vm, spaces[gone])
        del expected[gone]
        assert audit(vm) == []
        for who in expected:
            assert len(chain(vm, spaces[who])) <= len(expected)
    assert all_gone(vm) == []


def test_the_release_of_a_shadower_walks_up_the_chain(vm):
    parent, child, grandchild = family(vm)

    vmspace_exit(vm, parent)
    vmspace_exit(vm, child)

    assert chain(vm, grandchild) == [top(vm, grandchild).slot]
    assert len(live_objects(vm)) == 1
    assert contents(vm, grandchild, 3) == [10, 20, 3]
    vmspace_exit(vm, grandchild)


def test_a_candidate_whose_lock_is_taken_is_left_alone(vm):
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 5})
    child = fork(vm, parent)
    write(vm, parent, 0, 2)
    holder = Holder(top(vm, parent))

    vmspace_exit(vm, child)

    holder.let_go()

    assert len(chain(vm, parent)) == 2
    assert audit(vm) == []
    write(vm, parent, 0, 3)
    vmspace_exit(vm, parent)
    assert all_gone(vm) == []


class Holder:
    """A thread that holds an object's lock until it is told to let go."""

    def __init__(self, record):
        self.held, self.done = threading.Event(), threading.Event()

        def hold():
            record.lock.acquire()
            self.held.set()
            self.done.wait(10)
            record.lock.release()

        self.thread = threading.Thread(target=hold)
        self.thread.start()
        assert self.held.wait(10)

    def let_go(self):
        self.done.set()
        join(self.thread)


@pytest.mark.parametrize("flag", [OBJ_FADING, OBJ_COLLAPSING])
def test_a_candidate_that_another_thread_works_on_is_left_alone(vm, flag):
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 5})
    child = fork(vm, parent)
    write(vm, parent, 0, 2)
    front = top(vm, parent)
    front.flags |= flag

    vmspace_exit(vm, child)

    front.flags &= ~flag
    assert front.shadow
    assert front.ref_count == 1
    vmspace_exit(vm, parent)


def test_releasing_too_often_is_fatal(vm):
    obj = new_object(vm, 1)
    obj.ref_count = 0

    with pytest.raises(Panic, match="more often"):
        vm_object_deallocate(vm, obj)

    for lock in (obj.lock, vm.cache_lock):
        lock.release()
    obj.ref_count = 1
    vm_object_deallocate(vm, obj)


def test_what_was_put_aside_is_released_by_the_next_drain(vm):
    objects = [new_object(vm, 1) for _ in range(3)]
    with locked(objects[0]):
        release_later(vm, objects[1], False)
    assert len(live_objects(vm)) == 3

    drain_release_list(vm)
    assert live_objects(vm) == {objects[0].slot, objects[2].slot}

    for obj in (objects[0], objects[2]):
        vm_object_deallocate(vm, obj)
    assert audit(vm) == []
