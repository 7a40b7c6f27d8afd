"""A small world without workers and services, closed again; and an actor to use it."""

import os
from typing import Any

import pytest

from stress.run.world import Setting, World
from vmcore.config import Config

SIZES: dict[str, Any] = {
    "pages": 256, "objects": 256, "entries": 512, "maps": 64, "sharing_maps": 64, "pmaps": 64,
    "vmspaces": 64, "mappings": 1024, "pagers": 128, "swap_blocks": 256, "swap_pages": 1024,
}  # fmt: skip


@pytest.fixture
def world():
    """No services run: whatever a test does must fit into memory."""
    config = Config(**SIZES, files=(4 * 4096, 4 * 4096))
    made = World.boot(Setting(name=f"test-{os.getpid()}", config=config, workers=2))
    yield made
    made.arena.native.leave()
    made.close()


@pytest.fixture
def actor(world):
    return world.actor(1)
