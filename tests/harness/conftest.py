"""Arenas and actors for the tests of the instrument."""

from collections.abc import Iterator

import pytest

import harness.locks  # noqa: F401 - fills in Arena.mutex and the views of embedded locks
from harness.shm import Arena
from tests.harness.actors import Stage, stage


@pytest.fixture
def arena() -> Iterator[Arena]:
    with Arena.create("test", size=1 << 20, seats=32) as it:
        yield it


@pytest.fixture
def actors() -> Iterator[Stage]:
    with stage() as it:
        yield it
