"""Checked runs: mistakes planted by hand are caught within seconds and named for what they are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stress.run.runner
from harness.locks.contract import original
from stress.defect import find_defect
from stress.run.options import RunOptions
from stress.run.runner import run
from vmcore.constants import OBJ_WAITING, PG_CLEAN

FOUND_S = 45.0


def read_after_unlock(vm, object, via_shadow):
    """deallocate.survive that looks at the count once more, too late."""
    vm.cache_lock.release()
    alone = via_shadow or object.ref_count == 1
    object.lock.release()
    if via_shadow:
        vm.point("still alone?" if alone and object.ref_count == 1 else "not alone", object.slot)


def release_to_no_queue(vm, page):
    """RELEASE_PAGE that forgets the queue."""
    vm.page_queue_lock.acquire()
    original("page_wait.page_wakeup")(vm, page)
    vm.page_queue_lock.release()


def free_block_twice(vm, pager, block):
    """A swap block goes back to its pool two times."""
    original("swap.free_block")(vm, pager, block)
    vm.swap_blocks.free(block)


def no_wakeup(vm, object):
    """Threads that wait for paging to end are not woken."""
    object.flags &= ~OBJ_WAITING


def clean_and_unlock(vm, object, start, end, sync, dequeue, terminating=False):
    """page_clean that comes back without the lock.

    Enter:  object locked.
    Exit:   object locked.
    Takes:  any.
    Sleeps: yes (writes).
    """
    done = original("object_pages.vm_object_page_clean")(vm, object, start, end, sync, dequeue, terminating)
    object.lock.release()
    return done


def use_after_free(vm, object):
    """Terminate that reads the object after it was freed."""
    shadow = original("terminate.vm_object_terminate")(vm, object)
    vm.point("flags were", object.flags)
    return shadow


def zero_nothing(vm, page):
    """Fresh memory with the bytes of its last use: no lock is wrong, only the contents are."""
    page.flags_o &= ~PG_CLEAN


PLANTED: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "a count read after the unlock": (
        {"deallocate.survive": read_after_unlock}, "fork-storm", "unguarded_access",
        "ref_count is read",
    ),
    "a page on no queue": (
        {"page_wait.RELEASE_PAGE": release_to_no_queue}, "fork-storm", "invariant_violation",
        "is left on no queue",
    ),
    "a swap block freed twice": (
        {"swap.free_block": free_block_twice}, "long-lived-parent", "unguarded_access",
        "vm_swap_blocks",
    ),
    "a missing wakeup": (
        {"object_paging.wake_paging_waiters": no_wakeup}, "fork-storm", "lost_wakeup",
        "paging_in_progress",
    ),
    "page_clean comes back unlocked": (
        {"object_pages.vm_object_page_clean": clean_and_unlock}, "shared-msync",
        "contract_violation", "at exit it must hold object",
    ),
    "a stale link used after free": (
        {"terminate.vm_object_terminate": use_after_free}, "fork-storm", "unguarded_access",
        "stale link to vm_objects",
    ),
    "fresh memory that is not zero": (
        {"page.vm_page_zero_fill": zero_nothing}, "heap-growth", "wrong_data", "read 0x",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_caught_and_named(name, monkeypatch, tmp_path):
    replacements, scenario, verdict, said = PLANTED[name]
    planted = replace(find_defect("H1"), id="planted", replacements=replacements)
    monkeypatch.setattr(stress.run.runner, "find_defect", lambda _: planted)

    report = run(
        RunOptions(defect="planted", scenario=scenario, checked=True, seconds=FOUND_S, dump_dir=str(tmp_path))
    )

    found = [finding.summary for finding in report.findings if finding.verdict == verdict]
    assert found, [(finding.verdict, finding.summary) for finding in report.findings]
    assert any(said in summary for summary in found), found
    seats = [finding.summary.split(" ", 1)[0] for finding in report.findings if finding.verdict == verdict]
    assert len(seats) == len(set(seats)), f"one mistake of one thread is told twice: {found}"
    assert report.findings[0].reproduce.endswith("--checked")
    assert Path(report.findings[0].dump).is_file()


@pytest.mark.parametrize("mode", ["process", "thread"])
def test_nothing_is_found_where_nothing_is_planted(mode, tmp_path):
    report = run(RunOptions(mode=mode, checked=True, epochs=1, dump_dir=str(tmp_path)))

    assert report.findings == []
    assert report.epochs == 1


@pytest.mark.parametrize("options", [{"script": "L7", "defect": "L7"}, {"scenario": "fork-storm"}])
def test_the_command_to_reproduce_is_checked_too(options):
    assert RunOptions(checked=True, **options).command().endswith(" --checked")
    assert "--checked" not in RunOptions(**options).command()
