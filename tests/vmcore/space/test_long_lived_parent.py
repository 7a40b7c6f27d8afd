"""A parent that lives long, is paged out, and forks again and again (the oldest complaint: H8).

The historical kernels left one object behind per fork as soon as the parent had been paged out, and
the swap space went with them.  Here the chain stays short and swap use stays flat.
"""

import random

import pytest

from tests.vmcore.builders import services
from tests.vmcore.builders_objects import chain, fork, read, space_of, write
from vmcore.audit.audit import all_gone, audit
from vmcore.space.vmspace import vmspace_exit
from vmcore.stats import counters

PAGES = 120  # more than there are frames
FRAMES = 100


@pytest.mark.parametrize("forks", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_swap_use_and_chain_length_stay_flat_over_many_forks(vm_of, forks):
    vm = vm_of(pages=FRAMES, contracts=False)
    rng = random.Random(5)
    parent = space_of(vm, PAGES)
    longest, used = 0, []
    with services(vm):
        newest = dict.fromkeys(range(PAGES), 0)
        for page in newest:
            write(vm, parent, page, 0)
        for number in range(1, forks + 1):
            child = fork(vm, parent)
            for _ in range(2):
                page = rng.randrange(PAGES)
                write(vm, parent, page, number)
                newest[page] = number
                write(vm, child, rng.randrange(PAGES), 1)
            page = rng.randrange(PAGES)
            assert read(vm, parent, page) == newest[page]
            vmspace_exit(vm, child)
            longest = max(longest, len(chain(vm, parent)))
            used.append(vm.g.swap_used)
        vmspace_exit(vm, parent)

    assert counters(vm)["v_pageouts"] > forks / 4, "the parent was hardly paged out; this would prove nothing"
    assert longest <= 4
    assert max(used) <= 3 * PAGES, "each page may have a slot in the parent, in the child and in between"
    assert max(used[forks // 2 :]) <= max(used[: forks // 2]) + PAGES
    assert audit(vm) == []
    assert all_gone(vm) == []
