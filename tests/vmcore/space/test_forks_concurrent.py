"""Real processes fork, write and leave on one VM while the daemon takes their pages away.

Every process forks from one seed space that a writer keeps changing, page after page, round
after round.  A fork is one instant, so a child must never see a page newer than the one
before it; and what a family member wrote itself it must read back, whatever collapses,
bypasses and page-outs its relatives cause.
"""

import random

import pytest

from tests.vmcore.builders import services
from tests.vmcore.builders_objects import clean, contents, fork, read, space_of, write
from vmcore.audit.audit import all_gone, audit
from vmcore.space.vmspace import vmspace_exit, vmspace_share
from vmcore.stats import counters

PAGES = 6


def seed_writer(vm, seed, rounds):
    for round_number in range(1, rounds + 1):
        for page in range(PAGES):
            write(vm, seed, page, round_number)
    vmspace_exit(vm, seed)


def forker(vm, seed, number, rounds):
    rng = random.Random(number)
    serial = number << 32
    for _ in range(rounds):
        child = fork(vm, seed)
        journal = contents(vm, child, PAGES)
        assert journal == sorted(journal, reverse=True), journal
        assert journal[0] - journal[-1] <= 1, journal
        family = [(child, journal)]
        for _ in range(rng.randrange(3, 10)):
            space, mine = rng.choice(family)
            chance = rng.random()
            if chance < 0.3 and len(family) < 4:
                family.append((fork(vm, space), list(mine)))
            elif chance < 0.4:
                clean(vm, space, rng.randrange(PAGES), rng.random() < 0.5)
            else:
                page, serial = rng.randrange(PAGES), serial + 1
                write(vm, space, page, serial)
                mine[page] = serial
        rng.shuffle(family)
        while family:
            space, mine = family.pop()
            page = rng.randrange(PAGES)
            assert read(vm, space, page) == mine[page]
            vmspace_exit(vm, space)
            for other, expected in family:
                assert contents(vm, other, PAGES) == expected
    vmspace_exit(vm, seed)


@pytest.mark.parametrize("pages", [1000, 20])
def test_a_family_of_processes_under_page_out(vm_of, pages):
    vm = vm_of(pages=pages)
    seed = space_of(vm, PAGES)
    with services(vm) as team:
        for _ in range(4):
            vmspace_share(vm, seed)
        team.start("writer", seed_writer, seed, 400)
        forkers = [f"forker {number}" for number in range(1, 4)]
        for number, name in enumerate(forkers, 1):
            team.start(name, forker, seed, number, 150)

        said = team.wait("writer", *forkers)

        assert said == dict.fromkeys(said, "fine"), "\n".join(said.values())
        vmspace_exit(vm, seed)
    assert audit(vm) == []
    assert all_gone(vm) == []
    count = counters(vm)
    assert count["object_collapses"] + count["object_bypasses"] > 0, "no chain was ever shortened"
    if pages < 100:
        assert count["v_pageouts"] > 0, "nothing was paged out"
