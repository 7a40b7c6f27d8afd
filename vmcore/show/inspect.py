"""A VM to look at without a trace in the arena: no seat, no lock, no descriptor.

``attach`` (boot.py) opens a VM to take part in it: it declares its lock classes, takes a seat and
opens the store.  ``inspect`` only finds the tables that lie in the arena already.  What it gives
back goes to the ``show_*`` functions; everything that would act needs a thread's state, which it
does not have.
"""

from __future__ import annotations

from typing import Any

from harness.shm.arena import Arena
from vmcore import ranks
from vmcore.boot import STORED
from vmcore.config import OPTIONS, Config
from vmcore.structs import VmBoot
from vmcore.vm import Vm


class Inspection(Vm):
    """The records of a VM, without ``me`` (no seat), ``io``, ``files`` and ``swap_fd`` (no store)."""

    def __init__(self, arena: Arena, config: Config) -> None:
        self.arena, self.config, self.native = arena, config, arena.native
        # Classes matter where a table is made; here none is.
        self.class_ids = {lock_class.name: 0 for lock_class in ranks.ALL}
        self.page_size = config.page_size
        self.page_shift = config.page_size.bit_length() - 1
        self._open_pools()
        self._open_tables()
        self._open_locks()
        self._open_regions()


def inspect(arena: Arena) -> Inspection | None:
    """The VM in this arena; None if there is none, or if it is just being made.

    Errors: StaleArena, if it was made by a build whose records have another shape.
    """
    # A table that does not exist would be made, and that takes a lock.
    if arena.entry("vm_boot") is None:
        return None
    record: Any = arena.table("vm_boot", VmBoot)[1]
    sizes: dict[str, Any] = {name: int(getattr(record, name)) for name in STORED}
    # The sizes are written when every table is there; the last of them may be on its way.
    if not all(sizes[name] for name in OPTIONS if name in sizes):
        return None
    return Inspection(arena, Config(**sizes, contracts=bool(record.contracts)))
