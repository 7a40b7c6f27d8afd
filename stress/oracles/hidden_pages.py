"""The space oracle: does the VM keep pages that no process can ever see again?

The model is one counted cell per distinct page value, as if every anonymous page knew its users:
when the last of them has a page of its own, the cell is gone.  At rest the model's number of cells
is what the maps can reach, so no replay is needed: the *minimum* is the number of distinct cells
that some entry shows.  *Used* is what there is, in memory and in swap; *hidden* is the difference.

Shadow chains give up objects, not pages, so some hidden pages are the price of the design.  How many
may there be?  After a sweep (vmcore/audit/sweep.py) every anonymous object that hides something has two
users at least, unless a copy-object holds it back.  Follow a hidden page upwards: each of its users
either does not look at that place at all (*blind*: its part is unmapped, or outside its window), or
has a page of its own there, visible or hidden again.  So hidden pages are the forks of a forest whose
leaves are visible pages and blind users, and a forest in which every fork has two branches has fewer
forks than leaves::

    hidden  <=  minimum + blind + held back by a copy-object + unmapped

Nothing in it was measured or chosen.  Beyond it pages pile up that nothing owns: each fork of a
long-lived process leaves some behind, and the verdict is ``leak``.  So it is at once when the sweep
leaves a pair of objects that could be joined (Q9), because what cannot be joined at rest never is;
then the growth from epoch to epoch says how bad it is.

Numbers are taken before the sweep (what the run did to itself), judged after it.  They lie in a table
of the arena: every audit is a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import Structure, c_uint64
from dataclasses import dataclass
from typing import Any

from harness.shm.arena import Arena
from harness.shm.checked import unguarded
from harness.shm.facts import Fact
from harness.shm.layout import guarded
from vmcore.audit.reachability import Cells
from vmcore.audit.sweep import Pair, audit_hidden, audit_pairs, collapsible, held_back, sweep
from vmcore.show.show import chain_of, longest_chain, show_chain
from vmcore.vm import Vm
from vmcore.vm_error import subjects

EPOCHS = 512  # remembered; older ones are overwritten
TABLE = "space_epochs"
SHOWN = 6  # objects named in one finding
SERIES = 16  # audits in a series


class SpaceEpoch(Structure):
    """What one audit found; pages.  The auditor writes, one at a time."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "number", c_uint64, "1..: which audit; 0: none yet"),
        (".", "used", c_uint64, "cells that exist"),
        (".", "minimum", c_uint64, "cells that a process can see"),
        (".", "chain", c_uint64, "links of the longest chain"),
        (".", "left", c_uint64, "hidden cells after the sweep"),
        (".", "joined", c_uint64, "links that the sweep removed"),
    )


@dataclass(frozen=True)
class Space:
    """One look at all cells."""

    used: int
    minimum: int
    blind: int
    held: int
    unmapped: int
    hidden: dict[int, int]  # object slot -> hidden pages

    @property
    def bound(self) -> int:
        """The most that the model allows to be hidden after a sweep."""
        return self.minimum + self.blind + self.held + self.unmapped


def measure(cells: Cells) -> Space:
    """Count."""
    blind = held = unmapped = 0
    hidden = cells.hidden()
    for slot, pages in hidden.items():
        if held_back(cells.vm, cells.objects[slot]):
            held += len(pages)
            continue
        for page in pages:
            if cells.watched(slot, page):
                blind += cells.blind(slot, page)
            else:
                unmapped += 1
    counts = {slot: len(pages) for slot, pages in hidden.items()}
    return Space(cells.used, len(cells.visible), blind, held, unmapped, counts)


# --- the epochs


def epochs(arena: Arena) -> list[Any]:
    """The audits so far, oldest first."""
    if arena.entry(TABLE) is None:
        return []
    rows = arena.table(TABLE, SpaceEpoch).views[1:]
    return sorted((row for row in rows if row.number), key=lambda row: int(row.number))


def new_epoch(arena: Arena) -> Any:
    """The row of this audit."""
    before = epochs(arena)
    number = before[-1].number + 1 if before else 1
    row: Any = arena.table(TABLE, SpaceEpoch, EPOCHS)[1 + (number - 1) % EPOCHS]
    row.number, row.left, row.joined = number, 0, 0
    return row


@unguarded()
def watch_space(vm: Vm, settle: Callable[[], None] | None) -> list[str]:
    """Measure, sweep, judge: facts of a leak, or nothing.  All workers are parked; nothing is locked.

    ``settle`` lets the daemon come to rest; None where there is none.
    """
    row = new_epoch(vm.arena)
    before = Cells(vm)
    row.used, row.minimum, row.chain = before.used, len(before.visible), longest_chain(vm)
    with undisturbed(vm):
        swept = sweep(vm, settle)
    if settle is not None:
        settle()
    cells = Cells(vm) if swept.joined else before
    space = measure(cells)
    row.left, row.joined = space.used - space.minimum, swept.joined
    if swept.short:
        return []  # a shortage that no daemon could end: nothing can be said about the pairs
    facts: list[str] = [*audit_pairs(vm, swept.pairs), *audit_hidden(vm, cells)]
    chains, counts = holders(vm, space, swept.pairs)
    # A report has little room: how bad, the worst chain, then everything.
    if space.used - space.minimum > space.bound:
        facts.append(f"{space.used - space.minimum} pages are hidden, the model allows {space.bound}")
        return [summary(vm, space), *chains[:1], *facts, *counts, *chains[1:]]
    # So few are hidden that it is no leak yet: what will make it one comes first.
    return [*facts[:1], *chains[:1], summary(vm, space), *facts[1:], *counts, *chains[1:]] if facts else []


@contextmanager
def undisturbed(vm: Vm) -> Iterator[None]:
    """This process's transfers are neither slow nor faulty: a pair may stay for no other reason."""
    kept = vm.io.hook, vm.io.result_hook
    vm.io.hook = vm.io.result_hook = None
    try:
        yield
    finally:
        vm.io.hook, vm.io.result_hook = kept


def summary(vm: Vm, space: Space) -> str:
    """The first sentence of the finding: how much, against what, growing how fast."""
    return (
        f"space: {space.used - space.minimum} of {space.used} pages hidden, {growth(vm.arena)}, "
        f"the model needs {space.minimum}"
    )


def growth(arena: Arena) -> str:
    """Hidden pages per epoch, from the first audit to the last."""
    rows = epochs(arena)
    if len(rows) < 2:
        return "in the first epoch"
    per_epoch = (int(rows[-1].left) - int(rows[0].left)) / (len(rows) - 1)
    return f"{per_epoch:+.1f} per epoch over {len(rows)} epochs"


def holders(vm: Vm, space: Space, pairs: list[Pair]) -> tuple[list[str], list[str]]:
    """The chains with the most hidden pages, drawn; and the objects in them that hide some."""
    most = sorted(space.hidden.items(), key=lambda item: -item[1])[:SHOWN]
    lines = [f"O{slot} hides {pages} pages" for slot, pages in most]
    tops: dict[int, None] = {}
    for slot in (*(slot for slot, _ in most), *(pair.backing for pair in pairs[:SHOWN])):
        tops[top_of(vm, slot)] = None
    return [drawn(vm, slot) for slot in tops], lines


def drawn(vm: Vm, slot: int) -> Fact:
    """A chain from this object down."""
    top = vm.objects.views[slot]
    return Fact("", f"chain {show_chain(vm, top)}", subjects(chain_of(vm, top)[0]))


def hidden_lines(vm: Vm) -> list[str]:
    """What a dump of a leak says about hidden pages: a world at rest is looked at once more."""
    cells = Cells(vm)
    space, pairs = measure(cells), {pair.backing: pair for pair in collapsible(vm)}
    lines = [summary(vm, space)]
    if rows := epochs(vm.arena):
        series = ", ".join(str(int(row.used - row.minimum)) for row in rows[-SERIES:])
        lines.append(f"  hidden pages at each audit, oldest first: {series}")
        lines.append(
            "  links of the longest chain: " + ", ".join(str(int(row.chain)) for row in rows[-SERIES:])
        )
    most = sorted(cells.hidden().items(), key=lambda item: -len(item[1]))
    for slot, pages in most[:SHOWN]:
        which = " ".join(f"+{number}" for number in sorted(pages)[:SHOWN])
        more = " ..." if len(pages) > SHOWN else ""
        lines.append(
            f"  O{slot} hides {len(pages)} pages ({which}{more}): {reason(vm, slot, pairs.get(slot))}"
        )
        lines.append(f"    {show_chain(vm, vm.objects.views[top_of(vm, slot)])}")
    rest = sum(len(pages) for _, pages in most[SHOWN:])
    return [*lines, f"  and {rest} in {len(most) - SHOWN} other objects"] if rest else lines


@unguarded()
def reason(vm: Vm, slot: int, pair: Pair | None) -> str:
    """Why an object is still there with pages that no thread can see."""
    if pair is not None and pair.how == "overlay":
        return (
            f"only O{pair.front} uses it and could take it over, but has not; {paged(vm, pair.front, slot)}"
        )
    if pair is not None:
        return (
            f"O{pair.front} has a page of its own for all that it could see of it, but still goes through it"
        )
    if held_back(vm, vm.objects.views[slot]):
        return "a copy-object below holds it back"
    users = int(vm.objects.views[slot].ref_count)
    return f"{users} users, so it stays" if users > 1 else "its only user cannot take it over"


def paged(vm: Vm, front: int, slot: int) -> str:
    """Which of the two has a pager: what a collapse has to deal with first."""
    have = [f"O{one}" for one in (front, slot) if vm.objects.views[one].pager]
    if len(have) == 1:
        return f"{have[0]} has a pager"
    return "both have a pager" if have else "neither has a pager"


def top_of(vm: Vm, slot: int) -> int:
    """Where a chain through this object begins, by way of its newest shadower."""
    views = vm.objects.views
    for _ in range(len(views)):
        above = views[slot].shadowers_first
        if not 0 < above < len(views):
            break
        slot = above
    return slot


def report(arena: Arena) -> dict[str, int]:
    """What the run's report says; empty when nothing was audited."""
    rows = epochs(arena)
    if not rows:
        return {}
    last = rows[-1]
    return {
        "epochs": len(rows),
        "used": int(last.used),
        "minimum": int(last.minimum),
        "hidden": int(last.used - last.minimum),
        "hidden_max": max(int(row.used - row.minimum) for row in rows),
        "chain_max": max(int(row.chain) for row in rows),
        "swept": sum(int(row.joined) for row in rows),
    }
