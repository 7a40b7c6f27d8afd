"""Arenas and actors for the tests of the instrument."""

from collections.abc import Iterator

import pytest

from harness.shm import Arena
from tests.harness.actors import Stage, stage

SLICE_NS = 100_000_000
LONG_NS = 60_000_000_000  # the longest that there is; LIMIT_S is shorter


@pytest.fixture
def arena() -> Iterator[Arena]:
    """Its waits have no slices to speak of: what only the next slice repairs hangs, and the test with it."""
    with Arena.create("test", size=1 << 20, seats=32) as it:
        long_slices(it)
        yield it


@pytest.fixture
def sliced(arena: Arena) -> Arena:
    """The arena with the slices of a real run, for tests that are about them."""
    arena.header.slice_ns = SLICE_NS
    return arena


def long_slices(arena: Arena) -> None:
    if hasattr(arena.header, "slice_ns"):
        arena.header.slice_ns = LONG_NS


@pytest.fixture
def actors() -> Iterator[Stage]:
    with stage() as it:
        yield it
