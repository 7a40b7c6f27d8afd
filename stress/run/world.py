"""World: one arena with one VM in it, its services, and everything that watches it.

This is the only place where the instrument and the VM meet: it boots the VM with the chosen steps
(a defect is nothing but replaced steps), tells the watchdog how to speak of objects and pages, and
lays down which waits lead to the daemon or to a disk worker.  A world is made in the front process
and inherited by the workers; where a supervisor is spawned clean (a front with threads), it travels
as its arena and its setting, and is opened again there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from harness.locks import contract
from harness.run.plan import RoleSpec
from harness.shm.arena import Arena
from harness.shm.checked import unguarded
from harness.watch import providers
from stress.disk_faults import DiskFaults
from stress.dump_sections import sections
from stress.ops.core import Actor
from stress.oracles.contents import ObservationLog, WriterRow, file_stamp
from stress.scenario.power_switch import serve
from stress.script.script import Script, install, instrument
from stress.script.sync_points import SyncPoints
from vmcore.boot import arena_size, attach, boot
from vmcore.config import Config
from vmcore.constants import SPC_BUSY, SPC_DONE, SPC_ERROR, SPC_WRITING
from vmcore.page.vm_wait import stop_services
from vmcore.pageout.pageout import vm_pageout_loop
from vmcore.pager.swap_io import disk_worker_loop
from vmcore.structs import PendingClean, PendingPage, VmGlobals
from vmcore.vm import Vm

SEATS = 128
EXTRA_ROOM = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a world is made of."""

    name: str
    config: Config
    workers: int
    replacements: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    disk_ms: float = 0.0
    faults: DiskFaults | None = None
    switch_ms: float | None = None
    disks: int = 2
    seed: int = 1
    room: int = 0  # arena bytes for the caller's own tables
    script: Script | None = None  # gates at the points of its cues
    arena_file: str | None = None


class World:
    """A VM and its surroundings; made by ``World.boot``."""

    def __init__(self, setting: Setting, arena: Arena, vm: Vm, gates: SyncPoints | None = None) -> None:
        self.setting, self.arena, self.vm, self.gates = setting, arena, vm, gates
        vm.io.hook = slow_disk(setting) if setting.disk_ms > 0 else None
        if setting.faults is not None:
            setting.faults.install(vm)
        if gates is not None:
            assert setting.script is not None  # whose gates they are
            install(gates, vm, setting.script.faults)
        sections.register(vm)

    @classmethod
    def boot(cls, setting: Setting, saw: Callable[[Arena], None] | None = None) -> World:
        """A new arena with a VM that has run nothing yet; ``saw`` is told of it before anything is in it."""
        size = arena_size(setting.config, SEATS) + setting.room + EXTRA_ROOM
        arena = Arena.create(setting.name, size=size, seats=SEATS, path=setting.arena_file)
        if saw is not None:
            saw(arena)
        arena.native.sit("front")
        gates, steps = instrument(arena, setting.script, setting.replacements)
        vm = boot(arena, setting.config, steps)
        fill_files(vm)
        lay_down_providers(vm)
        ObservationLog(arena, 1, vm.page_size, setting.workers + 1)  # makes the tables of the content oracle
        return cls(setting, arena, vm, gates)

    @classmethod
    def attach(cls, arena: Arena, setting: Setting, about: Mapping[str, int]) -> World:
        """The same world in another process of the run; ``about``: what the gates know by name."""
        arena.native.sit("supervisor")
        if setting.switch_ms is not None:
            sys.setswitchinterval(setting.switch_ms / 1000)
        gates, steps = instrument(arena, setting.script, setting.replacements)
        world = cls(setting, arena, attach(arena, steps), gates)
        if gates is not None:
            gates.about = dict(about)
        arena.native.leave()
        return world

    def __reduce__(self) -> tuple[Any, ...]:
        return World.attach, (self.arena, self.setting, self.gates.about if self.gates else {})

    def actor(self, number: int, rng: Random | None = None) -> Actor:
        """Worker ``number`` (1..); the front process and the auditor are workers + 1."""
        return Actor(self.vm, number, rng or Random(self.setting.seed * 1_000_003 + number))

    def setup_actor(self) -> Actor:
        """The actor that sets up and audits, while no worker runs."""
        return self.actor(self.setting.workers + 1)

    def services(self) -> list[RoleSpec]:
        """The page-out daemon and the disk workers."""
        stop, disks = partial(stop_all, self), self.setting.disks
        return [
            RoleSpec("pageout", daemon, (self,), service=True, stop=stop),
            RoleSpec("disk", disk_worker, (self,), count=disks, service=True, stop=stop),
        ]

    @unguarded()
    def restart_services(self) -> None:
        """After a run: the services of the next one are not to leave at once.  No worker runs now."""
        self.vm.g.daemon_stop = self.vm.g.no_memory = 0

    @property
    def known_sync_points(self) -> SyncPoints:
        """The gates of a world that has a script."""
        assert self.gates is not None
        return self.gates

    def reads(self) -> int:
        """Pages whose contents were checked."""
        rows: Sequence[Any] = self.arena.table("content_writers", WriterRow).views
        return sum(int(row.reads) for row in rows[1:])

    @contextmanager
    def switching(self) -> Iterator[None]:
        """Threads of this process, and of those forked from it, take turns as often as the setting says."""
        before = sys.getswitchinterval()
        if self.setting.switch_ms is not None:
            sys.setswitchinterval(self.setting.switch_ms / 1000)
        try:
            yield
        finally:
            sys.setswitchinterval(before)

    def close(self) -> None:
        """Take everything back that this process keeps: descriptors, renderer, replaced steps."""
        sections.unregister()
        contract.unbind()
        for descriptor in (self.vm.swap_fd, *self.vm.files):
            os.close(descriptor)
        self.arena.close()


def daemon(_context: Any, world: World) -> None:
    """The page-out daemon, until it is told to leave."""
    serve(world.vm, vm_pageout_loop)


def disk_worker(_context: Any, world: World) -> None:
    """A disk worker, until it is told to leave."""
    serve(world.vm, disk_worker_loop)


def stop_all(world: World) -> None:
    """Tell daemon and disk workers to leave."""
    stop_services(world.vm)


def fill_files(vm: Vm) -> None:
    """Stamp every page of every file, so that a wrong page of a file is seen like any other."""
    repeat = vm.page_size // len(file_stamp(0, 0))
    for number, (descriptor, size) in enumerate(zip(vm.files, vm.config.files, strict=True)):
        pages = (file_stamp(number, page) * repeat for page in range(size // vm.page_size))
        os.pwrite(descriptor, b"".join(pages), 0)


def slow_disk(setting: Setting) -> Callable[[str, int, int], bool | None]:
    """A hook that lets every transfer take a while: exponential, its mean as asked."""
    dice: dict[int, Random] = {}

    def wait(_kind: str, _what: int, _length: int) -> bool | None:
        pid = os.getpid()
        if pid not in dice:  # each process its own: the hook is inherited, its random numbers must not be
            dice[pid] = Random(setting.seed << 20 ^ pid)
        time.sleep(min(dice[pid].expovariate(1000 / setting.disk_ms), setting.disk_ms / 50))
        return None

    return wait


def lay_down_providers(vm: Vm) -> None:
    """Which waits lead to a service: data, read by the watchdog.

    Until a write is done its page and its share of the paging count are a disk worker's; after
    that, until it is reaped, the daemon's.  A thread that waits for memory waits for the daemon.
    """
    owners: tuple[tuple[Any, Any, str], ...] = (
        (vm.pending, PendingClean, "busy_address"),
        (vm.pending, PendingClean, "pip_address"),
        (vm.pending_pages, PendingPage, "busy_address"),
    )
    for table, record, field_name in owners:
        for served_by, states in (("disk", (SPC_BUSY, SPC_WRITING)), ("pageout", (SPC_DONE, SPC_ERROR))):
            providers.register(
                vm.arena,
                name=f"page-out {field_name.split('_')[0]}",
                served_by=served_by,
                address_offset=getattr(record, field_name).offset,
                table_offset=table.offset,
                stride=table.stride,
                count=table.count + 1,
                state_offset=record.state.offset,
                state_size=record.state.size,
                states=sum(1 << state for state in states),
            )
    epoch = vm.g.address + VmGlobals.memory_epoch.offset
    providers.register(vm.arena, name="free memory", served_by="pageout", address_offset=epoch)
