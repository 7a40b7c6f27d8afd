"""Real processes map, share and leave the same few files, with a cache that keeps one of them.

Each process owns one page of every file and writes growing numbers there through shared
mappings.  A process that reads, through whatever mapping, must never see a number go back,
although objects are cached, trimmed, terminated, written out and read in all the time.
"""

import os
import random

from tests.vmcore.builders import services, stamp
from tests.vmcore.builders_objects import empty_space, number
from vmcore.audit.audit import all_gone, audit
from vmcore.object.object_cache import cache_clear
from vmcore.space.access import vm_read, vm_write
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_fork
from vmcore.stats import counters

FILES, WORKERS = 3, 3


def mapper(vm, me, rounds):
    rng = random.Random(me)
    size = vm.page_size
    seen: dict[tuple[int, int], int] = {}
    serial = 0

    def check(space, start, file, kept):
        for page in range(WORKERS):
            data = vm_read(vm, space, start + page * size)
            if page in kept:
                assert number(data) == kept[page]
            else:
                # A store through another hardware map may be half done, as on real
                # machines; so each word is a reading of its own.
                value = min(memoryview(data).cast("Q"))
                assert value >= seen.get((file, page), 0), f"file {file} page {page} went back to {value}"
                seen[file, page] = value

    for _ in range(rounds):
        space = empty_space(vm)
        file, shared = rng.randrange(1, FILES + 1), rng.random() < 0.6
        start = vm_map_file(vm, space_map(vm, space), vm.vnodes.views[file], WORKERS * size, 0, shared)
        kept: dict[int, int] = {}
        check(space, start, file, kept)
        if shared:
            serial += 1
            vm_write(vm, space, start + me * size, stamp(vm, serial))
            seen[file, me] = serial
        else:
            page = rng.randrange(WORKERS)
            kept[page] = 1 << 40
            vm_write(vm, space, start + page * size, stamp(vm, kept[page]))
        child = vmspace_fork(vm, space)
        for one in rng.sample((space, child), 2):
            check(one, start, file, kept)
            vmspace_exit(vm, one)


def test_files_that_come_and_go_under_their_users(vm_of):
    vm = vm_of(files=(4096 * WORKERS,) * FILES, cache_max=1, pages=64)
    with services(vm) as team:
        names = [f"mapper {me}" for me in range(WORKERS)]
        for me, name in enumerate(names):
            team.start(name, mapper, me, 150)

        said = team.wait(*names)

        assert said == dict.fromkeys(said, "fine"), "\n".join(said.values())
    assert audit(vm) == []
    cache_clear(vm)
    assert all_gone(vm) == []
    assert counters(vm)["v_hits"] > 0, "no object was found again"
    last = [
        os.pread(vm.files[file], vm.page_size, me * vm.page_size)
        for file in range(FILES)
        for me in range(WORKERS)
    ]
    assert any(number(page) > 0 for page in last), "nothing ever reached a file"
