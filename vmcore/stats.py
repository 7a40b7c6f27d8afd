"""The VM's counters: each thread counts in its own row, the sum is the VM's ``cnt``."""

from __future__ import annotations

from vmcore.structs import Stats
from vmcore.vm import Vm

COUNTERS: tuple[str, ...] = tuple(field[0] for field in Stats._fields_)
GAUGES: tuple[str, ...] = (
    "v_free_count",
    "v_active_count",
    "v_inactive_count",
    "v_wire_count",
    "v_free_min",
    "v_free_target",
    "v_inactive_target",
    "vm_object_count",
    "vm_object_cached",
    "swap_used",
    "swap_total",
)


def counters(vm: Vm) -> dict[str, int]:
    """Every counter, summed over all threads that ever counted; read without locks."""
    rows = vm.stats.views[1:]
    return {name: sum(getattr(row, name) for row in rows) for name in COUNTERS}


def gauges(vm: Vm) -> dict[str, int]:
    """Lengths and thresholds as of now; read without their locks."""
    return {name: int(getattr(vm.g, name)) for name in GAUGES}
