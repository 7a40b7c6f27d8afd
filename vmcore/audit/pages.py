"""Quiescent invariants of pages: lists, flags, counts."""

from __future__ import annotations

from harness.shm.facts import Fact
from vmcore.constants import (
    HASH_SPREAD,
    PG_ACTIVE,
    PG_BUSY,
    PG_CLEAN,
    PG_DEVICE,
    PG_FAKE,
    PG_FICTITIOUS,
    PG_FREE,
    PG_INACTIVE,
    PG_LAUNDRY,
    PG_TABLED,
    PG_WANTED,
)
from vmcore.pmap.coloring import audit_colours
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm
from vmcore.vm_error import Facts, a_page, broken

PASSING = {PG_BUSY: "BUSY", PG_FAKE: "FAKE", PG_WANTED: "WANTED"}


def queue(vm: Vm, slot: int) -> list[int]:
    """The slots on a page queue, from its head."""
    found: list[int] = []
    while slot and len(found) <= len(vm.pages.views):
        found.append(slot)
        slot = vm.pages.views[slot].pageq_next
    return found


def memq(vm: Vm, object: VmObject) -> list[VmPage]:
    """The resident pages of an object in list order."""
    found: list[VmPage] = []
    slot = object.memq_first
    while slot and len(found) <= len(vm.pages.views):
        found.append(vm.pages.views[slot])
        slot = vm.pages.views[slot].listq_next
    return found


def audit_pages(vm: Vm) -> list[Fact]:
    """Q3 (pages), Q4, Q5 (queues), Q13 (laundry, records); A2, A3."""
    lists = {
        PG_FREE: set(queue(vm, vm.g.free_first)),
        PG_ACTIVE: set(queue(vm, vm.g.active_first)),
        PG_INACTIVE: set(queue(vm, vm.g.inactive_first)),
    }
    bad = Facts()
    for page in vm.pages.views[1:]:
        bad += placed(page, lists)
        if page.flags_o & PG_TABLED and not page.flags_p & PG_FREE:
            bad += settled(page)
    buckets, twice = hashed(vm)
    bad += twice
    for object in vm.objects.live():
        bad += resident(vm, object, buckets)
    bad += [broken("A2", f"page {slot} is in the hash, but in no object", a_page(slot)) for slot in buckets]
    return bad + counted(vm, lists) + records(vm) + devices(vm) + audit_colours(vm)


def placed(page: VmPage, lists: dict[int, set[int]]) -> list[Fact]:
    """A3, Q4: a page is on the list its flags name; managed, unwired pages are on one."""
    name, flags, wired = f"page {page.slot}", page.flags_p, page.wire_count
    on = sum(page.slot in members for members in lists.values())
    managed = not page.flags_o & PG_FICTITIOUS
    free = bool(flags & PG_FREE)
    tabled = page.flags_o & PG_TABLED and not free
    rules = (
        (tabled and managed and not wired and on != 1, "Q4", f"{name} is on {on} queues"),
        (wired and on, "A3", f"wired {name} is on a queue"),
        (on and not managed, "A3", f"fictitious {name} is on a queue"),
        (managed and not (tabled or wired or free), "Q4", f"{name} is neither free nor in an object"),
    )
    return [
        broken("A3", f"{name} has flags {flags:#x}, on that list: {page.slot in members}", page)
        for bit, members in lists.items()
        if bool(flags & bit) != (page.slot in members)
    ] + [broken(rule, text, page) for violated, rule, text in rules if violated]


def settled(page: VmPage) -> list[Fact]:
    """Q3, Q13: no thread works on it, and a dirty inactive page is still to be written."""
    bad = Facts(
        broken("Q3", f"page {page.slot} is {name}", page)
        for bit, name in PASSING.items()
        if page.flags_o & bit
    )
    if page.flags_p & PG_INACTIVE and not page.flags_o & PG_CLEAN and not page.flags_p & PG_LAUNDRY:
        bad.add("Q13", f"page {page.slot} is inactive and dirty without LAUNDRY", page)
    return bad


def resident(vm: Vm, object: VmObject, buckets: dict[int, int]) -> list[Fact]:
    """A2: memq, count, identity, hash (what is found leaves ``buckets``)."""
    bad = Facts()
    pages = memq(vm, object)
    if len(pages) != object.resident_page_count:
        bad.add(
            "A2", f"object {object.slot} counts {object.resident_page_count} pages, has {len(pages)}", object
        )
    for page in pages:
        if not page.object or vm.objects(page.object) is not object:
            bad.add("A2", f"page {page.slot} is in object {object.slot}, but names another", object, page)
        elif not page.flags_o & PG_TABLED:
            bad.add("A2", f"page {page.slot} of object {object.slot} is not TABLED", object, page)
        elif not 0 <= page.offset < object.size:
            bad.add(
                "A2", f"page {page.slot} lies at {page.offset:#x}, beyond object {object.slot}", object, page
            )
        elif buckets.pop(page.slot, None) != bucket_of(vm, object.slot, page.offset):
            bad.add(
                "A2", f"page {page.slot} is not found by its name ({object.slot}, {page.offset:#x})", page
            )
    return bad


def bucket_of(vm: Vm, number: int, offset: int) -> int:
    """The hash bucket of a name."""
    return int((number * HASH_SPREAD + (offset >> vm.page_shift)) & vm.hash_mask)


def hashed(vm: Vm) -> tuple[dict[int, int], list[Fact]]:
    """Page slot -> bucket for all pages in the hash; and those that are there twice."""
    found: dict[int, int] = {}
    bad = Facts()
    for bucket in range(vm.hash_mask + 1):
        slot = vm.heads[bucket]
        while slot:
            if slot in found:
                bad.add("A2", f"page {slot} is in the hash twice", a_page(slot))
                break
            found[slot] = bucket
            slot = vm.pages.views[slot].hashq_next
    return found, bad


def counted(vm: Vm, lists: dict[int, set[int]]) -> list[Fact]:
    """Q5: the counters are the lengths."""
    g = vm.g
    wired = sum(1 for page in vm.pages.views[1:] if page.wire_count and not page.flags_o & PG_FICTITIOUS)
    pairs = (
        ("v_free_count", g.v_free_count, len(lists[PG_FREE])),
        ("v_active_count", g.v_active_count, len(lists[PG_ACTIVE])),
        ("v_inactive_count", g.v_inactive_count, len(lists[PG_INACTIVE])),
        ("v_wire_count", g.v_wire_count, wired),
    )
    return [
        broken("Q5", f"{name} is {said}, counted {found}") for name, said, found in pairs if said != found
    ]


def records(vm: Vm) -> list[Fact]:
    """Q13: all records of pending page-outs are free."""
    bad = Facts()
    if vm.g.inuse_first:
        bad.add("Q13", f"pending page-out record {vm.g.inuse_first} is in use")
    free, slot = 0, vm.g.spc_free_first
    while slot and free < len(vm.pending.views):
        free += 1
        slot = vm.pending.views[slot].next
    if free != len(vm.pending.views) - 1:
        bad.add("Q13", f"{free} of {len(vm.pending.views) - 1} page-out records are free")
    return bad


def devices(vm: Vm) -> list[Fact]:
    """A3, A9: a pager's list has exactly the pages it has given out; a device names its one pager."""
    bad = Facts()
    listed: dict[int, int] = {}
    for pager in vm.pagers.live():
        if pager.pg_type != PG_DEVICE:
            continue
        if vm.devices.views[pager.pg_handle].pager != vm.pagers.ref(pager):
            bad.add("A9", f"pager {pager.slot} is that of device {pager.pg_handle}, which names another")
        for slot in queue(vm, pager.devp_pglist):
            listed[slot] = pager.slot
            page = vm.pages.views[slot]
            if page.flags_o & PG_TABLED and page.object != pager.pg_object:
                bad.add("A9", f"page {slot} of device {pager.pg_handle} is in another object", a_page(slot))
    for page in vm.pages.views[1:]:
        managed = page.slot <= vm.config.pages
        if bool(page.flags_o & PG_FICTITIOUS) == managed:
            bad.add("A3", f"page {page.slot} has flags {page.flags_o:#x}, a frame of ours: {managed}", page)
        if not managed and bool(page.wire_count) != (page.slot in listed):
            bad.add(
                "A3",
                f"fictitious page {page.slot} counts {page.wire_count}, listed: {page.slot in listed}",
                page,
            )
    return bad
