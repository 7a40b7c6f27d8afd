"""Snapshots of files: copy-objects, and the push that every writer owes them (MAP_COPY)."""

import pytest

from harness.shm.roster import Roster
from tests.harness.actors import wait_until
from tests.vmcore.builders import Team, locked, services, stamp
from tests.vmcore.builders_files import resize
from tests.vmcore.builders_objects import (
    BASE,
    chain,
    contents,
    empty_space,
    fork,
    live_objects,
    number,
    page_at,
    read,
    resident,
    swap_out,
    top,
    va,
    write,
)
from tests.vmcore.fault.test_fault import in_thread, wait_until_wanted
from tests.vmcore.space.test_mlock import unwire, wire
from tests.waiting import join
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import KERN_RESOURCE_SHORTAGE, KERN_SUCCESS, PG_BUSY
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_cache import cache_clear
from vmcore.object.object_copy import vm_object_copy
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end
from vmcore.page.page import vm_page_free
from vmcore.page.page_queues import page_dequeue
from vmcore.page.page_wait import RELEASE_PAGE, page_busy
from vmcore.space.access import vm_read
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map, vmspace_exit
from vmcore.vm_error import VmError

PAGES = 3


@pytest.fixture
def file_vm(vm_of):
    return vm_of(files=(PAGES * 4096,))


def mapped(vm, shared=False, copy=False, pages=PAGES):
    """A space with the file mapped at BASE."""
    space = empty_space(vm)
    vm_map_file(
        vm, space_map(vm, space), vm.vnodes.views[1], pages * vm.page_size, 0, shared, BASE, copy=copy
    )
    return space


def leave_all(vm, *spaces):
    for space in spaces:
        vmspace_exit(vm, space)
    cache_clear(vm)
    assert audit(vm) == []
    assert all_gone(vm) == []


def copy_of(vm, writer):
    """The file's copy-object."""
    source = top(vm, writer)
    assert source.copy
    return vm.objects(source.copy)


def test_a_snapshot_keeps_what_the_file_was(file_vm):
    vm = file_vm
    writer = mapped(vm, shared=True)
    for page in range(PAGES):
        write(vm, writer, page, 10 + page)
    snapshot, plain = mapped(vm, copy=True), mapped(vm)

    for page in range(PAGES):
        write(vm, writer, page, 20 + page)

    assert contents(vm, snapshot, PAGES) == [10, 11, 12]
    assert contents(vm, plain, PAGES) == contents(vm, writer, PAGES) == [20, 21, 22]
    assert audit(vm) == []
    leave_all(vm, snapshot, plain, writer)


def test_a_page_seen_through_a_snapshot_is_unmapped_by_the_push(file_vm):
    vm = file_vm
    writer = mapped(vm, shared=True)
    write(vm, writer, 0, 1)
    snapshot = mapped(vm, copy=True)
    assert read(vm, snapshot, 0) == 1  # now its hardware map shows the file's own page

    write(vm, writer, 0, 2)

    assert read(vm, snapshot, 0) == 1
    assert resident(vm, copy_of(vm, writer)) == [0]
    leave_all(vm, snapshot, writer)


def test_a_page_that_the_file_has_got_since_is_not_pushed(file_vm):
    vm = file_vm
    snapshot = mapped(vm, copy=True)
    resize(vm, PAGES + 1)
    writer = mapped(vm, shared=True, pages=PAGES + 1)

    write(vm, writer, PAGES, 5)

    copy = copy_of(vm, writer)
    assert (resident(vm, copy), copy.size) == ([], PAGES * vm.page_size)
    assert not copy.lock.locked()
    assert contents(vm, snapshot, PAGES) == [0] * PAGES
    leave_all(vm, snapshot, writer)


def test_a_second_snapshot_shares_a_copy_object_only_if_untouched(file_vm):
    vm = file_vm
    writer = mapped(vm, shared=True)
    write(vm, writer, 0, 1)
    write(vm, writer, 1, 1)
    first, same = mapped(vm, copy=True), mapped(vm, copy=True)
    assert chain(vm, first) == chain(vm, same)

    write(vm, writer, 0, 2)
    second = mapped(vm, copy=True)
    write(vm, writer, 1, 3)

    assert chain(vm, first) == [top(vm, first).slot, top(vm, second).slot, top(vm, writer).slot]
    assert contents(vm, first, 2) == contents(vm, same, 2) == [1, 1]
    assert contents(vm, second, 2) == [2, 1]
    assert contents(vm, writer, 2) == [2, 3]
    assert resident(vm, top(vm, first)) == [0], "a copy that is no longer the newest gets no pushes"
    leave_all(vm, second, first, writer, same)


def test_stores_into_a_snapshot_stay_there_and_forks_inherit_it(file_vm):
    vm = file_vm
    writer = mapped(vm, shared=True)
    write(vm, writer, 0, 1)
    snapshot = mapped(vm, copy=True)
    child = fork(vm, snapshot)

    write(vm, snapshot, 0, 7)
    write(vm, writer, 0, 2)
    write(vm, writer, 1, 2)

    assert contents(vm, snapshot, 2) == [7, 0]
    assert contents(vm, child, 2) == [1, 0]
    assert contents(vm, writer, 2) == [2, 2]
    leave_all(vm, snapshot, writer, child)


def test_a_fork_of_a_private_mapping_does_not_freeze_the_file(file_vm):
    vm = file_vm
    writer, private = mapped(vm, shared=True), mapped(vm)
    child = fork(vm, private)

    write(vm, writer, 0, 5)

    assert read(vm, child, 0) == read(vm, private, 0) == 5
    assert not top(vm, writer).copy
    leave_all(vm, private, child, writer)


def test_a_pushed_page_that_lies_in_swap_is_not_pushed_again(file_vm):
    vm = file_vm
    writer = mapped(vm, shared=True)
    write(vm, writer, 0, 1)
    snapshot = mapped(vm, copy=True)
    write(vm, writer, 0, 2)
    copy = copy_of(vm, writer)
    swap_out(vm, copy)
    swap_out(vm, top(vm, writer))
    assert resident(vm, copy) == []

    write(vm, writer, 0, 3)  # paged in from the file: nothing says that it was pushed before

    assert resident(vm, copy) == []
    assert read(vm, snapshot, 0) == 1
    leave_all(vm, snapshot, writer)


def test_the_last_user_of_a_snapshot_frees_the_writer_of_its_duty(file_vm):
    vm = file_vm
    writer = mapped(vm, shared=True)
    write(vm, writer, 0, 1)
    before = live_objects(vm)
    snapshot = mapped(vm, copy=True)
    assert top(vm, writer).copy

    vmspace_exit(vm, snapshot)
    write(vm, writer, 0, 2)

    assert not top(vm, writer).copy
    assert live_objects(vm) == before
    leave_all(vm, writer)


def test_without_a_record_for_the_copy_object_nothing_has_changed(vm_of):
    vm = vm_of(files=(PAGES * 4096,), objects=4)
    writer = mapped(vm, shared=True)
    write(vm, writer, 0, 1)
    crowd = [mapped(vm)]  # the last record; two are the kernel's

    with pytest.raises(VmError) as caught:
        mapped(vm, copy=True)

    assert caught.value.code == KERN_RESOURCE_SHORTAGE
    assert not top(vm, writer).copy
    assert top(vm, writer).ref_count == 2  # the writer's entry, and the private mapping's shadow
    write(vm, writer, 0, 2)
    leave_all(vm, writer, *crowd, *[space for space in vm.vmspaces.live() if space not in (writer, *crowd)])


def test_the_audit_sees_a_store_that_owes_a_push(file_vm):
    vm = file_vm
    writer = mapped(vm, shared=True)
    write(vm, writer, 0, 1)
    snapshot = mapped(vm, copy=True)
    write(vm, writer, 0, 2)
    assert audit(vm) == []
    there = page_at(vm, copy_of(vm, writer), 0)

    with locked(copy_of(vm, writer)), vm.page_queue_lock:
        vm_page_free(vm, there)  # as if it had never been pushed

    assert [line[:4] for line in audit(vm)] == ["A13:"]
    leave_all(vm, snapshot, writer)


def own(vm, obj, page):
    """Make a resident page busy, with a paging count: what a fault in flight does."""
    with locked(obj):
        with vm.page_queue_lock:
            page_dequeue(vm, page)
            page_busy(vm, page)
        vm_object_paging_begin(vm, obj)


def disown(vm, obj, page):
    with locked(obj):
        RELEASE_PAGE(vm, page)
        vm_object_paging_end(vm, obj)


def test_a_writer_that_waits_for_the_copys_page_keeps_its_own_busy(file_vm):
    vm = file_vm
    writer = mapped(vm, shared=True)
    write(vm, writer, 0, 1)
    snapshot = mapped(vm, copy=True)
    write(vm, writer, 0, 2)
    source, copy = top(vm, writer), copy_of(vm, writer)
    there = page_at(vm, copy, 0)
    own(vm, copy, there)
    swap_out(vm, source)  # so that the writer must fault

    thread, result = in_thread(write, vm, writer, 0, 3)
    wait_until_wanted(vm, there)

    assert page_at(vm, source, 0).flags_o & PG_BUSY, "the writer gave its page up"
    assert not source.lock.locked()
    disown(vm, copy, there)
    join(thread)
    assert result == [None]
    assert read(vm, snapshot, 0) == 1
    assert read(vm, writer, 0) == 3
    leave_all(vm, snapshot, writer)


def test_a_thread_that_finds_the_copy_object_locked_tries_again(file_vm):
    vm = file_vm
    writer = mapped(vm, shared=True)
    write(vm, writer, 0, 1)
    snapshot = mapped(vm, copy=True)
    source, copy = top(vm, writer), copy_of(vm, writer)
    copy.lock.acquire()

    pusher, pushed = in_thread(write, vm, writer, 0, 2)
    copier, copied = in_thread(vm_object_copy, vm, source, 0, source.size)
    wait_until(lambda: sum(row.failures >= 3 for row in Roster(vm.arena).rows()) == 2, "two that try again")
    assert not pushed
    assert not copied
    copy.lock.release()
    join(pusher)
    join(copier)

    assert pushed == [None]
    made, _, source_too = copied[0]
    assert not source_too
    vm_object_deallocate(vm, made)
    assert read(vm, snapshot, 0) == 1
    assert read(vm, writer, 0) == 2
    leave_all(vm, snapshot, writer)


# --- several processes


def storer(vm, rounds):
    """Stores n to page 0, then to page 1, then to page 2; a cut through this is n, n, n or a stair."""
    space = mapped(vm, shared=True)
    for n in range(1, rounds + 1):
        for page in range(PAGES):
            write(vm, space, page, n)
    vmspace_exit(vm, space)


def snapshotter(vm, me, rounds):
    """Takes snapshots, and looks at each twice in different orders."""
    newest = 0
    for turn in range(rounds):
        space = mapped(vm, copy=True)
        first = [number(vm_read(vm, space, va(vm, page))) for page in range(PAGES)]
        if (turn + me) % 3 == 0:
            other = fork(vm, space)
            vmspace_exit(vm, space)
            space = other
        again = [number(vm_read(vm, space, va(vm, page))) for page in reversed(range(PAGES))][::-1]
        vmspace_exit(vm, space)
        assert first == again, f"a snapshot changed from {first} to {again}"
        assert sorted(first, reverse=True) == first, f"{first} never was"
        assert first[0] - first[-1] <= 1, f"{first} never was"
        assert first[-1] >= newest, f"{first} is older than what was seen before"
        newest = first[-1]


def test_snapshots_taken_while_the_file_is_written_are_one_instant_each(vm_of):
    vm = vm_of(files=(PAGES * 4096,), pages=40)
    with services(vm) as team:
        crowd = Team(vm)
        crowd.start("storer", storer, 250)
        for me in range(2):
            crowd.start(f"snapshotter {me}", snapshotter, me, 120)

        said = crowd.wait()

        assert said == dict.fromkeys(said, "fine"), "\n".join(said.values())
        assert team.members
    assert audit(vm) == []
    space = mapped(vm, shared=True)
    assert number(vm_read(vm, space, BASE)) == 250
    assert stamp(vm, 250) == vm_read(vm, space, va(vm, 2))
    leave_all(vm, space)


def test_wiring_shared_pages_copies_them_for_the_snapshot_like_a_store(file_vm):
    vm = file_vm
    writer = mapped(vm, shared=True)
    for page in range(PAGES):
        write(vm, writer, page, 10 + page)
    snapshot = mapped(vm, copy=True)

    assert wire(vm, writer, 1, 3) == KERN_SUCCESS
    assert unwire(vm, writer, 1, 3) == KERN_SUCCESS
    resize(vm, 0)

    assert [read(vm, snapshot, page) for page in (1, 2)] == [11, 12]
    leave_all(vm, writer, snapshot)
