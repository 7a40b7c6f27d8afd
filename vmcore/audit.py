"""The quiescent audit: does everything in the arena fit together?

To be called when no operation runs, the daemon is idle and all asynchronous writes are
reaped; nothing here takes a lock.  Each function returns the violations it found as
sentences that name the records; an empty list is good news.  The letters are those of
the reference, section 6.

    audit_objects  Q1 Q2 Q3 Q6 Q7, A6-A9     audit_pages  Q3 Q4 Q5 Q13, A2 A3
    audit_maps     entries, sharing maps (Q2), A13 A14   audit_copies  A13 with a copy-object
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.shm.native import Channel
from vmcore.audit_copies import audit_copies
from vmcore.audit_maps import audit_maps
from vmcore.audit_objects import audit_objects, kernel_slots
from vmcore.audit_pages import audit_pages
from vmcore.structs import VmObject, VmPage

if TYPE_CHECKING:
    from vmcore.vm import Vm


def audit(vm: Vm) -> list[str]:
    """Everything that must hold while nothing happens."""
    return [*audit_objects(vm), *audit_pages(vm), *audit_maps(vm), *audit_copies(vm), *audit_sleepers(vm)]


def audit_sleepers(vm: Vm) -> list[str]:
    """Q12: nobody sleeps on an object or a page, and this thread owes no release."""
    places: list[tuple[str, VmObject | VmPage]] = [("object", one) for one in vm.objects.live()]
    places += [("page", one) for one in vm.pages.views[1:]]
    bad = []
    for kind, one in places:
        asleep = Channel.from_buffer(vm.arena.mapping, one.chan.offset).waiters
        if asleep:
            bad.append(f"Q12: {asleep} asleep on {kind} {one.slot}")
    if vm.g.memory_waiters:
        bad.append(f"Q12: {vm.g.memory_waiters} wait for memory")
    if vm.me.release_list:
        bad.append(f"Q13: {len(vm.me.release_list)} references left on this thread's release list")
    return bad


def all_gone(vm: Vm) -> list[str]:
    """Q6, second half: after all processes exited and cache_clear nothing is left."""
    bad = audit(vm)
    kernel = kernel_slots(vm)
    bad += [f"Q6: object {o.slot} is still alive" for o in vm.objects.live() if o.slot not in kernel]
    for name in ("maps", "sharing_maps", "entries", "vmspaces", "pmaps", "mappings", "pagers", "swap_blocks"):
        left = getattr(vm, name).in_use()
        if left:
            bad.append(f"Q6: {left} records of {name} are still in use")
    if vm.g.swap_used:
        bad.append(f"Q6: {vm.g.swap_used} swap pages are still allocated")
    frames = len(vm.pages.views) - 1
    if vm.g.v_free_count + vm.g.v_wire_count != frames:
        bad.append(f"Q6: {vm.g.v_free_count} of {frames} frames are free")
    return bad
