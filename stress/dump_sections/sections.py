"""What a dump says in the VM's own words: the objects and pages that its locks and waits name.

Registered with ``harness.watch.render.sections``; runs in the watchdog, on a system that may be wedged,
so nothing here takes a lock.  Names are read back from the dump ("object[12]",
"vm_objects[12].paging_in_progress"), because that is all that a watcher knows.
"""

from __future__ import annotations

import re
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
OBJECT = re.compile(r"\b(?:object|vm_objects)\[(\d+)\]")
READ = re.compile(r"\bvmspace (\d+) read (0x[0-9a-f]+)")  # stress.oracles.at_rest.wrong_data
TOLD_OBJECT = re.compile(r"\bO(\d+)\(|\bobjects? (\d+)(?: and (\d+))?\b")  # of chains, and of audits
PAGE = re.compile(r"\bvm_pages\[(\d+)\]")
TOLD_PAGE = re.compile(r"\b(?:page (\d+)\b(?! of space)|vm_pages\[(\d+)\])")  # of audits, and of pools


def register(vm: Vm) -> None:
    """From now on dumps of this process have sections about this VM."""
    sections.register(RULES, lambda _arena, dump: told(dump.summary) + outlived(vm, dump))
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
        page = TOLD_PAGE.search(dump.summary)
        return life(vm, int(page[1] or page[2]), dump.taken_ns) if page else []
    read = READ.search(dump.summary) if dump.verdict == "wrong_data" else None
    if read is None or not vm.vmspaces.is_live(int(read[1])):
        return []
    return journey(vm, vm.vmspaces.views[int(read[1])], int(read[2], 16), dump.taken_ns)


def outlived(vm: Vm, dump: Dump) -> list[str]:
    """Objects that have gone, although the head says that they are used: that is the mistake."""
    slots = dict.fromkeys(int(slot) for slot in OBJECT.findall(dump.summary))
    return [
        line
        for slot in slots
        if 0 < slot < len(vm.objects.views) and not vm.objects.is_live(slot)
        for line in (f"O{slot} was freed, and is still used by its old name", *told("A16: "))
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
    """Slots of the objects and pages that the head names, and that the threads hold, wait for or claim."""
    told = {int(slot) for found in TOLD_OBJECT.findall(dump.summary) for slot in found if slot}
    objects = set(told)
    pages: set[int] = set()
    if dump.verdict in COMPLAINTS:
        pages = {int(slot) for found in TOLD_PAGE.findall(dump.summary) for slot in found if slot}
        pages &= set(range(1, len(vm.pages.views)))
    for seat in dump.threads:
        # A thread that reports about objects has looked at other objects since.
        text = words(seat, seat.number in dump.involved and not told)
        objects |= {int(found) for found in OBJECT.findall(text)}
        pages |= {int(found) for found in PAGE.findall(text)}
        for claim in seat.claims:
            objects |= slot_at(vm.objects.table, claim.address)
            pages |= slot_at(vm.pages, claim.address)
        if seat.wait:
            objects |= slot_at(vm.objects.table, seat.wait.address)
            objects |= slot_at(vm.objects.table, seat.wait.offset)
            pages |= slot_at(vm.pages, seat.wait.address)
    for slot in list(pages):
        owner = vm.pages.views[slot].object & 0xFFFFFFFF
        objects |= {owner} if owner else set()
    return {slot for slot in objects if 0 < slot < len(vm.objects.views)}, pages


def words(seat: SeatFacts, involved: bool) -> str:
    """Every lock name of a thread; of a suspect also those that it held just before."""
    held = " ".join(held.lock for held in seat.held)
    if involved:
        held += " " + " ".join(event.what for event in seat.events[-LAST_EVENTS:])
    wait = f"{seat.wait.lock} {seat.wait.predicate}" if seat.wait else ""
    return f"{held} {wait}"


def slot_at(table: Any, address: int) -> set[int]:
    """The slot of the record that this arena address lies in."""
    at = int(address) - int(table.offset)
    return {at // table.stride} if table.stride <= at < table.stride * (table.count + 1) else set()
