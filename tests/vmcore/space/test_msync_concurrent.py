"""Real processes share files that others resize, clean and invalidate while their objects come and go."""

import random

from tests.vmcore.builders import services
from tests.vmcore.builders_files import disk_size, mapped, on_disk, put, resize, store, vnode
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import KERN_PROTECTION_FAILURE, KERN_SUCCESS
from vmcore.object.object_cache import cache_clear
from vmcore.space.access import vm_read
from vmcore.space.msync import vm_map_clean
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_fork
from vmcore.stats import counters
from vmcore.vm_error import VmFault

PAGES = 6


def msync(vm, space, start, pages, sync, invalidate):
    return vm_map_clean(vm, space_map(vm, space), start, start + pages * vm.page_size, sync, invalidate)


def clear(vm):
    cache_clear(vm)
    assert all_gone(vm) == []


def user(vm, me, rounds):
    """Map, store one's own numbers, look at all, fork, leave; only zeros may come out of nothing."""
    rng = random.Random(me)
    for turn in range(rounds):
        space, start = mapped(vm, PAGES, rng.random() < 0.7)
        for _ in range(6):
            at = start + rng.randrange(PAGES) * vm.page_size
            if rng.random() < 0.5:
                store(vm, space, at, me << 32 | turn + 1)
            else:
                value = show_words(vm, space, at)
                assert value is None or value <= {0, *range(100, 100 + PAGES)} | stores(rounds)
        child = vmspace_fork(vm, space)
        for one in rng.sample((space, child), 2):
            show_words(vm, one, start)
            vmspace_exit(vm, one)


def stores(rounds):
    return {me << 32 | turn + 1 for me in range(1, 4) for turn in range(rounds)}


def show_words(vm, space, va):
    """The different words of a page: two spaces may store to one frame at once, as on real machines."""
    try:
        return set(memoryview(vm_read(vm, space, va)).cast("Q"))
    except VmFault as fault:
        if fault.code != KERN_PROTECTION_FAILURE:
            raise
        return None


def resizer(vm, me, rounds):
    rng = random.Random(me)
    for _ in range(rounds):
        resize(vm, rng.randrange(1, PAGES + 1))
        if rng.random() < 0.3:
            cache_clear(vm)


def test_processes_use_a_file_while_others_resize_and_release_it(vm_of):
    vm = vm_of(files=(PAGES * 4096,), cache_max=1, pages=64)
    for page in range(PAGES):
        put(vm, page, 100 + page)
    with services(vm) as team:
        for me in (1, 2, 3):
            team.start(f"user {me}", user, me, 60)
        for me in (4, 5):
            team.start(f"resizer {me}", resizer, me, 150)

        said = team.wait("user 1", "user 2", "user 3", "resizer 4", "resizer 5")

        assert said == dict.fromkeys(said, "fine"), "\n".join(said.values())
    assert audit(vm) == []
    assert disk_size(vm) == vnode(vm).v_size
    clear(vm)
    assert disk_size(vm) == vnode(vm).v_size
    assert counters(vm)["v_pageins"] > 0


def words(vm, space, va):
    """The words of a page: another space may store to the frame at the same time."""
    return memoryview(vm_read(vm, space, va)).cast("Q")


def writer(vm, me, rounds):
    """One's own page of each file, stored to and looked at; no other process stores there."""
    rng = random.Random(me)
    spaces = [mapped(vm, PAGES, True, file) for file in range(2)]
    last = [0, 0]
    for turn in range(1, rounds + 1):
        file = rng.randrange(2)
        space, start = spaces[file]
        at = start + me * vm.page_size
        assert set(words(vm, space, at)) == {last[file]}, "a store was lost"
        assert store(vm, space, at, turn)
        last[file] = turn
        seen = min(words(vm, space, start + rng.randrange(PAGES) * vm.page_size))
        assert seen <= rounds
    for space, _ in spaces:
        vmspace_exit(vm, space)


def syncer(vm, me, rounds):
    rng = random.Random(me)
    for _ in range(rounds):
        space, start = mapped(vm, PAGES, rng.random() < 0.7, rng.randrange(2))
        first = rng.randrange(PAGES)
        count = rng.randrange(1, PAGES - first + 1)
        show_first = start + first * vm.page_size
        words(vm, space, show_first)
        code, _ = msync(vm, space, show_first, count, rng.random() < 0.5, rng.random() < 0.7)
        assert code == KERN_SUCCESS
        vmspace_exit(vm, space)


def test_no_store_is_lost_while_others_clean_and_invalidate(vm_of):
    vm = vm_of(files=(PAGES * 4096,) * 2, pages=64, cache_max=1)
    with services(vm) as team:
        for me in range(3):
            team.start(f"writer {me}", writer, me, 250)
        for me in (7, 8):
            team.start(f"syncer {me}", syncer, me, 120)

        said = team.wait(*(f"writer {me}" for me in range(3)), "syncer 7", "syncer 8")

        assert said == dict.fromkeys(said, "fine"), "\n".join(said.values())
    assert audit(vm) == []
    clear(vm)
    assert all(on_disk(vm, me, file) > 0 for me in range(3) for file in range(2))
