"""What a dump says in the VM's own words: the objects and pages that its locks and waits name.

Registered with ``harness.watch.render.sections``; runs in the watchdog, on a system that may be wedged,
so nothing here takes a lock.  What is meant is known by the dump's data: the records that a fact is
about, and the places of locks and words in the arena.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from harness.shm.checked import unguarded
from harness.watch.records import Dump, SeatFacts
from harness.watch.render import sections
from stress.dump_sections.inconsistencies import contradictions
from stress.dump_sections.invariants import told
from stress.dump_sections.page_history import journey, life
from stress.oracles.hidden_pages import hidden_lines
from vmcore import page_events
from vmcore.show.show import OBJ, PG, names, show_chain, show_object, show_page
from vmcore.show.store import show_pager
from vmcore.show.world import CHAINS, show_world
from vmcore.vm import Vm

SECTION, JOURNEY, RULES = "vmcore", "journey of the page", "what must hold"
CANNOT_BE = "what cannot be in this picture"
COMPLAINTS = frozenset({"invariant_violation", "panic", "contract_violation", "unguarded_access"})
FLAGS: dict[str, Any] = {
    "vm_objects.flags": {"prefix": "OBJ_", "table": OBJ},
    "vm_pages.flags_o": {"prefix": "PG_", "table": PG},
    "vm_pages.flags_p": {"prefix": "PG_", "table": PG},
}
LAST_EVENTS = 8
FEW_CHAINS = 2  # where no chain is in question
MOST = 40  # objects; a chain is a line of its own
OBJECTS, PAGES, SPACES = "vm_objects", "vm_pages", "vm_vmspaces"


def register(vm: Vm) -> None:
    """From now on dumps of this process have sections about this VM."""
    sections.register(RULES, lambda _arena, dump: told(dump.details.rules) + outlived(vm, dump))
    sections.register(CANNOT_BE, lambda _arena, _dump: contradictions(vm))
    sections.register(JOURNEY, lambda _arena, dump: page_read(vm, dump))
    sections.register(SECTION, lambda _arena, dump: render(vm, dump))
    for point in page_events.ALL:
        sections.register_argument(point, partial(page_events.event_text, point))
    for word, table in FLAGS.items():
        sections.register_word(word, partial(names, **table))


def unregister() -> None:
    """No section any more."""
    sections.unregister(RULES)
    sections.unregister(CANNOT_BE)
    sections.unregister(JOURNEY)
    sections.unregister(SECTION)
    for point in page_events.ALL:
        sections.unregister_argument(point)
    for word in FLAGS:
        sections.unregister_word(word)


@unguarded()  # a thread that only looks, in checked mode too: the system may be wedged
def page_read(vm: Vm, dump: Dump) -> list[str]:
    """The journey of the page that a read found wrong, or the life of the first that a complaint names."""
    if dump.verdict in COMPLAINTS:
        return next((life(vm, slot, dump.taken_ns) for slot in slots_of(dump, PAGES)), [])
    for one in dump.details.about:
        if one.table == SPACES and vm.vmspaces.is_live(one.slot):
            return journey(vm, vm.vmspaces.views[one.slot], one.at, dump.taken_ns)
    return []


def slots_of(dump: Dump, table: str) -> list[int]:
    """Slots of a table's records that the facts are about."""
    return [one.slot for one in dump.details.about if one.table == table]


def outlived(vm: Vm, dump: Dump) -> list[str]:
    """Objects that have gone, although the head says that they are used: that is the mistake."""
    slots = dict.fromkeys(slot for at in dump.places for slot in sorted(slot_at(vm.objects.table, at)))
    if dump.details.mistake in ("stale_link", "unguarded"):
        slots |= dict.fromkeys(slots_of(dump, OBJECTS))
    return [
        line
        for slot in slots
        if 0 < slot < len(vm.objects.views) and not vm.objects.is_live(slot)
        for line in (f"O{slot} was freed, and is still used by its old name", *told(["A16"]))
    ]


@unguarded()
def render(vm: Vm, dump: Dump) -> list[str]:
    """Lines: the whole VM on a page, then each object that is named, with its chain, and each page."""
    objects, pages = named(vm, dump)
    leak = dump.verdict == "leak"
    lines = show_world(vm, CHAINS if leak else FEW_CHAINS)
    if leak:
        lines += hidden_lines(vm)
    if objects or pages:
        lines.append("named above:")
    for slot in sorted(objects)[:MOST]:
        if vm.objects.is_live(slot):
            one = vm.objects.views[slot]
            lines += [show_object(vm, one), f"  chain {show_chain(vm, one)}"]
            lines += [f"  {show_pager(vm, pager)}" for pager in pagers_of(vm, slot)]
        else:
            lines.append(f"O{slot} is free")
    lines += [show_page(vm, vm.pages.views[slot]) for slot in sorted(pages)[:MOST]]
    return lines


def pagers_of(vm: Vm, slot: int) -> list[Any]:
    """Every pager that says it is this object's: there should be one at most."""
    return [pager for pager in vm.pagers.live() if pager.pg_object & 0xFFFFFFFF == slot]


def named(vm: Vm, dump: Dump) -> tuple[set[int], set[int]]:
    """Slots of the objects and pages that the head is about, and that the threads hold, wait for or claim."""
    told = set(slots_of(dump, OBJECTS))
    objects, pages = set(told), set[int]()
    if dump.verdict in COMPLAINTS:
        pages = set(slots_of(dump, PAGES)) & set(range(1, len(vm.pages.views)))
    for seat in dump.threads:
        # A thread that reports about objects has looked at other objects since.
        for at in places(seat, seat.number in dump.involved and not told):
            objects |= slot_at(vm.objects.table, at)
            pages |= slot_at(vm.pages, at)
    for slot in list(pages):
        owner = vm.pages.views[slot].object & 0xFFFFFFFF
        objects |= {owner} if owner else set()
    return {slot for slot in objects if 0 < slot < len(vm.objects.views)}, pages


def places(seat: SeatFacts, involved: bool) -> list[int]:
    """Where its locks and words lie in the arena; of a suspect also the locks that it held just before."""
    found = [held.offset for held in seat.held] + [claim.address for claim in seat.claims]
    if involved:
        found += [event.offset for event in seat.events[-LAST_EVENTS:]]
    return found + ([seat.wait.address, seat.wait.offset] if seat.wait else [])


def slot_at(table: Any, address: int) -> set[int]:
    """The slot of the record that this arena address lies in."""
    at = int(address) - int(table.offset)
    return {at // table.stride} if table.stride <= at < table.stride * (table.count + 1) else set()
