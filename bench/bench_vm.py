"""Page faults per second: zero-fill, copy-on-write and file, alone and beside another worker.

A worker is a process with a space of its own, so two of them share the VM's tables and
locks and no page.  Only the faulting loops are timed; making and removing the mappings
between them is not.  Every VM is booted in a process of its own.
"""

import itertools
import random
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import multiprocess

import vmcore
from bench.common import Plan, Row, median_ratios, run
from harness.shm.arena import Arena

REGION = 512  # pages that one round touches
PAGES = 8192  # so that the page-out daemon, which does not run here, is never missed
SECONDS = 0.4  # of one measurement
CONTEXT = multiprocess.get_context("fork")
Round = Callable[[], float]  # seconds that REGION faults took


def new_space(vm: Any) -> tuple[Any, Any]:
    """A space and its map."""
    space = vmcore.vmspace_alloc(vm)
    assert space is not None  # the tables are large enough
    return space, vmcore.space_map(vm, space)


def zero_fill(vm: Any, _number: int) -> Iterator[float]:
    """First stores to fresh memory."""
    (space, region), page = new_space(vm), bytes(range(256)) * (vm.page_size // 256)
    while True:
        start = vmcore.vm_allocate(vm, region, REGION * vm.page_size)
        before = time.perf_counter()
        for va in range(start, start + REGION * vm.page_size, vm.page_size):
            vmcore.vm_write(vm, space, va, page)
        yield time.perf_counter() - before
        vmcore.vm_deallocate(vm, region, start, REGION * vm.page_size)


def copy_on_write(vm: Any, _number: int) -> Iterator[float]:
    """First stores of a child to pages that its parent has."""
    (parent, region), page = new_space(vm), bytes(vm.page_size)
    start = vmcore.vm_allocate(vm, region, REGION * vm.page_size)
    addresses = range(start, start + REGION * vm.page_size, vm.page_size)
    for va in addresses:
        vmcore.vm_write(vm, parent, va, page)
    while True:
        child = vmcore.vmspace_fork(vm, parent)
        before = time.perf_counter()
        for va in addresses:
            vmcore.vm_write(vm, child, va, page)
        yield time.perf_counter() - before
        vmcore.vmspace_exit(vm, child)


def file_resident(vm: Any, number: int) -> Iterator[float]:
    """First loads through a new private mapping of a file whose pages are in memory."""
    (space, region), vnode = new_space(vm), vm.vnodes.views[number]
    keep = vmcore.vm_map_file(vm, region, vnode, REGION * vm.page_size)  # keeps the object and its pages
    for offset in range(0, REGION * vm.page_size, vm.page_size):
        vmcore.vm_read(vm, space, keep + offset)
    while True:
        start = vmcore.vm_map_file(vm, region, vnode, REGION * vm.page_size)
        before = time.perf_counter()
        for va in range(start, start + REGION * vm.page_size, vm.page_size):
            vmcore.vm_read(vm, space, va)
        yield time.perf_counter() - before
        vmcore.vm_deallocate(vm, region, start, REGION * vm.page_size)


def file_read(vm: Any, number: int) -> Iterator[float]:
    """First loads of a file's pages, each a real read of a real file."""
    (space, region), vnode = new_space(vm), vm.vnodes.views[number]
    while True:
        start = vmcore.vm_map_file(vm, region, vnode, REGION * vm.page_size)
        before = time.perf_counter()
        for va in range(start, start + REGION * vm.page_size, vm.page_size):
            vmcore.vm_read(vm, space, va)
        yield time.perf_counter() - before
        vmcore.vm_deallocate(vm, region, start, REGION * vm.page_size)
        vmcore.cache_clear(vm)


def arithmetic(_vm: Any, _number: int) -> Iterator[float]:
    """No VM at all: what this machine makes of a second process, the limit of every ratio here."""
    while True:
        before = time.perf_counter()
        for number in range(REGION * 200):
            number * number
        yield time.perf_counter() - before


KINDS = {
    "arithmetic": arithmetic,
    "zero-fill": zero_fill,
    "copy-on-write": copy_on_write,
    "file, resident": file_resident,
    "file, read": file_read,
}
NO_VM = "arithmetic"
TARGETS = {("zero-fill", False): ">= 40000", ("zero-fill", True): ">= 20000"}


# --- one VM, its workers, and orders through pipes


def worker(vm: Any, number: int, pipe: Any) -> None:
    """For each order (kind, start, end): faults per second inside the timed loops, until told None."""
    vm.arena.native.sit(f"bench {number}")
    running: dict[str, Iterator[float]] = {}
    while (order := pipe.recv()) is not None:
        kind, start, end = order
        rounds = running.setdefault(kind, KINDS[kind](vm, number))
        next(rounds)  # warm, and out of the way of the start
        while time.monotonic() < start:
            time.sleep(0.0005)
        spent, done = 0.0, 0
        while not done or time.monotonic() < end:  # a loaded machine may be late for its own start
            spent += next(rounds)
            done += REGION
        pipe.send(done / spent)


def company(contracts: bool, seconds: float, rounds: int, pipe: Any) -> None:
    """Boot a VM, start two workers, and send {(kind, workers): faults per second of each round}."""
    config = vmcore.Config(
        pages=PAGES, mappings=PAGES * 2, files=(REGION * 4096,) * 2, vnodes=4, contracts=contracts
    )
    arena = Arena.create("bench_vm", size=vmcore.arena_size(config, 16), seats=16)
    vm = vmcore.boot(arena, config)
    pairs = [CONTEXT.Pipe() for _ in range(2)]
    members = [
        CONTEXT.Process(target=worker, args=(vm, number, theirs), daemon=True)
        for number, (_, theirs) in enumerate(pairs, 1)
    ]
    for member in members:
        member.start()
    for _, theirs in pairs:
        theirs.close()
    pipes = [ours for ours, _ in pairs]
    found: dict[tuple[str, int], list[float]] = {(kind, n): [] for kind in KINDS for n in (1, 2)}
    plan = list(itertools.product(range(rounds), KINDS))
    random.Random(1).shuffle(plan)
    for turn, kind in plan:
        for count in (1, 2) if turn % 2 else (2, 1):
            found[kind, count].append(together(pipes[:count], kind, seconds))
    for ours in pipes:
        ours.send(None)
    for member in members:
        member.join(10)
    pipe.send(found)


def together(pipes: list[Any], kind: str, seconds: float) -> float:
    """Faults per second of these workers, working at the same time."""
    start = time.monotonic() + 0.2  # a warm-up round fits in
    for pipe in pipes:
        pipe.send((kind, start, start + seconds))
    return float(sum(pipe.recv() for pipe in pipes))


def booted(contracts: bool, plan: Plan) -> dict[tuple[str, int], list[float]]:
    """The numbers of one VM, which lives and dies in a child: contracts are bound per process."""
    ours, theirs = CONTEXT.Pipe()
    seconds = SECONDS * max(0.2, plan.scale)
    child = CONTEXT.Process(target=company, args=(contracts, seconds, plan.count(7, 1), theirs))
    child.start()
    theirs.close()
    try:
        found: dict[tuple[str, int], list[float]] = ours.recv()
    finally:
        child.join(10)
        child.kill()
        child.join()
    return found


def measure(plan: Plan) -> list[Row]:
    """Every row."""
    rows = []
    limit = 1.0  # what the machine made of two processes, while the same VM was measured
    for contracts in (False, True):
        found = booted(contracts, plan)
        said = "contracts on" if contracts else "contracts off"
        for kind in KINDS if not contracts else [kind for kind in KINDS if kind != NO_VM]:
            one, two = found[kind, 1], found[kind, 2]
            target = TARGETS.get((kind, contracts), "")
            wanted = ">= 1.7" if kind == "zero-fill" and not contracts else ""
            ratio = median_ratios(one, two)
            if kind == NO_VM:
                limit = ratio
                rows.append(Row("this machine, no VM: 2 processes / 1", limit, "ratio"))
                continue
            rows += [
                Row(f"{kind}, {said}, 1 worker", median(one), "faults/s", target),
                Row(f"{kind}, {said}, 2 workers", median(two), "faults/s"),
                Row(f"{kind}, {said}, 2 workers / 1", ratio, "ratio", wanted),
            ]
            if wanted:
                rows.append(Row(f"{kind}, {said}, the same / this machine", ratio / limit, "ratio"))
    return rows


if __name__ == "__main__":
    run("bench_vm", measure, __doc__)
