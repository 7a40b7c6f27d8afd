"""The space oracle: clean where the VM gives back what no thread can see, a leak where it does not."""

import os
import re
from contextlib import contextmanager

import msgspec
import pytest
from msgspec.structs import replace

from harness.watch.dump import build
from harness.watch.records import RunMeta, Suspicion
from harness.watch.snapshot import Reader, take
from stress.oracles import hidden_pages
from stress.oracles.at_rest import Leak, audit_at_rest
from stress.run.options import RunOptions
from stress.run.runner import run
from stress.run.world import Setting, World
from tests.stress.conftest import SIZES
from tests.vmcore.builders import locked
from tests.vmcore.builders_objects import below, chain, contents, fill, fork, space_of, swap_out, top, write
from vmcore.audit.reachability import Cells
from vmcore.config import Config
from vmcore.object import collapse
from vmcore.object.object_pager import ensure_pager
from vmcore.space.map_user import vm_deallocate
from vmcore.space.vmspace import space_map, vmspace_exit

PAGES = 4


@contextmanager
def world_with(**replacements):
    """A world with some steps of the VM replaced; no other thread is in it."""
    steps = {name.replace("__", "."): step for name, step in replacements.items()}
    name, config = f"space-{os.getpid()}", Config(**SIZES)
    made = World.boot(Setting(name=name, config=config, workers=1, replacements=steps))
    try:
        yield made.vm
    finally:
        made.arena.native.leave()
        made.close()


def refuse_paged_front(vm, object, wait=False, mypip=0):
    """The oldest mistake: an object that was ever paged out is left alone for ever."""
    if object.pager:
        return 0, False
    return REAL[0](vm, object, wait, mypip)


REAL = (collapse.vm_object_collapse,)  # in a tuple: the name of a replaced step is rebound everywhere


def long_lived_parent(vm, forks):
    """A parent whose newest object is paged out between a fork and the child's exit, again and again."""
    parent = space_of(vm, PAGES)
    fill(vm, parent, dict.fromkeys(range(PAGES), 0))
    for number in range(1, forks + 1):
        child = fork(vm, parent)
        write(vm, parent, number % PAGES, number)
        obj = top(vm, parent)
        with locked(obj):
            assert ensure_pager(vm, obj)
        swap_out(vm, obj)
        vmspace_exit(vm, child)
        yield parent


def test_a_paged_parent_that_never_collapses_is_a_leak_with_its_chain():
    with world_with(collapse__vm_object_collapse=refuse_paged_front) as vm:
        *_, parent = long_lived_parent(vm, 5)
        assert len(chain(vm, parent)) > 3

        with pytest.raises(Leak) as leak:
            audit_at_rest(vm)

    said = leak.value.facts
    assert said[0].startswith("space: ")
    assert re.fullmatch(r"space: \d+ of \d+ pages hidden, in the first epoch, the model needs 4", said[0])
    assert said[1].startswith("chain O"), "what has room in a report comes first"
    assert any(line.startswith("Q9: objects ") and "(overlay: 1 references)" in line for line in said)
    assert any(line.startswith("O") and " hides " in line for line in said)
    drawn = next(line for line in said if line.startswith("chain "))
    assert drawn.count("→") > 2
    assert "swap" in drawn


def test_a_left_pair_comes_first_while_hardly_anything_is_hidden():
    with world_with(collapse__vm_object_collapse=refuse_paged_front) as vm:
        for _ in long_lived_parent(vm, 1):
            pass

        with pytest.raises(Leak) as leak:
            audit_at_rest(vm)

    assert [fact.partition(" ")[0] for fact in leak.value.facts[:3]] == ["Q9:", "chain", "space:"]


def test_the_same_program_on_the_right_vm_is_no_leak():
    with world_with() as vm:
        for parent in long_lived_parent(vm, 5):  # noqa: B007 - the last one is looked at below
            audit_at_rest(vm)
        assert hidden_pages.report(vm.arena)["hidden_max"] == 0
        assert hidden_pages.report(vm.arena)["epochs"] == 5
        assert contents(vm, parent, PAGES) == [4, 5, 2, 3]
        vmspace_exit(vm, parent)


def test_the_growth_per_epoch_is_told():
    with world_with(collapse__vm_object_collapse=refuse_paged_front) as vm:
        grown = []
        for _ in long_lived_parent(vm, 6):
            facts = hidden_pages.watch_space(vm, None)
            grown.append(hidden_pages.report(vm.arena)["hidden"])

    assert grown == sorted(grown)
    assert grown[-1] >= grown[0] + 4
    assert f"{(grown[-1] - grown[0]) / 5:+.1f} per epoch over 6 epochs" in facts[0]


def refuse_bypass(vm, object, backing):
    """No object is ever bypassed."""
    backing.lock.release()
    return False


def test_a_bypass_that_is_refused_is_seen_too():
    with world_with(bypass__bypass=refuse_bypass) as vm:
        parent = space_of(vm, 2)
        fill(vm, parent, {0: 1, 1: 1})
        child = fork(vm, parent)
        fill(vm, child, {0: 2, 1: 2})

        facts = hidden_pages.watch_space(vm, None)

    assert any(line.startswith("Q9: ") and "(bypass: 2 references)" in line for line in facts)


def test_what_the_right_vm_bypasses_is_none():
    with world_with() as vm:
        parent = space_of(vm, 2)
        fill(vm, parent, {0: 1, 1: 1})
        child = fork(vm, parent)
        fill(vm, child, {0: 2, 1: 2})

        assert hidden_pages.watch_space(vm, None) == []
        assert len(chain(vm, child)) == 1


def test_hidden_pages_below_two_users_are_within_the_bound(world):
    vm = world.vm
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 1})
    child = fork(vm, parent)
    write(vm, parent, 0, 2)
    write(vm, child, 0, 3)
    base = below(vm, top(vm, parent))

    assert hidden_pages.watch_space(vm, None) == []

    looked = hidden_pages.measure(Cells(vm))
    assert looked.hidden == {base.slot: 1}
    assert (looked.used, looked.minimum, looked.blind) == (4, 3, 0)
    assert looked.used - looked.minimum <= looked.bound == 3
    assert hidden_pages.report(vm.arena)["hidden"] == 1


def test_a_user_that_does_not_look_is_a_leaf_like_a_visible_page(world):
    vm = world.vm
    parent = space_of(vm, 2)
    fill(vm, parent, {0: 1, 1: 1})
    child = fork(vm, parent)
    write(vm, parent, 0, 2)
    vm_deallocate(vm, space_map(vm, child), 0x10000, vm.page_size)

    looked = hidden_pages.measure(Cells(vm))

    assert (looked.used, looked.minimum, looked.blind, looked.unmapped) == (3, 2, 1, 0)
    assert hidden_pages.watch_space(vm, None) == []


def test_pages_of_an_unmapped_part_count_as_hidden_but_not_as_a_leak(world):
    vm = world.vm
    one = space_of(vm, 4)
    fill(vm, one, dict.fromkeys(range(4), 1))
    vm_deallocate(vm, space_map(vm, one), 0x11000, 3 * vm.page_size)

    assert hidden_pages.watch_space(vm, None) == []

    looked = hidden_pages.measure(Cells(vm))
    assert (looked.used, looked.minimum, looked.unmapped) == (4, 1, 3)


def test_the_sweep_reads_without_the_injected_errors_and_puts_them_back(world):
    io = world.vm.io
    io.hook = asked = lambda *_: False

    with hidden_pages.undisturbed(world.vm):
        inside = io.hook

    assert inside is None
    assert io.hook is asked
    io.hook = None


def test_nothing_audited_is_nothing_reported(world):
    assert hidden_pages.report(world.arena) == {}


def test_a_dump_of_a_leak_says_which_object_hides_what():
    with world_with(collapse__vm_object_collapse=refuse_paged_front) as vm:
        for _ in long_lived_parent(vm, 4):
            pass
        leak = Suspicion(verdict="leak", key="leak", seats=[], why="")
        reader = Reader(vm.arena)
        lines = build(reader, take(reader), leak, RunMeta(), with_stacks=False).sections["vmcore"]
        others = build(reader, take(reader), replace(leak, verdict="live"), RunMeta(), False).sections[
            "vmcore"
        ]

    assert any(line.startswith("space: ") for line in lines)
    assert any(" hides " in line for line in lines)
    assert not any(" hides " in line for line in others)


def test_a_dump_of_a_leak_has_the_growth_and_the_reason_of_each_holder():
    hidden = []
    with world_with(collapse__vm_object_collapse=refuse_paged_front) as vm:
        for parent in long_lived_parent(vm, 5):  # noqa: B007 - the last one is looked at below
            hidden_pages.watch_space(vm, None)
            hidden.append(hidden_pages.report(vm.arena)["hidden"])
        links = chain(vm, parent)
        lines = hidden_pages.hidden_lines(vm)
        held = {slot: len(pages) for slot, pages in Cells(vm).hidden().items()}

    assert f"  hidden pages at each audit, oldest first: {', '.join(map(str, hidden))}" in lines
    told = [re.match(r"  O(\d+) hides (\d+) pages \(.*\): (.*)", line) for line in lines]
    shown = [(int(one[1]), int(one[2]), one[3]) for one in told if one]
    assert {slot: count for slot, count, _ in shown} == held
    assert [count for _, count, _ in shown] == sorted(held.values(), reverse=True), "the largest first"
    for slot, _, why in shown:
        above = links[links.index(slot) - 1]
        assert why.startswith(f"only O{above} uses it and could take it over, but has not; ")
        assert (
            why.rpartition("; ")[2]
            == {
                0: "neither has a pager",
                1: f"O{slot if vm.objects.views[slot].pager else above} has a pager",
                2: "both have a pager",
            }[bool(vm.objects.views[slot].pager) + bool(vm.objects.views[above].pager)]
        )
    drawn = "→".join(f"O{slot}" for slot in links)
    assert any(re.sub(r"\([^)]*\)", "", line).strip() == drawn for line in lines)


def test_a_holder_with_two_users_stays_for_their_sake(world):
    vm = world.vm
    parent = space_of(vm, PAGES)
    fill(vm, parent, dict.fromkeys(range(PAGES), 1))
    children = [fork(vm, parent) for _ in range(2)]
    for each in (parent, *children):
        write(vm, each, 0, 2)

    lines = hidden_pages.hidden_lines(vm)

    bottom = chain(vm, parent)[-1]
    assert any(
        line.startswith(f"  O{bottom} hides 1 pages (+0): ") and "users, so it stays" in line
        for line in lines
    )


@pytest.mark.parametrize("seed", [3, 8])
def test_a_run_reports_its_space_and_is_clean(seed):
    report = run(RunOptions(seed=seed, epochs=2))

    assert report.findings == []
    assert set(report.space) >= {"used", "minimum", "hidden", "hidden_max", "chain_max"}
    assert report.space["epochs"] == 2
    assert report.space["used"] - report.space["minimum"] == report.space["hidden"]
    assert report.space["chain_max"] >= 2
    assert msgspec.to_builtins(report)["space"] == report.space
