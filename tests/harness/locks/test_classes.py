"""One name is one lock class, whichever process declares it, and whenever."""

import time

import pytest

from harness import _native
from harness.locks import order
from harness.shm import Arena, native
from tests.harness.actors import fork
from tests.waiting import LIMIT_S, reap

ARENAS, NAMES = 6, 60


@pytest.fixture(params=range(ARENAS))
def gate(request):
    """An arena, and two columns of words in it: what each process has declared as the n-th."""
    with Arena.create(f"gate{request.param}", size=8192, seats=4) as arena:
        at = arena.reserve("gate", 16 * (NAMES + 1))
        words = memoryview(arena.mapping)[at : at + 16 * (NAMES + 1)].cast("Q")
        yield arena, words[: NAMES + 1], words[NAMES + 1 :]


def test_two_processes_that_declare_a_class_at_once_get_one_number(gate):
    arena, *columns = gate
    before = len(order.classes(arena))

    def declare(mine, other):
        deadline = time.monotonic() + LIMIT_S
        for i in range(NAMES):
            mine[NAMES] = i + 1  # at the gate
            while other[NAMES] < i + 1:
                assert time.monotonic() < deadline, "the other one did not come"
            mine[i] = arena.native.declare_class(f"class {i}", rank=i + 1)

    pids = [fork(lambda: declare(*columns)), fork(lambda: declare(*reversed(columns)))]

    assert [reap(pid) for pid in pids] == [0, 0]
    assert list(columns[0][:NAMES]) == list(columns[1][:NAMES])
    found = order.classes(arena)[before:]
    assert [(row.name, row.rank) for row in found] == [(f"class {i}", i + 1) for i in range(NAMES)]
    assert [row.id for row in found] == list(columns[0][:NAMES])


def row_of(arena, number):
    at = arena.header.classes + number * _native.LAYOUT["hd_class"][0]
    return native.LockClass.from_buffer(arena.mapping, at)


def test_a_class_that_was_left_without_a_name_is_completed(arena):
    number = arena.native.declare_class("left", rank=7)
    row, count = row_of(arena, number), arena.header.class_count
    row.state, row.name, row.rank = 0, b"", 0  # as one leaves it that is killed after the claim
    arena.header.class_count = number

    other = arena.native.declare_class("other")

    assert other == number + 1
    assert [one.name for one in order.classes(arena)][-1] == "other"
    assert "" not in [one.name for one in order.classes(arena)]
    assert arena.native.declare_class("left", rank=7) == number
    assert (row.name, row.rank, row.state) == (b"left", 7, 2)
    assert arena.header.class_count == count + 1


def test_names_are_told_apart_by_what_fits_of_them(arena):
    cut = "x" * 39

    assert arena.native.declare_class(cut + "a") == arena.native.declare_class(cut + "b")
    assert arena.native.declare_class(cut[1:]) != arena.native.declare_class(cut)
