"""vnode_pager_uncache, and the cache with more files than it keeps, mapped in every way."""

import random
import threading

import pytest

from tests.vmcore.builders import services
from tests.vmcore.builders_files import Gate, held, mapped, on_disk, put, show, store, thread, vnode
from tests.vmcore.builders_objects import live_objects
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import KERN_FAILURE, KERN_SUCCESS
from vmcore.object import vnode_size
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_cache import cache_clear
from vmcore.object.vnode_size import vnode_pager_cut_unused, vnode_pager_uncache
from vmcore.space.access import vm_read
from vmcore.space.vmspace import vmspace_exit, vmspace_fork

FILES, LIMIT_S = 5, 60.0


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(2 * 4096,) * FILES, cache_max=2)


def test_a_cached_object_ends_and_its_dirty_pages_reach_the_file(vm):
    space, start = mapped(vm, 1, True)
    store(vm, space, start, 5)
    vmspace_exit(vm, space)
    assert vm.g.vm_object_cached == 1

    assert vnode_pager_uncache(vm, vnode(vm))

    assert live_objects(vm) == set()
    assert on_disk(vm, 0) == 5
    assert vnode_pager_uncache(vm, vnode(vm))  # there is nothing to forget


def test_a_mapped_object_is_in_use_and_ends_with_its_last_user(vm):
    space, start = mapped(vm, 1, True)
    store(vm, space, start, 5)

    assert not vnode_pager_uncache(vm, vnode(vm))

    assert show(vm, space, start) == 5
    vmspace_exit(vm, space)
    assert live_objects(vm) == set()
    assert on_disk(vm, 0) == 5
    assert all_gone(vm) == []


def test_a_file_is_cut_only_while_no_process_maps_it(vm):
    space, start = mapped(vm, 2, True)
    store(vm, space, start + 4096, 5)

    assert vnode_pager_cut_unused(vm, vnode(vm), 4096) == KERN_FAILURE
    assert (vnode(vm).v_size, show(vm, space, start + 4096)) == (2 * 4096, 5)

    vmspace_exit(vm, space)  # the object is cached now, with a dirty page
    assert vnode_pager_cut_unused(vm, vnode(vm), 4096) == KERN_SUCCESS
    assert (vnode(vm).v_size, live_objects(vm)) == (4096, set())


def test_a_file_that_is_mapped_after_the_answer_is_not_cut(vm, monkeypatch):
    def mapped_at_once(vm, vnode):
        mapped(vm, 2, True)
        return True  # what was true a moment before

    monkeypatch.setattr(vnode_size, "vnode_pager_uncache", mapped_at_once)

    assert vnode_pager_cut_unused(vm, vnode(vm), 0) == KERN_FAILURE
    assert vnode(vm).v_size == 2 * 4096


def test_the_vnode_lock_is_not_held_while_the_object_ends(vm):
    space, start = mapped(vm, 1, True)
    store(vm, space, start, 5)
    vmspace_exit(vm, space)
    gate, answers = Gate(vm, "file_write"), []

    with thread(lambda: answers.append(vnode_pager_uncache(vm, vnode(vm)))):
        assert gate.reached.wait(LIMIT_S)  # the write takes the vnode lock itself
        asked = threading.Event()

        def ask():
            asked.set()
            answers.append(vnode_pager_uncache(vm, vnode(vm)))

        with thread(ask):
            assert asked.wait(LIMIT_S)
            gate.go.set()

    assert answers == [True, True]
    assert all_gone(vm) == []


def test_no_more_than_cache_max_objects_stay_and_the_oldest_goes_first(vm):
    for file in range(FILES):
        put(vm, 0, 10 + file, file)
        private, here = mapped(vm, 1, False, file)
        shared, there = mapped(vm, 1, True, file)
        store(vm, private, here, 1)
        assert show(vm, shared, there) == 10 + file
        for space in (private, shared):
            vmspace_exit(vm, space)
        assert audit(vm) == []

    kept = [file for file in range(FILES) if vnode(vm, file).v_vmdata]

    assert kept == [FILES - 2, FILES - 1]
    cache_clear(vm)
    assert all_gone(vm) == []


def test_a_file_that_is_used_again_is_the_youngest_then(vm):
    for file in (0, 1, 0, 2):
        vm_object_deallocate(vm, held(vm, file))

    assert [file for file in range(FILES) if vnode(vm, file).v_vmdata] == [0, 2]
    cache_clear(vm)


def user(vm, me, rounds):
    """Files mapped in both ways, more of them than the cache keeps; one's own page never goes back."""
    rng = random.Random(me)
    last = [0] * FILES
    for turn in range(1, rounds + 1):
        file = rng.randrange(FILES)
        shared, here = mapped(vm, 2, True, file)
        private, there = mapped(vm, 2, False, file)
        mine = me * vm.page_size
        assert show(vm, shared, here + mine) == last[file]
        assert store(vm, shared, here + mine, turn)
        last[file] = turn
        assert show(vm, private, there + mine) == turn
        assert store(vm, private, there + mine, 0)
        child = vmspace_fork(vm, private)
        vm_read(vm, child, there + vm.page_size - mine)
        for space in rng.sample((shared, private, child), 3):
            vmspace_exit(vm, space)
        if rng.random() < 0.2:
            vnode_pager_uncache(vm, vnode(vm, rng.randrange(FILES)))


def test_processes_share_a_cache_that_is_too_small(vm_of):
    vm = vm_of(files=(2 * 4096,) * FILES, cache_max=2, pages=64)
    with services(vm) as team:
        for me in range(2):
            team.start(f"user {me}", user, me, 150)

        said = team.wait("user 0", "user 1")

        assert said == dict.fromkeys(said, "fine"), "\n".join(said.values())
    assert audit(vm) == []
    cache_clear(vm)
    assert all_gone(vm) == []
    assert all(on_disk(vm, me, file) > 0 for me in range(2) for file in range(FILES))
