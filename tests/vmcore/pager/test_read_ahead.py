"""Clustered page-in: which neighbours come along, and that they cost no other thread anything."""

import os
from contextlib import contextmanager

import pytest

from tests.vmcore.builders import Team, claims, failing, frame, queue, services, stamp, wrong_counts
from tests.vmcore.builders_objects import (
    contents,
    fill,
    number,
    page_at,
    read,
    resident,
    space_of,
    swap_out,
    top,
    write,
)
from vmcore.constants import (
    PG_BUSY,
    PG_CLEAN,
    PG_FAKE,
    PG_INACTIVE,
    VM_PAGER_ERROR,
)
from vmcore.page.page import frame_free, object_pages
from vmcore.pager.swap_io import reap
from vmcore.space.access import vm_read
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map, vmspace_exit
from vmcore.stats import counters
from vmcore.vm_error import VmFault

PAGES = 300  # blocks of 8 pages


@pytest.fixture
def asleep(vm):
    """A space whose pages 0 to 23 are in swap: three windows of 8."""
    space = space_of(vm, PAGES)
    fill(vm, space, {index: 100 + index for index in range(24)})
    swap_out(vm, top(vm, space))
    assert resident(vm, top(vm, space)) == []
    return vm, space


@contextmanager
def reads(monkeypatch):
    """Lengths, in pages, of the real reads made meanwhile."""
    lengths, real = [], os.preadv

    def counting(descriptor, memory, offset):
        lengths.append(len(memory))
        return real(descriptor, memory, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", counting)
        yield lengths


def test_the_window_comes_with_one_read(asleep, monkeypatch):
    vm, space = asleep
    obj = top(vm, space)

    with reads(monkeypatch) as lengths:
        assert read(vm, space, 10) == 110

    assert lengths == [8]
    assert resident(vm, obj) == list(range(8, 16))
    assert (vm.me.stats.v_pageins, vm.me.stats.pager_reads) == (8, 1)
    extra = [page for page in object_pages(vm, obj) if page.offset // vm.page_size != 10]
    assert all(page.flags_p == PG_INACTIVE for page in extra), "unused: the first to go again, no laundry"
    assert all(page.flags_o & PG_CLEAN and not page.flags_o & (PG_BUSY | PG_FAKE) for page in extra)
    assert queue(vm, "active") == [page_at(vm, obj, 10).slot]
    assert obj.paging_in_progress == 0
    with reads(monkeypatch) as lengths:
        assert contents(vm, space, 24)[8:16] == list(range(108, 116))
    assert 8 in lengths
    assert len(lengths) == 2, "the other two windows"


def test_pages_that_are_resident_or_not_in_the_pager_end_the_run(asleep):
    vm, space = asleep
    obj = top(vm, space)
    write(vm, space, 26, 7)
    swap_out(vm, obj)
    assert resident(vm, obj) == []

    read(vm, space, 23)
    assert resident(vm, obj) == list(range(16, 24))
    read(vm, space, 26)
    assert resident(vm, obj) == [*range(16, 24), 26], "24, 25 and 27 never had contents"

    assert contents(vm, space, 28)[24:] == [0, 0, 7, 0]


def test_a_neighbour_that_is_newer_in_memory_is_left_alone(asleep):
    vm, space = asleep
    obj = top(vm, space)
    read(vm, space, 3)
    write(vm, space, 5, 555)
    swap_out(vm, obj, 3)

    assert read(vm, space, 3) == 103
    assert read(vm, space, 5) == 555


@pytest.mark.parametrize(("most", "come"), [(1, [3]), (3, [3, 4, 5]), (6, [2, 3, 4, 5, 6, 7])])
def test_the_option_bounds_the_run_and_one_turns_it_off(vm_of, most, come):
    vm = vm_of(cluster_pages=most)
    space = space_of(vm, PAGES)
    fill(vm, space, {index: index for index in range(8)})
    swap_out(vm, top(vm, space))

    assert read(vm, space, 3) == 3

    assert resident(vm, top(vm, space)) == come


@pytest.mark.parametrize("spare", [0, 3])
def test_reading_ahead_leaves_the_daemon_its_target(asleep, spare):
    vm, space = asleep
    target = vm.g.v_free_target
    taken = [frame(vm) for _ in range(vm.g.v_free_count - target - 1 - spare)]

    assert read(vm, space, 0) == 100

    assert len(resident(vm, top(vm, space))) == 1 + spare
    assert (vm.g.v_free_count, vm.g.memory_waiters, vm.me.stats.memory_waits) == (target, 0, 0)
    assert not vm.g.pages_needed
    for page in taken:
        frame_free(vm, page)


def test_a_neighbour_that_cannot_be_read_does_not_fail_the_fault(asleep):
    vm, space = asleep
    obj, free = top(vm, space), vm.g.v_free_count
    one = vm.page_size
    vm.io.hook = lambda _kind, _what, length: length <= one

    assert read(vm, space, 2) == 102

    vm.io.hook = None
    assert resident(vm, obj) == [2]
    assert (vm.g.v_free_count, obj.paging_in_progress, claims(vm)) == (free - 1, 0, {})
    assert vm.me.stats.v_pageins == 1


def test_a_failed_read_gives_every_page_of_the_run_back(asleep):
    vm, space = asleep
    free = vm.g.v_free_count
    vm.io.hook = failing("swap_read")

    with pytest.raises(VmFault):
        read(vm, space, 2)

    vm.io.hook = None
    assert (resident(vm, top(vm, space)), vm.g.v_free_count) == ([], free)
    assert (claims(vm), wrong_counts(vm)) == ({}, [])
    assert read(vm, space, 2) == 102


def test_an_injected_error_for_the_run_falls_back_to_the_page_alone(asleep):
    vm, space = asleep
    answers = iter([VM_PAGER_ERROR, None])
    vm.io.result_hook = lambda kind, *_: next(answers) if kind == "get" else None

    assert read(vm, space, 2) == 102

    assert resident(vm, top(vm, space)) == [2]


def test_during_a_read_all_pages_of_the_run_are_busy_under_one_count(asleep):
    vm, space = asleep
    obj, seen = top(vm, space), []

    def look(kind, _what, length):
        if kind == "swap_read" and length > vm.page_size:
            flags = {page.flags_o & (PG_BUSY | PG_FAKE) for page in object_pages(vm, obj)}
            queued = {page.flags_p for page in object_pages(vm, obj)}
            seen.append((flags, queued, obj.paging_in_progress, len(claims(vm))))

    vm.io.hook = look
    read(vm, space, 0)

    assert seen == [({PG_BUSY | PG_FAKE}, {0}, 1, 9)], "eight pages and one share of the count are claimed"


def test_a_file_is_read_ahead_to_its_end_and_the_rest_of_the_page_is_zero(vm_of):
    size = 11 * 4096 + 40
    vm = vm_of(files=(size,))
    os.pwrite(vm.files[0], b"".join(stamp(vm, 50 + index) for index in range(12))[:size], 0)
    space = space_of(vm, 4)
    at = vm_map_file(vm, space_map(vm, space), vm.vnodes.views[1], 16 * vm.page_size)

    data = vm_read(vm, space, at + 9 * vm.page_size)

    assert number(data) == 59
    assert vm.me.stats.pager_reads == 1
    assert vm.me.stats.v_pageins == 8
    for index in range(5, 11):
        assert number(vm_read(vm, space, at + index * vm.page_size)) == 50 + index
    assert vm_read(vm, space, at + 11 * vm.page_size) == stamp(vm, 61)[:40] + bytes(vm.page_size - 40)
    vmspace_exit(vm, space)


def test_a_thread_that_waits_for_a_neighbour_gets_it(asleep):
    """A reader of another page of the run sleeps until the one read has ended, and reads nothing itself."""
    vm, space = asleep
    go_r, go_w = os.pipe()
    busy_r, busy_w = os.pipe()

    def hold(kind, _what, length):
        if kind == "swap_read" and length > vm.page_size:
            os.write(busy_w, b"x")
            os.read(go_r, 1)

    def first(vm):
        vm.io.hook = hold
        assert read(vm, space, 0) == 100

    def second(vm):
        os.read(busy_r, 1)
        vm.io.hook = failing("swap_read")
        vm.io.result_hook = lambda *_: VM_PAGER_ERROR
        os.write(go_w, b"x")
        assert read(vm, space, 5) == 105

    team = Team(vm)
    team.start("first", first)
    team.start("second", second)
    said = team.wait()
    for descriptor in (go_r, go_w, busy_r, busy_w):
        os.close(descriptor)

    assert said == {"first": "fine", "second": "fine"}
    assert top(vm, space).paging_in_progress == 0
    assert resident(vm, top(vm, space)) == list(range(8))


def test_processes_with_services_read_ahead_once_there_is_memory(vm_of):
    vm = vm_of(pages=128)
    spaces = [space_of(vm, PAGES) for _ in range(3)]

    def live(vm, space, salt):
        for turn in range(2):
            fill(vm, space, {index: salt + turn + index for index in range(100)})
            look(vm, space, salt)

    def look(vm, space, salt):
        found = contents(vm, space, 100)
        assert found == [found[0] + index for index in range(100)]
        assert found[0] in (salt, salt + 1)

    with services(vm) as team:
        for body, users in ((live, (1, 2, 3)), (look, (1, 2))):
            for user in users:
                team.start(f"user {user}", body, spaces[user - 1], user * 1000)
            said = team.wait(*(f"user {user}" for user in users))
            assert set(said.values()) == {"fine"}, "\n".join(said.values())
            if body is live:
                vmspace_exit(vm, spaces.pop())

    reap(vm, True)
    total = counters(vm)
    assert total["v_pageins"] > total["pager_reads"] > 0, "nothing was read ahead"
    for space in spaces:
        vmspace_exit(vm, space)
    assert (vm.g.swap_used, vm.g.v_free_count) == (0, vm.config.pages)
