"""The sweep: collapse whatever can be collapsed, until a whole pass changes nothing.

Collapse is opportunistic: it gives up when one of the two objects is paging, when a try-lock
fails, when there is no frame to read a page into.  So chains of a running system prove little.
At rest there is no such excuse.  The sweep references every object, calls collapse on it
and drains; what can still be joined after a pass without effect would never have been
joined, and its pages are lost room (Q9).  Hidden pages may then only be in objects
with two references, or in those that a copy-object holds back (Q10).

All workers are parked.  Daemon and disk workers may live: reading in needs memory.
What can be joined is decided here from the records alone, not by asking collapse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.locks.contract import contract
from harness.shm.checked import unguarded
from harness.shm.facts import Fact
from vmcore.audit.reachability import Cells
from vmcore.constants import OBJ_CANPERSIST, OBJ_COLLAPSING, OBJ_FADING, OBJ_INTERNAL
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.deallocate import drain_release_list
from vmcore.stats import counters
from vmcore.structs import VmObject
from vmcore.vm import Vm, release_later
from vmcore.vm_error import Facts, an_object, broken

MOST_DISTURBED = 100  # fruitless passes in which the daemon was at work, each after a rest


@dataclass(frozen=True)
class Pair:
    """Two objects that could be joined: the front one, and what it shadows."""

    front: int
    backing: int
    how: str  # "overlay": only front uses backing; "bypass": front hides all of backing


@dataclass(frozen=True)
class Swept:
    """What a sweep did, and what it could not do."""

    passes: int
    joined: int  # links that went
    pairs: list[Pair]  # Q9: what is left although it could be joined
    short: bool  # too few free frames to read anything in: the pairs prove nothing


@unguarded()
def sweep(vm: Vm, settle: Callable[[], None] | None = None) -> Swept:
    """Collapse everything; ``settle`` returns when the daemon is at rest (None: there is none).

    Enter with nothing locked.  A pass counts as fruitless only if the daemon had nothing to do all
    the time: in a shortage the daemon works first, because what it writes cannot be joined meanwhile,
    and then the pass is repeated.  Whether the daemon was at work is asked when it has come to rest:
    only then has it answered every poke.
    """
    joined = passes = disturbed = 0
    while True:
        if settle is not None:
            settle()
        before, rounds = plenty(vm), daemon_rounds(vm)
        went = one_pass(vm)
        joined, passes = joined + went, passes + 1
        if went:
            continue
        if settle is not None:
            settle()
        pairs = collapsible(vm)  # at rest: an object that is paging is in no pair, and would be missed
        if not pairs:
            return Swept(passes, joined, [], False)
        if before and plenty(vm) and daemon_rounds(vm) == rounds:
            return Swept(passes, joined, pairs, False)
        disturbed += 1
        if disturbed == MOST_DISTURBED or settle is None:
            return Swept(passes, joined, pairs, True)


def plenty(vm: Vm) -> bool:
    """Can a page be read in without the help of another thread?"""
    return bool(vm.g.v_free_count > vm.g.v_free_reserved)


def daemon_rounds(vm: Vm) -> int:
    """How often the page-out daemon has scanned so far."""
    return counters(vm)["v_rev"]


def one_pass(vm: Vm) -> int:
    """Collapse once below every object; how many links went."""
    stats = vm.me.stats
    before = stats.object_collapses + stats.object_bypasses
    for slot in [one.slot for one in vm.objects.live()]:
        if vm.objects.is_live(slot):
            collapse_below(vm, vm.objects.views[slot])
    return int(stats.object_collapses + stats.object_bypasses - before)


@contract
def collapse_below(vm: Vm, object: VmObject) -> None:
    """What a fault does for the object, without the fault.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (collapse pages in, and so may the release).
    """
    object.lock.acquire()
    if object.ref_count <= 0 or not object.shadow:  # cached, or nothing below
        object.lock.release()
        return
    object.ref_count += 1
    vm_object_collapse(vm, object)
    object.lock.release()
    release_later(vm, object, False)
    drain_release_list(vm)


# --- Q9


def collapsible(vm: Vm) -> list[Pair]:
    """Every pair that could be joined now, from the records alone."""
    cells = Cells(vm)
    found = []
    for object in vm.objects.live():
        if object.shadow and not object.flags & OBJ_COLLAPSING:
            backing = vm.objects(object.shadow)
            how = joinable(vm, cells, object, backing)
            if how:
                found.append(Pair(object.slot, backing.slot, how))
    return found


def joinable(vm: Vm, cells: Cells, object: VmObject, backing: VmObject) -> str:
    """``overlay``, ``bypass`` or nothing."""
    wrong = OBJ_FADING | OBJ_COLLAPSING | OBJ_CANPERSIST
    if not backing.flags & OBJ_INTERNAL or backing.flags & wrong or held_back(vm, backing):
        return ""
    if object.paging_in_progress or backing.paging_in_progress:
        return ""  # not at rest: Q3 says so
    if backing.ref_count == 1:
        return "overlay"
    low = object.shadow_offset // vm.page_size
    inside = {page - low for page in cells.own.get(backing.slot, ())}
    needed = {page for page in inside if 0 <= page < object.size // vm.page_size}
    return "bypass" if needed <= cells.own.get(object.slot, set()) else ""


def held_back(vm: Vm, backing: VmObject) -> bool:
    """Does what lies below have a copy-object?  Pushes must reach one place: so nothing is joined above."""
    return bool(backing.shadow and vm.objects(backing.shadow).copy)


def audit_pairs(vm: Vm, pairs: list[Pair]) -> list[Fact]:
    """Q9 in words."""
    return [
        broken(
            "Q9",
            f"objects {pair.front} and {pair.backing} could be joined ({pair.how}: "
            f"{vm.objects.views[pair.backing].ref_count} references), and the sweep left them",
            an_object(pair.front),
            an_object(pair.backing),
        )
        for pair in pairs
    ]


# --- Q10


def audit_hidden(vm: Vm, cells: Cells) -> list[Fact]:
    """Q10: after a sweep the object of a hidden page has two references, or is held back; or no entry
    reaches the page's place.

    Part of an object may be unmapped while the rest stays in use: its pages are hidden, too, but not
    behind other pages, and the object has them until it dies (``watched`` is false for them).
    """
    bad = Facts()
    for slot, pages in cells.hidden().items():
        object = cells.objects[slot]
        if object.ref_count >= 2 or held_back(vm, object):
            continue
        lost = sorted(page for page in pages if cells.watched(slot, page))
        if lost:
            bad.add(
                "Q10",
                f"object {slot} has one reference and {len(lost)} pages that no thread can see,"
                f" the first at {lost[0]}",
                an_object(slot),
            )
    return bad
