"""Everything at once, on a page: queues, counters, and of each kind the records that stand out."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from harness.shm.checked import unguarded
from vmcore.constants import SPC_FREE
from vmcore.show.show import PASSING, longest_chains, show_object, show_vmspace
from vmcore.show.store import show_pager, show_pending, show_vnode
from vmcore.stats import counters, gauges
from vmcore.vm import Vm

CHAINS = 5
MOST = 8  # lines of one kind; the rest is counted
WIDTH = 100
GLUE = "\u00a0"  # a name and its number stay on one line


@unguarded()
def show_queues(vm: Vm) -> str:
    """One line about frames and swap."""
    g = gauges(vm)
    return (
        f"free {g['v_free_count']} (target {g['v_free_target']}) active {g['v_active_count']} inactive"
        f" {g['v_inactive_count']} wired {g['v_wire_count']}; swap {g['swap_used']}/{g['swap_total']};"
        f" objects {g['vm_object_count']}, cached {g['vm_object_cached']}; writes in flight"
        f" {vm.g.writes_in_flight}, memory waiters {vm.g.memory_waiters}"
    )


@unguarded()
def show_counters(vm: Vm) -> list[str]:
    """Every counter that is not zero, wrapped."""
    told = (f"{name}{GLUE}{count}" for name, count in counters(vm).items() if count)
    lines = textwrap.wrap(" ".join(told), WIDTH, break_on_hyphens=False)
    return [line.replace(GLUE, " ") for line in lines] or ["nothing was counted yet"]


@unguarded()
def show_world(vm: Vm, chains: int = CHAINS, most: int = MOST) -> list[str]:
    """Lines: memory, counters, the longest chains, then what is under way and what is large."""
    objects = list(vm.objects.live())
    moving = [one for one in objects if one.paging_in_progress or one.flags & sum(PASSING.values())]
    big = sorted(vm.pagers.live(), key=lambda one: -int(one.sw_cnt))
    writes = [one for one in vm.pending.views[1:] if one.state != SPC_FREE]
    spaces = list(vm.vmspaces.live())
    files = [one for one in vm.vnodes.live() if one.v_vmdata]
    lines = [show_queues(vm), *show_counters(vm)]
    lines += section("longest chains", longest_chains(vm, chains), most)
    lines += section("objects under way", (show_object(vm, one) for one in moving), most)
    lines += section("writes under way", (show_pending(vm, one) for one in writes), most)
    lines += section("pagers", (show_pager(vm, one) for one in big), most)
    lines += section("files in use", (show_vnode(vm, one) for one in files), most)
    return lines + section("spaces", (show_vmspace(vm, one) for one in spaces), most)


def section(title: str, lines: Iterable[str], most: int) -> list[str]:
    """A heading with the number of lines, and the first of them; nothing when there is none."""
    found = list(lines)
    if not found:
        return []
    more = [f"  and {len(found) - most} more"] if len(found) > most else []
    return [f"{title} ({len(found)}):", *(f"  {line}" for line in found[:most]), *more]
