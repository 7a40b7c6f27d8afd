"""What could be overtaken for ever, and how often it is: overlays under constant faults, writers of a map.

An overlay gives up when any thread pages on its pair, so a chain might never shrink while several threads
fault on it all the time.  A fault in flight looks at its map again past every queued writer, so a writer
might wait for ever.
"""

import itertools
import threading
import time
from collections import Counter

from harness import probe
from harness.clock import Deadline
from harness.shm import native
from tests.vmcore.builders import Team, services
from tests.vmcore.builders_objects import chain, fork, read, space_of, write
from tests.waiting import LIMIT_S, join
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import KERN_SUCCESS
from vmcore.fault import fault
from vmcore.map.map_lookup import vm_map_lookup_again
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_share
from vmcore.stats import counters

PAGES, FRAMES = 60, 48
FORKS = 60
FAULTERS = 3
PASSED = 20  # times that a writer was passed, before we believe the bound
LONGEST = 8  # objects in a chain while no thread rests


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
    longest, limit = 0, Deadline(LIMIT_S)
    for number in itertools.count():
        paged = counters(vm)["v_pageins"] > FORKS  # on a busy machine the forks may be done before
        if number >= FORKS and (paged or limit.passed()):
            break
        child = fork(vm, space)
        write(vm, child, number % PAGES, number)
        write(vm, space, number % PAGES, number)
        vmspace_exit(vm, child)
        longest = max(longest, len(chain(vm, space)))
    stop.set()
    for thread in threads:
        join(thread)
    vmspace_exit(vm, space)
    assert longest <= LONGEST, f"a chain of {longest} objects: collapse never had its turn"


def test_chains_shrink_although_no_thread_stops_faulting(vm_of):
    vm = vm_of(pages=FRAMES, contracts=False)
    space = space_of(vm, PAGES)
    with services(vm):
        family = Team(vm)
        family.start("family", live_under_faults, space)
        said = family.wait()
        assert said == {"family": "fine"}

    seen = counters(vm)
    assert seen["v_pageins"] > FORKS, "hardly any thread paged; this would prove nothing"
    assert seen["object_collapses"] + seen["object_bypasses"] >= FORKS - LONGEST
    assert audit(vm) == []
    assert all_gone(vm) == []


def write_among_faults(vm, space):
    """A process with threads that page all the time, and one that wants to change their map."""
    lock, turn = space_map(vm, space).lock, 0
    passed: Counter[tuple[int, int]] = Counter()  # (thread, turn of the writer)
    record = native.RwLock.from_buffer(vm.arena.mapping, lock.offset)

    def relookup(vm, map, address, found, wiring):
        result = vm_map_lookup_again(vm, map, address, found, wiring)
        if result == KERN_SUCCESS and record.writer:  # the fault has the map for reading, past one
            passed[threading.get_ident(), turn] += 1
        return result

    vars(fault)["vm_map_lookup_again"] = relookup  # in this process only
    probe.noise(vm.arena, "placed", 1)  # a reader of the map keeps it for longer
    threads, stop = faulting_threads(vm, space, FAULTERS)
    until = time.monotonic() + LIMIT_S / 2  # threads that do not get the processor meet no writer
    while len(passed) < PASSED and time.monotonic() < until:
        lock.write()
        turn += 1
        lock.release()
    stop.set()
    for thread in threads:
        join(thread)
    vmspace_exit(vm, space)
    assert len(passed) >= PASSED, f"hardly any fault met a writer in {turn} writes"
    assert set(passed.values()) == {1}, f"a fault passed the same writer twice: {passed.most_common(1)}"


def test_a_writer_of_a_map_is_passed_once_by_each_fault_in_flight(vm_of):
    """The next fault of the same thread queues behind it: so it waits for one page-in of each, at most."""
    vm = vm_of(pages=FRAMES, contracts=False)
    space = space_of(vm, PAGES)
    with services(vm):
        family = Team(vm)
        family.start("family", write_among_faults, space)
        assert family.wait() == {"family": "fine"}

    assert counters(vm)["v_pageins"] > 0
    assert audit(vm) == []
    assert all_gone(vm) == []
