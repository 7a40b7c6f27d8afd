"""A long-lived parent that is paged out and forks again and again: the oldest complaint, as a curve.

More pages than frames, a daemon and a disk worker as processes.  After each fork both sides store to
a page or two and the child exits.  Without collapse over paged objects chain and swap grow with every
fork; here both are flat.  The table ends with the curve of swap use.
"""

import random
import sys
from typing import Any

import multiprocess

import vmcore
from bench.common import Plan, Row, run
from harness.shm.arena import Arena
from vmcore.page.vm_wait import stop_services
from vmcore.pageout.pageout import vm_pageout_loop
from vmcore.pager.swap_io import disk_worker_loop
from vmcore.show.show import longest_chain

FRAMES, PAGES, FORKS = 100, 120, 10_000
COLUMNS, LINES = 64, 8
CONTEXT = multiprocess.get_context("fork")


class Parent:
    """One VM with its services, and the process that lives long."""

    def __init__(self) -> None:
        config = vmcore.Config(pages=FRAMES, contracts=False)
        self.arena = Arena.create("bench_forks", size=vmcore.arena_size(config, 16), seats=16)
        self.arena.native.sit("bench")
        self.vm = vmcore.boot(self.arena, config)
        self.services = [
            CONTEXT.Process(target=loop, args=(self.vm,)) for loop in (vm_pageout_loop, disk_worker_loop)
        ]
        for service in self.services:
            service.start()
        self.page, self.luck = bytes(self.vm.page_size), random.Random(5)
        space = vmcore.vmspace_alloc(self.vm)
        assert space is not None  # the tables are large enough
        self.space: Any = space
        self.start = vmcore.vm_allocate(self.vm, vmcore.space_map(self.vm, space), PAGES * self.vm.page_size)
        for number in range(PAGES):
            self.store(space, number)

    def store(self, space: Any, number: int) -> None:
        """One page."""
        vmcore.vm_write(self.vm, space, self.start + number * self.vm.page_size, self.page)

    def fork(self) -> tuple[int, int]:
        """(longest chain, swap pages in use) after one child has come and gone."""
        child = vmcore.vmspace_fork(self.vm, self.space)
        for _ in range(2):
            self.store(self.space, self.luck.randrange(PAGES))
            self.store(child, self.luck.randrange(PAGES))
        chain = longest_chain(self.vm)
        vmcore.vmspace_exit(self.vm, child)
        return chain, int(self.vm.g.swap_used)

    def close(self) -> None:
        """The parent exits, the services end."""
        vmcore.vmspace_exit(self.vm, self.space)
        stop_services(self.vm)
        for service in self.services:
            service.join()


def curve(values: list[int]) -> str:
    """Values over time as text: the highest of each column."""
    width = max(1, -(-len(values) // COLUMNS))
    columns = [max(values[at : at + width]) for at in range(0, len(values), width)]
    top = max(columns) or 1
    lines = []
    for line in range(LINES, 0, -1):
        mark = "".join("#" if column * LINES >= top * line else " " for column in columns)
        lines.append(f"  {top * line // LINES:>5} |{mark}")
    return "\n".join([*lines, f"        +{'-' * len(columns)} forks: {len(values)}"])


def measure(plan: Plan) -> list[Row]:
    """Every row; the curve goes to standard error, so that ``--json`` stays one object."""
    parent = Parent()
    seen = [parent.fork() for _ in range(plan.count(FORKS, 50))]
    parent.close()
    chains, swap = [one for one, _ in seen], [used for _, used in seen]
    half = len(swap) // 2
    sys.stderr.write(f"swap pages in use\n{curve(swap)}\n")
    return [
        Row("forks", len(seen), ""),
        Row("longest chain", max(chains), "objects", "<= 4"),
        Row("swap in use, most", max(swap), "pages", f"<= {3 * PAGES}"),
        Row(
            "swap in use, last half / first half", max(swap[half:]) / max(1, *swap[:half]), "ratio", "<= 1.5"
        ),
    ]


if __name__ == "__main__":
    run("bench_forks", measure, __doc__)
