"""Who could be overtaken for ever, and by how much he is: overlays under constant faults, map writers
under readers that pass them.

An overlay gives up when anybody pages on its pair, so a chain might never shrink while several threads
fault on it all the time.  A fault in flight looks at its map again without queueing behind writers, so a
writer might wait for ever.  Both are bounded by what is measured here.
"""

import threading

import pytest

from tests.vmcore.builders import Team, services
from tests.vmcore.builders_objects import chain, fork, read, space_of, write
from vmcore.audit import all_gone, audit
from vmcore.constants import VM_PROT_ALL
from vmcore.map_protect import vm_map_protect
from vmcore.stats import counters
from vmcore.vmspace import space_map, vmspace_exit, vmspace_share

PAGES, FRAMES = 60, 48
FORKS = 60
FAULTERS = 3
LONGEST = 8  # objects in a chain while nobody rests
READERS = 4


def fault_on(vm, space, stop):
    """Touch page after page: with fewer frames than pages nearly every touch is a page-in."""
    page = 0
    while not stop.is_set():
        read(vm, space, page % PAGES)
        write(vm, space, (page * 7) % PAGES, page)
        page += 1
    vmspace_exit(vm, space)


def faulting_threads(vm, space, count):
    """(threads, what stops them): each is one more user of the space."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=fault_on, args=(vm, vmspace_share(vm, space), stop)) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    return threads, stop


def live_under_faults(vm, space):
    """A process with threads that fault all the time, and whose children come and go."""
    threads, stop = faulting_threads(vm, space, FAULTERS)
    longest = 0
    for number in range(FORKS):
        child = fork(vm, space)
        write(vm, child, number % PAGES, number)
        write(vm, space, number % PAGES, number)
        vmspace_exit(vm, child)
        longest = max(longest, len(chain(vm, space)))
    stop.set()
    for thread in threads:
        thread.join()
    vmspace_exit(vm, space)
    assert longest <= LONGEST, f"a chain of {longest} objects: collapse never had its turn"


def test_chains_shrink_although_nobody_stops_faulting(vm_of):
    vm = vm_of(pages=FRAMES, contracts=False)
    space = space_of(vm, PAGES)
    with services(vm):
        family = Team(vm)
        family.start("family", live_under_faults, space)
        said = family.wait()
        assert said == {"family": "fine"}

    seen = counters(vm)
    assert seen["v_pageins"] > FORKS, "hardly anybody paged; this would prove nothing"
    assert seen["object_collapses"] + seen["object_bypasses"] >= FORKS - LONGEST
    assert audit(vm) == []
    assert all_gone(vm) == []


def test_a_writer_of_a_map_is_passed_only_by_faults_that_were_in_flight(vm):
    space = space_of(vm, 2)
    lock = space_map(vm, space).lock
    stop, passed = threading.Event(), [0] * READERS

    def fault_like(me):
        """What a fault does to its map: one read that queues, one that passes writers."""
        while not stop.is_set():
            lock.read()
            lock.release()
            lock.read(pass_writers=True)
            passed[me] += 1
            lock.release()

    readers = [threading.Thread(target=fault_like, args=(me,)) for me in range(READERS)]
    for reader in readers:
        reader.start()
    worst = 0
    for _ in range(50):
        before = list(passed)
        lock.write()
        worst = max(worst, *(now - then for now, then in zip(passed, before, strict=True)))
        lock.release()
    stop.set()
    for reader in readers:
        reader.join()

    # One that was between its two reads, and what it did before our request was queued.
    assert worst < 1000, f"a writer waited while one reader passed {worst} times"
    assert min(passed) > 0
    vmspace_exit(vm, space)


@pytest.mark.parametrize("rounds", [40])
def test_protecting_gets_its_turn_among_faulting_threads(vm_of, rounds):
    vm = vm_of(pages=FRAMES, contracts=False)
    space = space_of(vm, PAGES)
    with services(vm):

        def protect_again_and_again(vm, space):
            threads, stop = faulting_threads(vm, space, FAULTERS)
            amap = space_map(vm, space)
            for _ in range(rounds):
                faults = counters(vm)["v_faults"]
                vm_map_protect(vm, amap, amap.min_offset + 0xF000, amap.min_offset + 0xF000, VM_PROT_ALL)
                waited = counters(vm)["v_faults"] - faults
                assert waited < 100 * FAULTERS, f"{waited} faults came first"
            stop.set()
            for thread in threads:
                thread.join()
            vmspace_exit(vm, space)

        family = Team(vm)
        family.start("family", protect_again_and_again, space)
        assert family.wait() == {"family": "fine"}
    assert audit(vm) == []
    assert all_gone(vm) == []
