"""The journey of a page: what the flight recorders know of one address, oldest first.

The places of an address are its page in every object of the shadow chain.  A page that came
there from another object brings that place with it, so the way through a collapse is
followed back.  The recorders keep the last thousand points of each thread; what is older is
not known.  Ages count from the look that the dump was made of: what threads did since stands
behind a plus.  No lock is taken.
"""

from __future__ import annotations

from typing import NamedTuple

from harness.errors import RecordError
from harness.probe import POINTS_KEPT, points
from harness.shm.checked import unguarded
from harness.shm.roster import Roster
from vmcore import page_events
from vmcore.page_events import Place
from vmcore.show.show import LONGEST_CHAIN, walk
from vmcore.structs import VmMapEntry, VmObject, Vmspace
from vmcore.vm import Vm

MOST = 24  # lines; the newest
WORDS = {
    page_events.OUT: "is being written to the pager",
    page_events.OUT_DONE: "was written to the pager",
    page_events.OUT_FAILED: "could not be written to the pager",
    page_events.IN: "is being read from the pager",
    page_events.IN_FAILED: "could not be read from the pager",
}


class Step(NamedTuple):
    """One event about pages; sorts by time."""

    when: int
    seat: int
    number: int
    who: str
    what: str
    place: Place


def journey(vm: Vm, space: Vmspace, va: int, now: int) -> list[str]:
    """Lines; empty when nothing is known."""
    start = places_of(vm, space, va)
    if not start:
        return []
    steps = page_steps(vm)
    steps = filter_steps(steps, trace_back(steps, set(start)), resident(vm, start))
    lines = [told(step, now) for step in steps]
    chain = "→".join(f"O{slot}+{number}" for slot, number in start)
    head = f"page at {va:#x} of V{space.slot} ({chain}), oldest first:"
    return [
        head,
        *(f"  {line}" for line in lines[-MOST:] or ["no event of it is left in the recorders"]),
        *explain_loss(steps, known_since(vm)),
    ]


def life(vm: Vm, slot: int, now: int) -> list[str]:
    """The same of a page wherever it was; empty when nothing is known."""
    steps = [
        step for step in page_steps(vm) if step.place.page == slot and step.what != page_events.FORGOTTEN
    ]
    if not steps:
        return []
    return [f"page {slot}, oldest first:", *(f"  {told(step, now)}" for step in steps[-MOST:])]


@unguarded()
def places_of(vm: Vm, space: Vmspace, va: int) -> list[tuple[int, int]]:
    """(object, page of it) at every link of the chain behind an address, from the top."""
    entry = entry_at(vm, space, va)
    if entry is None:
        return []
    offset = va - entry.start + entry.offset
    found: list[tuple[int, int]] = []
    try:
        one: VmObject | None = vm.objects(entry.object) if entry.object else None
        while one is not None and len(found) < LONGEST_CHAIN:
            found.append((one.slot, offset >> vm.page_shift))
            offset += one.shadow_offset
            one = vm.objects(one.shadow) if one.shadow else None
    except RecordError:
        pass
    return found


def entry_at(vm: Vm, space: Vmspace, va: int) -> VmMapEntry | None:
    """The entry that an address lies in, through a sharing map if there is one."""
    table = vm.maps(space.map)
    for _ in range(2):
        entry = next((e for e in walk(vm.entries.views, table.first, "next") if e.start <= va < e.end), None)
        if entry is None or not entry.is_a_map:
            return entry
        table, va = vm.maps(entry.object), va - entry.start + entry.offset
    return None


@unguarded()
def resident(vm: Vm, places: list[tuple[int, int]]) -> set[int]:
    """The pages that are at these places now."""
    found = set()
    for slot, number in places:
        for page in walk(vm.pages.views, vm.objects.views[slot].memq_first, "listq_next"):
            if page.offset >> vm.page_shift == number:
                found.add(page.slot)
    return found


def page_steps(vm: Vm) -> list[Step]:
    """All events about pages that are left, of all threads."""
    known = {name for key, name in vars(page_events).items() if key.isupper() and isinstance(name, str)}
    found = []
    for row in Roster(vm.arena).rows():
        for number, event in enumerate(points(vm.arena, row.number)):
            if event.name in known:
                place = page_events.unpack(event.object)
                found.append(Step(event.when, row.number, number, row.role, event.name, place))
    return sorted(found)


def trace_back(steps: list[Step], places: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """These places, and those that their pages were moved from."""
    origin: dict[int, Step] = {}  # thread -> what it took out last
    moves = []
    for step in steps:
        before = origin.pop(step.seat, None)
        if step.what == page_events.LEAVES:
            origin[step.seat] = step
        elif step.what == page_events.ENTERS and before is not None and before.place.page == step.place.page:
            moves.append((before.place[1:], step.place[1:]))
    for source, target in reversed(moves):
        if target in places:
            places.add(source)
    return places


def filter_steps(steps: list[Step], places: set[tuple[int, int]], pages: set[int]) -> list[Step]:
    """The events at these places, and what was done to the contents of the pages while there."""
    entered = {
        step.place.page for step in steps if step.what == page_events.ENTERS and step.place[1:] in places
    }
    here = pages - entered  # there before the recorders' memory begins
    found = []
    for step in steps:
        page, owner, number = step.place
        at = (owner, number) in places
        if step.what == page_events.ZEROED:
            at = page in here
        elif step.what == page_events.COPIED:
            at = page in here or owner in here
        elif step.what == page_events.FORGOTTEN:
            at = any(slot == owner and number <= offset < number + page for slot, offset in places)
        elif step.what == page_events.ENTERS:
            here = here | {page} if at else here - {page}
        elif step.what == page_events.LEAVES:
            here = here - {page}
        if at:
            found.append(step)
    return found


def known_since(vm: Vm) -> int:
    """From this moment on no thread's recorder has lost an event: that one is missing proves something."""
    kept = [points(vm.arena, row.number) for row in Roster(vm.arena).rows()]
    return max((one[0].when for one in kept if len(one) == POINTS_KEPT), default=0)


def explain_loss(steps: list[Step], since: int = 0) -> list[str]:
    """What the events prove about a loss; nothing where they prove nothing.

    That a write has not ended is only proved by memories that go back to ``since``, before it began.
    """
    found: list[str] = []
    written: dict[tuple[int, int], str] = {}  # place -> how its last write stands
    entered: dict[int, tuple[int, int]] = {}  # page -> where it came in and was not written since
    clean = ""
    for i, step in enumerate(steps):
        page, at = step.place.page, step.place[1:]
        name = f"O{step.place.object}+{step.place.number}"
        if step.what == page_events.ENTERS:
            entered[page] = at
        elif step.what in (page_events.OUT, page_events.OUT_DONE, page_events.OUT_FAILED):
            if step.what == page_events.OUT and written.get(at) == page_events.OUT:
                found.append(f"  so a second write of {name} began while the first was under way")
            if step.what != page_events.OUT or step.when >= since:
                written[at] = step.what
            else:
                written.pop(at, None)
            entered.pop(page, None)
        elif step.what == page_events.LEAVES and not moves(steps, i):
            if written.get(at) == page_events.OUT_FAILED:
                found.append(f"  so P{page} was given up by {step.who} although its last write failed")
            elif written.get(at) == page_events.OUT:
                found.append(f"  so P{page} was given up by {step.who} while it was being written")
            elif entered.pop(page, None) == at:
                clean = f"  P{page} was given up by {step.who}; it was not written since it came in"
        elif step.what == page_events.FORGOTTEN:
            found.append(f"  so {step.who} made the pager of O{step.place.object} forget this page")
    if (
        steps
        and steps[-1].what == page_events.ZEROED
        and steps[-2:-1]
        and steps[-2].what == page_events.IN_FAILED
    ):
        found.append("  so what was read is a fresh page of zeros, because the pager did not have it")
    return list(dict.fromkeys(found)) or [clean] * bool(clean)


def moves(steps: list[Step], i: int) -> bool:
    """Does the page that leaves here go somewhere else at once?"""
    here = steps[i]
    return any(
        later.what == page_events.ENTERS and later.place.page == here.place.page and later.seat == here.seat
        for later in steps[i + 1 : i + 2]
    )


def told(step: Step, now: int) -> str:
    """One line."""
    page, owner, number = step.place
    text = {
        page_events.ENTERS: f"P{page} enters O{owner}+{number}",
        page_events.LEAVES: f"P{page} leaves O{owner}+{number}",
        page_events.ZEROED: f"P{page} is filled with zeros",
        page_events.COPIED: f"P{page} becomes a copy of P{owner}",
        page_events.FORGOTTEN: f"the pager of O{owner} forgets {page} pages from +{number} on",
    }.get(step.what) or f"O{owner}+{number} (P{page}) {WORDS[step.what]}"
    return f"{age(now, step.when)} s  {step.who}: {text}"


def age(now: int, when: int) -> str:
    """Seconds before the look, or after it."""
    return f"{'-' if when <= now else '+'}{abs(now - when) / 1e9:7.3f}"
