"""The small VM that a state machine drives: booted once, swept clean between examples.

A boot costs more than an example, so the VM is kept as long as examples leave nothing
behind; after a failure the next example gets a new one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.shm.arena import Arena
from tests.vmcore.builders import close_vm, leaks
from tests.vmcore.machine import pump
from vmcore.audit.audit import all_gone
from vmcore.boot import arena_size, boot
from vmcore.config import Config
from vmcore.constants import KERN_SUCCESS
from vmcore.object.object_cache import cache_clear
from vmcore.vm import Vm
from vmcore.vm_error import VmError

LOW, PAGES = 16, 12  # the pages that a space has: [LOW, LOW + PAGES)
TASKS = 4
PAGE_SIZE = 4096
FILE_PAGES = 4
FILES = 2
NAMES = 2
DEVICE_PAGES = 3
ENOUGH = 200  # swap pages that no example can fill
TABLES: dict[str, Any] = {
    "objects": 96, "entries": 100, "maps": 6, "sharing_maps": 48, "pmaps": 6, "mappings": 48, "vmspaces": 6,
    "pagers": 64, "swap_blocks": 90, "pending": 4, "cache_max": 1,
}  # fmt: skip


@dataclass
class Rig:
    """A VM for one state machine after the other."""

    frames: int = 16
    swap_pages: int = 256
    contracts: bool = True
    examples: int = 0
    steps: int = 0
    shortages: int = 0  # operations that found memory and swap full
    seen: dict[str, int] = field(default_factory=dict)  # rule -> how often
    vm: Vm | None = None
    services: pump.Services = field(default_factory=pump.Services)

    @property
    def tight(self) -> bool:
        """May memory and swap run out?"""
        return self.swap_pages < ENOUGH

    def clean_vm(self) -> Vm:
        """A VM without tasks, with its files as at boot."""
        self.examples += 1
        self.services.waits = 0
        if self.vm is None:
            self.vm = self.new_vm()
        vm = self.vm
        for number, descriptor in enumerate(vm.files):
            data = b"".join(first_bytes(vm, number, index) for index in range(FILE_PAGES))
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, data, 0)
            vm.vnodes.views[number + 1].v_size = len(data)
        for frame in range(self.frames + 1, self.frames + 1 + DEVICE_PAGES):
            vm.frames[frame][:] = vm.zeros
        return vm

    def new_vm(self) -> Vm:
        """Boot one, with sleeps that let the services work; a free place is the lowest hole (no colours)."""
        files = (FILE_PAGES * PAGE_SIZE,) * FILES
        config = Config(
            pages=self.frames, swap_pages=self.swap_pages, vnodes=FILES, files=files,
            devices=1, device_pages=DEVICE_PAGES, page_size=PAGE_SIZE, alias_distance=0,
            contracts=self.contracts, **TABLES,
        )  # fmt: skip
        arena = Arena.create("machine", size=arena_size(config, seats=4), seats=4)
        arena.native.sit("machine")
        return boot(arena, config, self.services.sleeps())

    def require_clean(self) -> None:
        """Every task has left: nothing may remain."""
        assert self.vm is not None
        self.services.do(pump.finish, self.vm)
        cache_clear(self.vm)
        found = all_gone(self.vm) + leaks(self.vm)
        assert found == []

    def spoil(self) -> None:
        """The VM may be in any state: never again."""
        vm, self.vm = self.vm, None
        if vm is not None:
            close_vm(vm)

    def close(self) -> None:
        """After the last example."""
        self.spoil()
        self.services.stop()


def first_bytes(vm: Vm, file: int, index: int) -> bytes:
    """What a page of a file holds when an example begins."""
    return ((file + 1) << 32 | index).to_bytes(8, "little") * (vm.page_size // 8)


def outcome(operation: Callable[[], Any]) -> tuple[int, Any]:
    """(KERN code, what it returned)."""
    try:
        return KERN_SUCCESS, operation()
    except VmError as error:
        return error.code, None
