"""What every instant look needs: the plain views, the walk, the turn, and how a violation is told.

A look happens under a lock that this thread is just about to let go, and only reads what that lock
holds still.  What the thread wrote since its last look is noted as *touched*, so that a look at the page
queues, say, is a look at the pages that were moved and not at all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import local
from typing import Any

from harness.errors import HarnessError
from harness.shm.checked import REPORT_INVARIANT
from harness.shm.facts import details_of, report
from vmcore.vm import Vm

SLOT = 0xFFFFFFFF  # of a Ref
WALK_EVERY = 16  # looks of one thread at one kind of thing, for what costs a walk


class InstantViolation(HarnessError):
    """An A invariant does not hold at the release of the lock that guards it."""

    verdict = "invariant_violation"
    reports_itself = True

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.facts = [fact]


class Touched(local):
    """What this thread has written and not looked at yet; slots."""

    def __init__(self) -> None:
        self.pages: set[int] = set()  # flags, identity, wiring
        self.frames: set[int] = set()  # list of mappings
        self.mappings: set[int] = set()  # rights
        self.turns: dict[str, int] = {}


class Records:
    """The plain views: the look itself must not be looked at."""

    def __init__(self, vm: Vm) -> None:
        self.vm, self.touched = vm, Touched()
        self.objects: Any = vm.objects.views
        self.pages: Any = vm.pages.views
        self.pagers: Any = vm.pagers.views
        self.blocks: Any = vm.swap_blocks.views
        self.mappings: Any = vm.mappings.views
        self.pmaps: Any = vm.pmaps.views
        self.entries: Any = vm.entries.views
        self.maps: Any = vm.maps.views
        self.sharing_maps: Any = vm.sharing_maps.views
        self.map_at = {view.lock.offset: view for view in [*self.maps, *self.sharing_maps]}
        self.g: Any = vm.g
        self.heads, self.pmap_buckets, self.swap_owners = vm.heads, vm.pmap_buckets, vm.swap_owners
        self.object_lives, self.pager_lives = vm.objects.is_live, vm.pagers.is_live
        self.mapping_lives, self.block_lives = vm.mappings.is_live, vm.swap_blocks.is_live

    def due(self, what: str, every: int = WALK_EVERY) -> bool:
        """Is it this look's turn for a walk?"""
        turn = self.touched.turns.get(what, 0) + 1
        self.touched.turns[what] = turn
        return turn % every == 0

    def require(self, facts: Iterator[str]) -> None:
        """Report and raise the first violation."""
        for fact in facts:
            report(self.vm.arena, REPORT_INVARIANT, fact, details_of([fact]))
            raise InstantViolation(fact)


def walk(views: Any, slot: int, link: str) -> Iterator[Any]:
    """A list of slots, bounded by the table: a broken list must not hang the look."""
    left = len(views)
    while slot and left:
        record = views[slot]
        yield record
        slot = getattr(record, link)
        left -= 1
