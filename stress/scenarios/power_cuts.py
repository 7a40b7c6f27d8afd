"""The machine is shut down again and again, with files in the cache and memory in swap.

The window: the list of all objects is worked off, each of them parts with its pager, and a process that still
maps one unmaps it afterwards.
"""

from stress.ops.core import Actor, Process, allocate, create_process, fork, leave, map_file
from stress.oracles.at_rest import require_done, table_full
from stress.scenario.power_switch import lay_down_switch, power_cut, power_on
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Scenario
from stress.scenario.steps import exit_with_probability, file_pages, pages_of, random_accesses, write_all
from vmcore.constants import KERN_FAILURE, KERN_SUCCESS
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_pages import vm_object_page_clean
from vmcore.object.vnode import vnode_pager_alloc

FILES, FILE_PAGES = 3, 4
FILE, HEAP, HEAP_PAGES, APART = 0x10000, 0x80000, 12, 0x10000

scenario = Scenario(
    "power-cuts",
    "a machine that is shut down between epochs, with files cached and memory in swap",
    pages=40,
    files=(FILE_PAGES,) * FILES,
    places=6,
    disk_ms=0.1,
)


@scenario.setup
def there_is_a_switch(actor: Actor, pool: ProcessPool) -> None:
    """Services look at it when they are told to leave."""
    lay_down_switch(actor.vm.arena)


@scenario.role("user", count=4)
def use_the_machine(actor: Actor, pool: ProcessPool) -> None:
    """Files and more memory than there is, so that some of it lies in swap."""
    person = pool.take(actor) or user(actor)
    random_accesses(actor, person)
    if actor.rng.random() < 0.2 and person.generation < 3:
        child = fork(actor, person)
        random_accesses(actor, child)
        exit_with_probability(actor, pool, child, 0.7)
    exit_with_probability(actor, pool, person, 0.3)


@scenario.check
def shut_down(actor: Actor, pool: ProcessPool) -> None:
    """Files are synced first; then every process unmaps what has lost its store, without reading it."""
    for file in range(FILES):
        sync_file(actor, file)
    power_cut(actor.vm)
    while (person := pool.take(actor)) is not None:
        leave(actor, person)
    power_on(actor.vm)


def sync_file(actor: Actor, file: int) -> None:
    """Write a file's pages back, however it is mapped."""
    vm = actor.vm
    actor.native.begin("sync file", file)
    found = vnode_pager_alloc(vm, vm.vnodes.views[file + 1])
    if found is None:
        raise table_full(vm, "objects")
    found.lock.acquire()
    done = vm_object_page_clean(vm, found, 0, 0, True, False)
    found.lock.release()
    vm_object_deallocate(vm, found)
    require_done("sync file", file, KERN_SUCCESS if done else KERN_FAILURE)
    actor.native.end()


def user(actor: Actor) -> Process:
    """Some files, and a heap."""
    person = create_process(actor)
    for file in range(FILES):
        shared = actor.rng.random() < 0.5
        map_file(actor, person, file_pages(FILE + file * APART, FILE_PAGES, file, shared=shared))
    allocate(actor, person, pages_of(HEAP, HEAP_PAGES))
    write_all(actor, person, HEAP, HEAP_PAGES)
    return person
