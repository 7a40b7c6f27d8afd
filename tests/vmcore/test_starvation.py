"""Who could be overtaken for ever, and by how much he is: overlays under constant faults.

An overlay gives up when anybody pages on its pair, so a chain might never shrink while several threads
fault on it all the time.
"""

import threading

from tests.vmcore.builders import Team, services
from tests.vmcore.builders_objects import chain, fork, read, space_of, write
from vmcore.audit import all_gone, audit
from vmcore.stats import counters
from vmcore.vmspace import vmspace_exit, vmspace_share

PAGES, FRAMES = 60, 48
FORKS = 60
FAULTERS = 3
LONGEST = 8  # objects in a chain while nobody rests


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
