"""Pagers that refuse, fail, come late and out of order: the VM survives, and never shows old data."""

import os
from dataclasses import replace

import pytest

from harness.errors import BadInput, Panic
from stress.disk_faults import ANSWERS, NAMES, DiskFaults, Disturbance, counted
from stress.run.world import Setting, World
from tests.vmcore.builders import (
    Team,
    leaks,
    locked,
    new_object,
    new_page,
    services,
    stamp,
    wrong_counts,
)
from tests.vmcore.builders_objects import (
    clean,
    fill,
    page_at,
    read,
    space_of,
    swap_out,
    swapped,
    top,
    va,
    write,
)
from vmcore.config import Config
from vmcore.constants import (
    KERN_PROTECTION_FAILURE,
    KERN_RESOURCE_SHORTAGE,
    PG_ACTIVE,
    PG_BUSY,
    PG_CLEAN,
    PG_INACTIVE,
    PG_LAUNDRY,
    SPC_BUSY,
    VM_PAGER_AGAIN,
    VM_PAGER_BAD,
    VM_PAGER_ERROR,
    VM_PAGER_FAIL,
    VM_PAGER_OK,
    VM_PAGER_PEND,
)
from vmcore.object.object_pager import ensure_pager
from vmcore.page.page import frame_alloc
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.pageout.pageout_page import pageout_page
from vmcore.pager.pager import vm_pager_has_page
from vmcore.pager.swap_io import next_write, reap, write_record
from vmcore.space.access import vm_read, vm_write
from vmcore.space.vmspace import vmspace_exit
from vmcore.stats import counters
from vmcore.vm_error import VmFault


def only(kind, *answers):
    """A hook that gives these answers, one after the other, to questions of one kind; then none."""
    left = list(answers)
    return lambda asked, _what, _offset: left.pop(0) if asked == kind and left else None


def inactive(vm, obj, index):
    page = new_page(vm, obj, index, number=index)
    with locked(vm.page_queue_lock):
        vm_page_deactivate(vm, page)
    return page


def page_out(vm, obj, page):
    with locked(vm.page_queue_lock):
        assert obj.lock.try_acquire()
        return pageout_page(vm, page, obj)


def do_next_write(vm):
    """One turn of the disk worker."""
    record = next_write(vm)
    assert record is not None
    write_record(vm, record)
    return record


# --- the seam


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("get", VM_PAGER_FAIL),
        ("get", VM_PAGER_AGAIN),
        ("put", VM_PAGER_OK),
        ("disk", VM_PAGER_OK),
        ("put", VM_PAGER_BAD),
    ],
)
def test_an_answer_that_would_be_a_lie_is_refused(vm, kind, answer):
    """FAIL to a page-in would be old contents; OK to a write that was not done would lose it."""
    vm.io.result_hook = lambda *_: answer

    with pytest.raises(Panic, match=f"cannot answer {answer} to {kind}"):
        vm.io.result(kind, 1, 0)


def test_a_hook_is_told_pager_and_offset_and_may_abstain(vm):
    space, asked = space_of(vm, 8), []
    vm.io.result_hook = lambda *question: asked.append(question)
    write(vm, space, 5, 55)

    swap_out(vm, top(vm, space))
    assert read(vm, space, 5) == 55

    pager = vm.pagers(top(vm, space).pager).slot
    assert asked == [("put", pager, 5 * vm.page_size), ("get", pager, 5 * vm.page_size)]


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (VM_PAGER_FAIL, PG_ACTIVE),
        (VM_PAGER_ERROR, PG_ACTIVE),
        (VM_PAGER_AGAIN, PG_INACTIVE | PG_LAUNDRY),
    ],
)
def test_a_refused_page_out_leaves_the_page_dirty_and_not_owned(vm, answer, state):
    obj = new_object(vm, 8)
    page = inactive(vm, obj, 0)
    vm.io.result_hook = only("put", answer)

    assert page_out(vm, obj, page) == answer

    assert (page.flags_p, page.flags_o & (PG_BUSY | PG_CLEAN)) == (state, 0)
    assert (obj.paging_in_progress, vm.g.swap_used) == (0, 0)


def test_an_accepted_write_that_fails_leaves_no_old_copy_behind(vm):
    obj = new_object(vm, 8)
    page = inactive(vm, obj, 0)
    assert page_out(vm, obj, page) == VM_PAGER_PEND
    do_next_write(vm)
    assert reap(vm, True) == 1
    pager = vm.pagers(obj.pager)
    assert vm_pager_has_page(vm, pager, 0)
    page.flags_o &= ~PG_CLEAN
    page.flags_p |= PG_LAUNDRY
    vm.io.result_hook = only("disk", VM_PAGER_ERROR)

    assert page_out(vm, obj, page) == VM_PAGER_PEND
    do_next_write(vm)
    assert reap(vm, True) == 0

    assert not vm_pager_has_page(vm, pager, 0)
    assert page.flags_p == PG_INACTIVE | PG_LAUNDRY
    assert not page.flags_o & (PG_BUSY | PG_CLEAN)


def test_a_write_that_is_overtaken_ends_after_the_others(vm):
    obj = new_object(vm, 64)
    with locked(obj):
        assert ensure_pager(vm, obj)
    pages = [inactive(vm, obj, index) for index in (0, 8, 16)]  # three blocks: three writes
    for page in pages:
        assert page_out(vm, obj, page) == VM_PAGER_PEND
    vm.io.result_hook = only("disk", VM_PAGER_PEND)
    ended = []

    turns = 0
    while vm.g.writes_queued:
        record, turns = do_next_write(vm), turns + 1
        if record.state != SPC_BUSY:
            ended.append(record.page)

    assert ended == [page.slot for page in (pages[1], pages[2], pages[0])]
    assert turns == 4
    assert (vm.g.writes_queued, vm.g.writes_in_flight) == (0, 0)
    assert reap(vm, True) == 3


def test_a_failed_page_in_is_an_error_for_this_access_only(vm):
    space = space_of(vm, 8)
    write(vm, space, 3, 33)
    swap_out(vm, top(vm, space))
    vm.io.result_hook = only("get", VM_PAGER_ERROR)

    with pytest.raises(VmFault) as caught:
        read(vm, space, 3)

    assert caught.value.code == KERN_PROTECTION_FAILURE
    assert read(vm, space, 3) == 33


def test_cleaning_asks_again_after_again(vm):
    space = space_of(vm, 8)
    fill(vm, space, {0: 10, 1: 11})
    vm.io.result_hook = only("put", VM_PAGER_AGAIN, VM_PAGER_AGAIN)

    assert clean(vm, space, 0, True)

    assert swapped(vm, top(vm, space)) == 2


def test_cleaning_that_cannot_queue_a_write_waits_for_it_instead(vm_of):
    """All memory is taken, for good: a wait for the frame of a queued write would never end."""
    vm = vm_of(pages=32)
    space = space_of(vm, 8)
    fill(vm, space, {0: 10, 1: 11})
    while frame_alloc(vm, vm.g.v_free_reserved) is not None:
        pass

    assert clean(vm, space, 0, False)

    assert swapped(vm, top(vm, space)) == 2
    assert [page_at(vm, top(vm, space), page).flags_o & PG_CLEAN for page in range(2)] == [PG_CLEAN] * 2


def test_cleaning_that_fails_says_so_and_keeps_the_page_dirty(vm):
    space = space_of(vm, 8)
    write(vm, space, 0, 10)
    vm.io.result_hook = only("put", VM_PAGER_ERROR)

    assert not clean(vm, space, 0, True)

    page = page_at(vm, top(vm, space), 0)
    assert not page.flags_o & PG_CLEAN
    assert read(vm, space, 0) == 10


# --- faults drawn from a seed


def draw(vm, faults, times=200):
    disturbance = Disturbance(vm, faults)
    kinds = sorted(ANSWERS)
    return [disturbance.answer(kinds[i % 3], i % 5, i // 7 * 4096) for i in range(times)]


def test_the_same_seed_disturbs_the_same_transfers(vm):
    faults = DiskFaults(
        seed=5, put_fail=0.2, put_error=0.2, put_again=0.2, get_error=0.4, disk_error=0.3, overtaken=0.3
    )

    drawn = draw(vm, faults)

    assert drawn == draw(vm, faults)
    assert drawn != draw(vm, replace(faults, seed=6))
    assert {None, VM_PAGER_FAIL, VM_PAGER_ERROR, VM_PAGER_AGAIN, VM_PAGER_PEND} == set(drawn)


def test_every_disturbance_is_counted_whichever_process_met_it(vm):
    faults, team = DiskFaults(seed=1, put_again=0.5), Team(vm)
    here = draw(vm, faults).count(VM_PAGER_AGAIN)

    team.start("other", lambda vm: draw(vm, faults))
    assert team.wait() == {"other": "fine"}

    assert here > 0
    assert counted(vm.arena) == dict.fromkeys(NAMES, 0) | {"put_again": 2 * here}


@pytest.mark.parametrize("wrong", [{"put_fail": 0.5, "put_again": 0.5}, {"get_error": -0.1}, {"late": 2}])
def test_a_store_with_which_nothing_could_end_is_refused(wrong):
    with pytest.raises(BadInput):
        DiskFaults(seed=1, **wrong)


def test_a_world_with_faults_disturbs_its_vm(tmp_path):
    faults = DiskFaults(seed=3, put_error=0.9)
    config = Config(pages=64, swap_pages=64, directory=str(tmp_path))

    world = World.boot(Setting(name="bad disk", config=config, workers=1, faults=faults))

    assert {world.vm.io.result("put", 1, 0) for _ in range(50)} == {None, VM_PAGER_ERROR}
    assert counted(world.arena)["put_error"] > 0
    world.arena.native.leave()
    world.close()


# --- everything together, in processes

ROUGH = DiskFaults(
    seed=77, put_fail=0.1, put_error=0.1, put_again=0.1, get_error=0.1, disk_error=0.2, overtaken=0.3,
    late=0.2, late_ms=3,
)  # fmt: skip
USED = 60
TURNS, MOST_TURNS = 4, 40


def live(vm, space, salt, unavailable):
    """Store and load until every kind of fault was met; an access may fail, a value may not be old."""
    newest = {}
    for turn in range(MOST_TURNS):
        if turn >= TURNS and min(counted(vm.arena).values()) > 0:
            return
        for page in range(USED):
            value = salt + turn * 1000 + page
            insist(
                lambda page=page, value=value: vm_write(vm, space, va(vm, page), stamp(vm, value)),
                unavailable,
            )
            newest[page] = value
        for page in range(USED):
            data = insist(lambda page=page: vm_read(vm, space, va(vm, page)), unavailable)
            assert data == stamp(vm, newest[page]), f"page {page} of {salt} is old or torn"


def insist(access, unavailable):
    for _ in range(200):
        try:
            return access()
        except VmFault as fault:
            if fault.code not in (KERN_PROTECTION_FAILURE, KERN_RESOURCE_SHORTAGE):
                raise
            os.write(unavailable, b"x")
    raise AssertionError("unavailable for ever")


@pytest.mark.parametrize("cluster_pages", [1, 8])
def test_on_a_bad_disk_data_may_be_unavailable_but_is_never_old(vm_of, cluster_pages):
    vm = vm_of(pages=96, cluster_pages=cluster_pages)
    ROUGH.install(vm)
    spaces = [space_of(vm, 300) for _ in range(3)]
    misses, failed = os.pipe()

    with services(vm, disks=2) as team:
        for number, space in enumerate(spaces, 1):
            team.start(f"user {number}", live, space, number * 100_000, failed)
        said = team.wait(*(f"user {number}" for number in (1, 2, 3)))
        assert set(said.values()) == {"fine"}, "\n".join(said.values())
        for space in spaces:
            vmspace_exit(vm, space)  # while writes of its pages are late

    reap(vm, True)
    assert (leaks(vm), wrong_counts(vm)) == ([], [])
    assert (vm.g.swap_used, vm.g.v_free_count) == (0, vm.config.pages)
    met = counted(vm.arena)
    assert min(met.values()) > 0, f"a kind of fault never happened: {met}"
    assert counters(vm)["v_pageouts"] > 0
    assert os.read(misses, 1 << 16)
    os.close(misses)
    os.close(failed)
