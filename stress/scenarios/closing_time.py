"""The machine is shut down at the end of every epoch, and the next one begins with nobody in it.

The window: pagers go while their objects live on, in the order that nobody else takes the locks in; and
whoever leaves afterwards must meet no pager that is gone.
"""

import time

from harness.shm.checked import unguarded
from stress.acts import PAGE, back_on_stage, file_pages, pages_of, write_all
from stress.ops import Actor, Process, allocate, be_born, leave, map_file, read, write
from stress.ops_files import sync
from stress.oracles import InvariantViolated
from stress.scenario import Scenario
from stress.stage import Stage
from vmcore.shutdown import vm_object_shutdown
from vmcore.vm_wait import stop_services

FILES, FILE_PAGES = 3, 3
FILE, APART = 0x40000, 0x10000
HEAP, HEAP_PAGES = 0x10000, 6
LIMIT_S = 20.0  # for daemon and disk workers to leave

scenario = Scenario(
    "closing-time",
    "memory and files in use when the machine is shut down, again and again",
    pages=480,
    files=(FILE_PAGES,) * FILES,
    places=16,
)


@scenario.role("user", count=4)
def work(actor: Actor, stage: Stage) -> None:
    """A process with synced memory and files, which stays for a while."""
    person = stage.take(actor)
    if person is not None:
        write(actor, person, HEAP + actor.rng.randrange(HEAP_PAGES) * PAGE)
        read(actor, person, FILE)
        leave(actor, person)
    back_on_stage(actor, stage, newborn(actor))


@scenario.check
def shut_down(actor: Actor, stage: Stage) -> None:
    """Files are synced, daemon and disk workers leave, every pager goes, then everybody."""
    vm, people = actor.vm, []
    while (person := stage.take(actor)) is not None:
        sync(actor, person, FILE, FILE + FILE_PAGES * PAGE, True, False)
        people.append(person)
    stop_services(vm)
    until = time.monotonic() + LIMIT_S
    with unguarded():
        while vm.g.daemons and time.monotonic() < until:
            time.sleep(0.001)
    actor.native.begin("shut down")
    vm_object_shutdown(vm)
    actor.native.end()
    with unguarded():
        left = sum(bool(one.pager) for one in vm.objects.live())
    if left:
        raise InvariantViolated([f"{left} objects still name a pager after the shutdown"])
    for person in people:
        leave(actor, person)


def newborn(actor: Actor) -> Process:
    """Some memory that is synced, so that it has a pager, and a file that is stored to."""
    person = be_born(actor)
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    write_all(actor, person, HEAP, HEAP_PAGES)
    sync(actor, person, HEAP, HEAP + HEAP_PAGES * PAGE, True, False)
    file = actor.rng.randrange(FILES)
    map_file(actor, person, file_pages(FILE, FILE_PAGES, file, shared=True))
    write(actor, person, FILE + actor.rng.randrange(FILE_PAGES) * PAGE)
    return person
