"""Quiescent invariants of pagers with an outside: files, and named memory.

A9, third part: at most one live pager per handle, and the handle leads to it.  A8 as far
as names go: named memory is never cached.  And the sizes of a file agree everywhere.
"""

from __future__ import annotations

from collections import Counter

from harness.shm.facts import Fact
from vmcore.constants import OBJ_CANPERSIST, OBJ_INTERNAL, PG_SWAP, PG_VNODE
from vmcore.structs import Pager
from vmcore.vm import Vm
from vmcore.vm_error import Facts, a_page, broken


def audit_named(vm: Vm) -> list[Fact]:
    """A8, A9 of files and named memory; sizes."""
    return [*one_pager_each(vm), *named_list(vm), *files(vm)]


def one_pager_each(vm: Vm) -> list[Fact]:
    """A9: no two live pagers of a kind have the same handle."""
    count = Counter((pager.pg_type, pager.pg_handle) for pager in vm.pagers.live() if pager.pg_handle)
    kinds = {PG_SWAP: "name", PG_VNODE: "vnode"}
    return [
        broken("A9", f"{kinds.get(kind, f'kind {kind}, handle')} {handle & 0xFFFFFFFF} has {number} pagers")
        for (kind, handle), number in count.items()
        if number > 1
    ]


def named_list(vm: Vm) -> list[Fact]:
    """The list holds exactly the live named pagers; their objects can be found, and are not cached."""
    views, slot = vm.pagers.views, vm.g.named_first
    on_list: list[int] = []
    while slot and len(on_list) <= len(views):
        on_list.append(slot)
        slot = views[slot].named_next
    live = [pager for pager in vm.pagers.live() if pager.pg_type == PG_SWAP and pager.pg_handle]
    bad = Facts()
    if sorted(on_list) != sorted(pager.slot for pager in live):
        bad.add("A9", f"the named list has pagers {sorted(on_list)}, named are {[p.slot for p in live]}")
    for pager in live:
        bad += named_object(vm, pager)
    return bad


def named_object(vm: Vm, pager: Pager) -> list[Fact]:
    """What must hold for the object of a named pager."""
    if not pager.pg_object:
        return [broken("A9", f"named pager {pager.slot} has no object")]
    object = vm.objects(pager.pg_object)
    bad = Facts()
    if not pager.is_named:
        bad.add("A9", f"pager {pager.slot} with name {pager.pg_handle} is not marked as named")
    if not object.is_hashed or object.flags & OBJ_INTERNAL:
        bad.add("A9", f"object {object.slot} of name {pager.pg_handle} cannot be found by its pager", object)
    if object.is_cached or object.flags & OBJ_CANPERSIST:
        bad.add("A8", f"object {object.slot} of name {pager.pg_handle} is or may be cached", object)
    return bad


def files(vm: Vm) -> list[Fact]:
    """Vnode and pager name each other; sizes agree, and no change of size is under way."""
    bad = Facts()
    for vnode in vm.vnodes.live():
        mine = [p for p in vm.pagers.live() if p.pg_type == PG_VNODE and vm.vnodes(p.pg_handle) is vnode]
        named = vm.pagers(vnode.v_vmdata) if vnode.v_vmdata else None
        if mine != ([] if named is None else [named]):
            bad.add("A9", f"vnode {vnode.slot} does not name its pager {[p.slot for p in mine]}")
        for pager in mine:
            bad += sizes(vm, pager)
    return bad


def sizes(vm: Vm, pager: Pager) -> list[Fact]:
    """File, pager and object agree; only wired pages may make the object reach further."""
    vnode, object = vm.vnodes(pager.pg_handle), vm.objects(pager.pg_object)
    bad = Facts()
    if pager.vnp_resizing:
        bad.add("Q3", f"pager {pager.slot} is changing its size")
    if pager.vnp_size != vnode.v_size:
        bad.add("A9", f"pager {pager.slot} believes in {pager.vnp_size} bytes, vnode has {vnode.v_size}")
    end = -(-vnode.v_size // vm.page_size) * vm.page_size
    if object.size < end:
        bad.add("A2", f"object {object.slot} has {object.size} bytes, its file {vnode.v_size}", object)
    slot = object.memq_first
    while slot:
        page = vm.pages.views[slot]
        if page.offset >= end and not page.wire_count:
            bad.add(
                "A2",
                f"page {slot} of object {object.slot} lies behind the end of its file",
                object,
                a_page(slot),
            )
        slot = page.listq_next
    return bad
