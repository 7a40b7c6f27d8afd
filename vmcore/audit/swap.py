"""Quiescent invariants of backing store: pagers, swap blocks, the swap map."""

from __future__ import annotations

from collections import Counter, defaultdict

from harness.shm.facts import Fact
from vmcore.constants import PG_SWAP, PG_VNODE, SPC_FREE
from vmcore.structs import Pager, SwapBlock
from vmcore.vm import Vm
from vmcore.vm_error import Facts, an_object, broken


def blocks_of(vm: Vm, pager: Pager) -> list[SwapBlock]:
    """The swap blocks on a pager's list (a broken list ends the walk)."""
    views, slot = vm.swap_blocks.views, pager.sw_first
    found: list[SwapBlock] = []
    while 0 < slot < len(views) and len(found) <= len(views):
        found.append(views[slot])
        slot = views[slot].next
    return found


def audit_swap(vm: Vm) -> list[Fact]:
    """Q6, A9 (one object per pager, one pager per handle), A11, Q13 (rows of page-outs)."""
    bad = installed_once(vm) + handles(vm)
    owner: dict[int, int] = {}
    for pager in vm.pagers.live():
        if pager.pg_type != PG_SWAP:
            continue
        blocks = blocks_of(vm, pager)
        bad += valid_bits(vm, pager, blocks)
        for block in blocks:
            bad += extent(vm, pager, block, owner)
    lost = [block.slot for block in vm.swap_blocks.live() if block.slot not in owner]
    bad += [broken("A11", f"swap block {slot} hangs on no pager") for slot in lost]
    return bad + swap_map(vm) + pending_pages(vm)


def installed_once(vm: Vm) -> list[Fact]:
    """A9, Q6: no pager serves two objects."""
    users: dict[int, list[int]] = defaultdict(list)
    for object in vm.objects.live():
        if object.pager:
            users[vm.pagers(object.pager).slot].append(object.slot)
    return [
        broken("A9", f"pager {slot} is installed in objects {objects}", *map(an_object, objects))
        for slot, objects in users.items()
        if len(objects) > 1
    ]


def handles(vm: Vm) -> list[Fact]:
    """A9: at most one live pager per handle, and a file names the one it has."""
    count = Counter((p.pg_type, p.pg_handle) for p in vm.pagers.live() if p.pg_handle)
    bad = Facts(
        broken("A9", f"{times} pagers of kind {kind} have the handle {handle:#x}")
        for (kind, handle), times in count.items()
        if times > 1
    )
    for pager in vm.pagers.live():
        if pager.pg_type == PG_VNODE and vm.vnodes(pager.pg_handle).v_vmdata != vm.pagers.ref(pager):
            slot = vm.vnodes(pager.pg_handle).slot
            bad.add("A9", f"pager {pager.slot} is that of vnode {slot}, which names another")
    return bad


def valid_bits(vm: Vm, pager: Pager, blocks: list[SwapBlock]) -> list[Fact]:
    """A11: the count of valid pages is the number of valid bits; they lie inside the pager."""
    counted = sum(block.swb_mask.bit_count() for block in blocks)
    bad = Facts()
    if counted != pager.sw_cnt:
        bad.add("A11", f"pager {pager.slot} counts {pager.sw_cnt} valid pages, has {counted}")
    pages = pager.sw_osize // vm.page_size
    for block in blocks:
        last = block.index * pager.sw_bsize + block.swb_mask.bit_length()
        if last > pages or block.swb_mask >> pager.sw_bsize:
            bad.add("A11", f"block {block.slot} of pager {pager.slot} is valid beyond page {pages}")
    return bad


def extent(vm: Vm, pager: Pager, block: SwapBlock, owner: dict[int, int]) -> list[Fact]:
    """A11: one block, its pager, its run of the swap map (``owner`` collects block -> pager)."""
    bad, name = Facts(), f"swap block {block.slot} of pager {pager.slot}"
    if block.slot in owner:
        return [broken("A11", f"{name} hangs on pager {owner[block.slot]} too")]
    owner[block.slot] = pager.slot
    if not vm.swap_blocks.is_live(block.slot) or block.pager != vm.pagers.ref(pager):
        bad.add("A11", f"{name} is free, or names another pager")
    if not block.swb_block:
        bad.add("A11", f"{name} has no place in the swap file")
    run = range(block.swb_block, block.swb_block + pager.sw_bsize)
    if run.stop > len(vm.swap_owners):
        return [*bad, broken("A11", f"{name} lies at {block.swb_block}, beyond the swap file")]
    strangers = sorted({vm.swap_owners[page] for page in run} - {block.slot})
    if strangers:
        bad.add("A11", f"{name} lies at {block.swb_block}, where blocks {strangers} live")
    if block.writes:
        bad.add("A11", f"{name} has {block.writes} writes in flight")
    if not block.swb_mask and not block.writes:
        bad.add("A11", f"{name} holds no valid page and no write is in flight")
    return bad


def swap_map(vm: Vm) -> list[Fact]:
    """A11, Q6: what the map calls taken has an owner, and the count is that of the map."""
    taken = bytes(vm.swap_map)[1:]
    bad = Facts()
    for page, mark in enumerate(taken, 1):
        owner = vm.swap_owners[page]
        if bool(mark) != bool(owner):
            bad.add("A11", f"swap page {page} is marked {mark}, its owner is block {owner}")
        elif owner and not vm.swap_blocks.is_live(owner):
            bad.add("A11", f"swap page {page} belongs to block {owner}, which is free")
    used = sum(map(bool, taken))
    if used != vm.g.swap_used:
        bad.add("Q6", f"swap_used is {vm.g.swap_used}, the swap map has {used}")
    return bad


def pending_pages(vm: Vm) -> list[Fact]:
    """Q13: no page-out, and no page of one, is left half way."""
    bad = [
        broken("Q13", f"page-out {name} {row.slot} is in state {row.state}")
        for name, table in (("record", vm.pending), ("page", vm.pending_pages))
        for row in table.views[1:]
        if row.state != SPC_FREE or row.busy_address
    ]
    waiting = {name: getattr(vm.g, name) for name in ("writes_queued", "writes_in_flight")}
    return bad + [broken("Q13", f"{name} is {count}") for name, count in waiting.items() if count]
