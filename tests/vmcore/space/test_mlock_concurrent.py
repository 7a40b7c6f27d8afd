"""Wirers against all that other threads do: queued writers, page owners, forks, unmaps, the daemon."""

import mmap
import random
import sys
import threading

import pytest

from harness.shm.roster import Roster
from tests.harness.actors import LIMIT_S, wait_until
from tests.vmcore.builders import services
from tests.vmcore.builders_objects import (
    contents,
    entry_at,
    fill,
    fork,
    read,
    space_of,
    swap_out,
    top,
    va,
    write,
)
from tests.vmcore.fault.test_fault import in_thread
from tests.vmcore.space.test_mlock import unwire, wire
from tests.vmcore.space.test_mlock_shared import shared_entry
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import (
    KERN_INVALID_ADDRESS,
    KERN_INVALID_ARGUMENT,
    KERN_RESOURCE_SHORTAGE,
    KERN_SUCCESS,
    VM_INHERIT_COPY,
    VM_INHERIT_SHARE,
)
from vmcore.space.access import vm_read
from vmcore.space.map_protect import vm_map_inherit
from vmcore.space.map_user import vm_allocate, vm_deallocate
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_share

PAGES = 6


def slow_page_in(vm):
    """The next page-ins stop at the gate: (one is at it, the gate)."""
    arrived, gate = threading.Event(), threading.Event()

    def hook(kind, _what, _length):
        if kind == "swap_read":
            arrived.set()
            assert gate.wait(LIMIT_S), "no thread opened the gate"

    vm.io.hook = hook
    return arrived, gate


def doing(vm, activity):
    return lambda: any(row.activity == activity for row in Roster(vm.arena).rows())


def ended(*started):
    """Join the threads; what each returned."""
    for thread, _ in started:
        thread.join(LIMIT_S)
        assert not thread.is_alive(), "a thread hangs"
    return [result for _, result in started]


# --- led


def test_a_wirer_and_the_owner_of_a_page_get_past_a_queued_writer(vm):
    """The circle: wirer reads the map, waits for the page; its owner wants to read; a writer is queued."""
    space = space_of(vm, 4)
    fill(vm, space, {0: 1, 1: 2, 2: 3, 3: 4})
    swap_out(vm, top(vm, space), 2)
    amap = space_map(vm, space)
    arrived, gate = slow_page_in(vm)
    owner = in_thread(read, vm, space, 2)
    assert arrived.wait(LIMIT_S)
    wirer = in_thread(wire, vm, space, 0, 3)
    wait_until(lambda: vm.g.v_wire_count == 2, "the wirer at the page that is not there")
    writer = in_thread(vm_deallocate, vm, amap, va(vm, 3), vm.page_size)
    wait_until(doing(vm, "wait write"), "the writer")
    assert entry_at(vm, space, 3).wired_count == 0

    gate.set()

    assert ended(owner, wirer, writer) == [[3], [KERN_SUCCESS], [None]]
    vm.io.hook = None
    assert vm.g.v_wire_count == 3
    assert audit(vm) == []
    vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_a_fork_waits_for_the_wirers_of_the_shared_memory_it_copies(vm):
    one = space_of(vm, 4)
    fill(vm, one, {0: 1, 1: 2, 2: 3, 3: 4})
    vm_map_inherit(vm, space_map(vm, one), va(vm, 0), va(vm, 4), VM_INHERIT_SHARE)
    other = fork(vm, one)
    vm_map_inherit(vm, space_map(vm, other), va(vm, 0), va(vm, 4), VM_INHERIT_COPY)
    swap_out(vm, vm.objects(shared_entry(vm, one, 0).object), 2)
    arrived, gate = slow_page_in(vm)
    wirer = in_thread(wire, vm, one, 0, 4)
    assert arrived.wait(LIMIT_S)
    share = vm.sharing_maps(entry_at(vm, one).object)

    forker = in_thread(fork, vm, other)
    wait_until(lambda: Roster(vm.arena).waiting_for(share.chan.offset), "the fork, asleep")
    assert space_map(vm, other).lock.try_write(), "it waits with its map locked"
    space_map(vm, other).lock.release()
    gate.set()

    wired, forked = ended(wirer, forker)
    vm.io.hook = None
    copy = forked[0]
    assert wired == [KERN_SUCCESS]
    write(vm, other, 2, 30)
    assert (read(vm, one, 2), read(vm, copy, 2)) == (30, 3)
    assert contents(vm, copy, 4) == [1, 2, 3, 4]
    assert audit(vm) == []
    for space in (copy, other, one):
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


# --- at large


ENOUGH = 10  # different contents that another thread must have met, or nothing was going on beside it


def run(vm, mode, bodies):
    """Run the bodies beside daemon and disk, as threads of this process or as processes.

    The first one is given ``over``: it goes on until that says that all the others have ended.
    """
    ended_ones = mmap.mmap(-1, len(bodies))  # shared by threads and by forked processes alike
    first, *others = bodies

    def over():
        return all(ended_ones[1:])

    def marked(number, body):
        def run_and_say(vm_, *args):
            try:
                body(vm_, *args)
            finally:
                ended_ones[number] = 1

        return run_and_say

    bodies = {
        first: (*bodies[first], over),
        **{name: (marked(n, bodies[name][0]), *bodies[name][1:]) for n, name in enumerate(others, 1)},
    }
    with services(vm) as team:
        if mode == "process":
            for name, (body, *args) in bodies.items():
                team.start(name, body, *args)
            said = team.wait(*bodies)
            assert said == dict.fromkeys(said, "fine"), "\n".join(said.values())
            return
        usual = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)  # or each thread does most of its work in one go
        started = [in_thread(body, vm, *args) for body, *args in bodies.values()]
        for thread, _ in started:
            thread.join(LIMIT_S)
            assert not thread.is_alive(), "a thread hangs"
        sys.setswitchinterval(usual)
        assert [result for _, result in started] == [[None]] * len(started)


def enough(rounds, met):
    """So many rounds, and more until enough different contents have been met."""
    yield from range(rounds)
    for extra in range(100 * rounds):
        if len(met) >= ENOUGH:
            return
        yield rounds + extra
    raise AssertionError(f"nothing changed beside us: {met}")


def seed_writer(vm, seed, over):
    """Page after page, round after round: a snapshot never shows a page newer than the one before."""
    number = 0
    while not over():
        number += 1
        for page in range(PAGES):
            write(vm, seed, page, number)
    vmspace_exit(vm, seed)


def wirer(vm, seed, number, rounds):
    """Wires and unwires ranges of its own choice, and nothing that it has not wired."""
    rng = random.Random(number)
    mine: list[tuple[int, int]] = []
    for _ in range(rounds):
        if mine and rng.random() < 0.5:
            assert unwire(vm, seed, *mine.pop(rng.randrange(len(mine)))) == KERN_SUCCESS
            continue
        first = rng.randrange(PAGES)
        last = rng.randrange(first, PAGES) + 1
        if wire(vm, seed, first, last) == KERN_SUCCESS:
            mine.append((first, last))
    for first, last in mine:
        assert unwire(vm, seed, first, last) == KERN_SUCCESS
    vmspace_exit(vm, seed)


def forker(vm, seed, number, rounds):
    """A fork is one instant, wired or not, and no other thread uses its child."""
    rng = random.Random(number)
    versions: set[int] = set()
    for serial in enough(rounds, versions):
        child = fork(vm, seed)
        seen = contents(vm, child, PAGES)
        versions.add(seen[0])
        assert seen == sorted(seen, reverse=True), seen
        assert seen[0] - seen[-1] <= 1, seen
        page = rng.randrange(PAGES)
        write(vm, child, page, number << 32 | serial)
        seen[page] = number << 32 | serial
        assert contents(vm, child, PAGES) == seen
        vmspace_exit(vm, child)
    vmspace_exit(vm, seed)


@pytest.mark.parametrize("pages", [1000, 40])
@pytest.mark.parametrize("mode", ["thread", "process"])
def test_wirers_writers_and_forks_in_one_space(vm_of, mode, pages):
    vm = vm_of(pages=pages)
    seed = space_of(vm, PAGES)
    for _ in range(4):
        vmspace_share(vm, seed)

    run(
        vm,
        mode,
        {
            "writer": (seed_writer, seed),
            "wirer 1": (wirer, seed, 1, 300),
            "wirer 2": (wirer, seed, 2, 300),
            "forker": (forker, seed, 3, 100),
        },
    )

    assert vm.g.v_wire_count == 0
    assert [entry_at(vm, seed, page).wired_count for page in range(PAGES)] == [0] * PAGES
    assert audit(vm) == []
    vmspace_exit(vm, seed)
    assert all_gone(vm) == []


def remapper(vm, space, over):
    """Unmaps what others wire, and maps it anew."""
    rng = random.Random(1)
    while not over():
        first = rng.randrange(PAGES)
        size = rng.randrange(first, PAGES) + 1 - first
        vm_deallocate(vm, space_map(vm, space), va(vm, first), size * vm.page_size)
        vm_allocate(vm, space_map(vm, space), size * vm.page_size, va(vm, first))
        assert read(vm, space, first) == 0
    vmspace_exit(vm, space)


def careless_wirer(vm, space, number, rounds):
    """Wires and unwires a range that others unmap: it is there or not, and never half of it."""
    rng = random.Random(number)
    count = {True: 0, False: 0}
    for _ in range(rounds):
        first = rng.randrange(PAGES)
        last = rng.randrange(first, PAGES) + 1
        wiring = rng.random() < 0.6
        code = (wire if wiring else unwire)(vm, space, first, last)
        count[wiring] += code == KERN_SUCCESS
        refused = {KERN_INVALID_ADDRESS} | ({KERN_RESOURCE_SHORTAGE} if wiring else {KERN_INVALID_ARGUMENT})
        assert code == KERN_SUCCESS or code in refused, code
    assert all(count.values()), count
    vmspace_exit(vm, space)


@pytest.mark.parametrize("mode", ["thread", "process"])
def test_wirers_against_unmaps(vm_of, mode):
    vm = vm_of(pages=40)
    space = space_of(vm, PAGES)
    for _ in range(3):
        vmspace_share(vm, space)

    run(
        vm,
        mode,
        {
            "remapper": (remapper, space),
            "wirer 1": (careless_wirer, space, 2, 500),
            "wirer 2": (careless_wirer, space, 3, 500),
        },
    )

    assert audit(vm) == []
    vmspace_exit(vm, space)
    assert vm.g.v_wire_count == 0
    assert all_gone(vm) == []


def announcer(vm, space, board, over):
    """Stores a number in each shared page, and only then says so on the board."""
    number = 0
    while not over():
        number += 1
        for page in range(PAGES):
            write(vm, space, page, number)
            write(vm, board, page, number)
    vmspace_exit(vm, space)


def wired_reader(vm, space, board, number, rounds):
    """Sees at least what has been announced, through a wired mapping as through any other."""
    rng = random.Random(number)
    wired = False
    announced: set[int] = set()
    for _ in enough(rounds, announced):
        page = rng.randrange(PAGES)
        said = read(vm, board, page)
        announced.add(said)
        # Through another hardware map a load may meet half a store: old words beside new ones.
        words = memoryview(vm_read(vm, space, va(vm, page))).cast("Q")
        assert min(words) >= said, "an old page behind a wired mapping"
        if rng.random() < 0.2:
            code = (unwire if wired else wire)(vm, space, 0, PAGES)
            assert code in (KERN_SUCCESS, KERN_RESOURCE_SHORTAGE)
            wired ^= code == KERN_SUCCESS
    vmspace_exit(vm, space)


def copier(vm, space, number, rounds):
    """Takes private copies of the shared memory, which makes shadows where nothing is wired."""
    for _ in range(rounds):
        copy = fork(vm, space)
        seen = contents(vm, copy, PAGES)
        assert seen == sorted(seen, reverse=True), seen
        write(vm, copy, number % PAGES, 1 << 40)
        vmspace_exit(vm, copy)
    vmspace_exit(vm, space)


@pytest.mark.parametrize("pages", [1000, 50])
@pytest.mark.parametrize("mode", ["thread", "process"])
def test_shared_memory_stays_one_while_wired_and_copied(vm_of, mode, pages):
    vm = vm_of(pages=pages)
    one, board = space_of(vm, PAGES), space_of(vm, PAGES)
    vm_map_inherit(vm, space_map(vm, one), va(vm, 0), va(vm, PAGES), VM_INHERIT_SHARE)
    spaces = [fork(vm, one) for _ in range(4)]
    vm_map_inherit(vm, space_map(vm, spaces[3]), va(vm, 0), va(vm, PAGES), VM_INHERIT_COPY)

    run(
        vm,
        mode,
        {
            "announcer": (announcer, spaces[0], board),
            "reader 1": (wired_reader, spaces[1], board, 1, 1500),
            "reader 2": (wired_reader, spaces[2], board, 2, 1500),
            "copier": (copier, spaces[3], 4, 100),
        },
    )

    for space in (one, board):
        vmspace_exit(vm, space)
    assert vm.g.v_wire_count == 0
    assert audit(vm) == []
    assert all_gone(vm) == []
