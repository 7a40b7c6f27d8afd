"""Pages out to swap and back in per second, one page per transfer and in clusters, side by side.

Each VM has its page-out daemon and a disk worker as processes of their own, and a real
swap file.  A round stores to one region until another has been pushed out, gives the
first back, and loads the other again: in order, or in a random one.  The last kind never
gives anything back: four times the memory in use, loaded in order, with no frame to spare.
"""

import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import multiprocess

import vmcore
from bench.common import Plan, Row, median_ratios, run
from harness.shm.arena import Arena
from vmcore.page.vm_wait import stop_services
from vmcore.pageout.pageout import vm_pageout_loop
from vmcore.pager.swap_io import disk_worker_loop
from vmcore.stats import counters

PAGES = 512  # frames
REGION = 480  # pages: blocks of 8, and two regions do not fit
CROWD = 4  # regions, where memory is never enough
CLUSTERS = (1, 8)
CONTEXT = multiprocess.get_context("fork")
Measured = dict[str, float]


class Bench:
    """One VM with its services, and the rounds that are measured in it."""

    def __init__(self, cluster_pages: int) -> None:
        config = vmcore.Config(pages=PAGES, mappings=PAGES * 4, contracts=False, cluster_pages=cluster_pages)
        self.arena = Arena.create("bench_paging", size=vmcore.arena_size(config, 16), seats=16)
        self.vm = vmcore.boot(self.arena, config)
        self.page = bytes(range(256)) * (config.page_size // 256)
        self.luck = random.Random(1)
        loops: tuple[Callable[[Any], None], ...] = (vm_pageout_loop, disk_worker_loop)
        self.services = [CONTEXT.Process(target=loop, args=(self.vm,), daemon=True) for loop in loops]
        for service in self.services:
            service.start()

    def close(self) -> None:
        """The services leave by themselves."""
        stop_services(self.vm)
        for service in self.services:
            service.join(10)

    def region(self) -> tuple[Any, range]:
        """A space with one region, and the addresses of its pages."""
        vm = self.vm
        space = vmcore.vmspace_alloc(vm)
        assert space is not None  # the tables are large enough
        start = vmcore.vm_allocate(vm, vmcore.space_map(vm, space), REGION * vm.page_size)
        return space, range(start, start + REGION * vm.page_size, vm.page_size)

    def store(self, space: Any, addresses: range) -> None:
        """Make every page dirty."""
        for va in addresses:
            vmcore.vm_write(self.vm, space, va, self.page)

    def load(self, space: Any, addresses: list[int] | range) -> None:
        """Use every page."""
        for va in addresses:
            vmcore.vm_read(self.vm, space, va)

    def rate(self, counter: str, work: Callable[[], None]) -> float:
        """How fast this counter moved meanwhile."""
        before, start = counters(self.vm)[counter], time.perf_counter()
        work()
        spent = time.perf_counter() - start
        return (counters(self.vm)[counter] - before) / spent

    def out_and_in(self) -> Measured:
        """Push a region out, make room, load it again in both orders."""
        found: Measured = {}
        for name in ("page-in, in order", "page-in, random order"):
            (space, pages), (other, others) = self.region(), self.region()
            self.store(space, pages)
            found["page-out"] = self.rate("v_pageouts", partial(self.store, other, others))
            vmcore.vmspace_exit(self.vm, other)
            order = list(pages)
            if "random" in name:
                self.luck.shuffle(order)
            found[name] = self.rate("v_pageins", partial(self.load, space, order))
            vmcore.vmspace_exit(self.vm, space)
        return found

    def crowded(self) -> Measured:
        """Pages in either direction while no frame is to spare."""
        regions = [self.region() for _ in range(CROWD)]
        for space, pages in regions:
            self.store(space, pages)

        def use_all() -> None:
            for space, pages in regions:
                self.load(space, pages)

        found = {"page-in, no frame to spare": self.rate("v_pageins", use_all)}
        for space, _ in regions:
            vmcore.vmspace_exit(self.vm, space)
        return found


def serve(cluster_pages: int, pipe: Any) -> None:
    """A VM in a process of its own: one round for each order, until told None."""
    bench = Bench(cluster_pages)
    bench.arena.native.sit("bench")
    bench.out_and_in()  # warm
    pipe.send({})
    while pipe.recv() is not None:
        pipe.send({**bench.out_and_in(), **bench.crowded()})
    bench.close()


def rounds(pipes: dict[int, Any], count: int) -> Iterator[tuple[int, Measured]]:
    """Each VM in turn, none of them always first."""
    for turn in range(count):
        for size in CLUSTERS[:: 1 if turn % 2 == 0 else -1]:
            pipes[size].send(turn)
            yield size, pipes[size].recv()


def measure(plan: Plan) -> list[Row]:
    """Every row."""
    found: dict[tuple[str, int], list[float]] = {}
    pipes, members = {}, []
    for size in CLUSTERS:
        pipes[size], theirs = CONTEXT.Pipe()
        members.append(CONTEXT.Process(target=serve, args=(size, theirs)))
        members[-1].start()
        theirs.close()
        pipes[size].recv()
    for size, measured in rounds(pipes, plan.count(9, 1)):
        for name, value in measured.items():
            found.setdefault((name, size), []).append(value)
    for pipe in pipes.values():
        pipe.send(None)
    for member in members:
        member.join(20)
    one, many = CLUSTERS
    rows = []
    for name in dict.fromkeys(name for name, _ in found):
        rows += [
            Row(f"{name}, clusters of {size}", median(found[name, size]), "pages/s") for size in CLUSTERS
        ]
        ratio = median_ratios(found[name, one], found[name, many])
        rows.append(Row(f"{name}, clusters of {many} / of {one}", ratio, "ratio"))
    return rows


if __name__ == "__main__":
    run("bench_paging", measure, __doc__)
