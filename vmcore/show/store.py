"""One line per record of the store: pagers, swap blocks, page-outs under way, files.

Like show.py: no lock, no blind link.
"""

from __future__ import annotations

from harness.shm.checked import unguarded
from vmcore import constants
from vmcore.show.show import walk
from vmcore.structs import Pager, PendingClean, Vnode
from vmcore.vm import Vm

KINDS = {constants.PG_SWAP: "swap", constants.PG_VNODE: "vnode", constants.PG_DEVICE: "device"}
STATES = {
    value: name.removeprefix("SPC_")
    for name, value in vars(constants).items()
    if name.startswith("SPC_") and isinstance(value, int)
}


def slot_of(link: int) -> int:
    """The slot of a Ref, without asking whether it still lives."""
    return link & 0xFFFFFFFF


@unguarded()
def show_pager(vm: Vm, pager: Pager) -> str:
    """``G4 swap of O7 valid 5 of 64 blocks 2 poip 1`` or ``G6 vnode 1 of O9 size 8``; pages."""
    if not vm.pagers.is_live(pager.slot):
        return f"G{pager.slot} is free"
    kind = KINDS.get(pager.pg_type, f"kind {pager.pg_type}")
    owner = f"of O{slot_of(pager.pg_object)}" if pager.pg_object else "of no object"
    if pager.pg_type == constants.PG_VNODE:
        resizing = " resizing" if pager.vnp_resizing else ""
        size = -(-pager.vnp_size // vm.page_size)
        return f"G{pager.slot} {kind} {slot_of(pager.pg_handle)} {owner} size {size}{resizing}"
    blocks = sum(1 for _ in walk(vm.swap_blocks.views, pager.sw_first, "next"))
    parts = [f"G{pager.slot} {kind} {owner} valid {pager.sw_cnt} of {pager.sw_osize // vm.page_size}"]
    parts.append(f"blocks {blocks}")
    if pager.sw_poip:
        parts.append(f"poip {pager.sw_poip}")
    if pager.is_named:
        parts.append(f"named {pager.pg_handle:#x}")
    return " ".join(parts)


@unguarded()
def show_pending(vm: Vm, record: PendingClean) -> str:
    """``W2 WRITING 3 pages from P17 of O7 to B9+1``; ``W2 FREE``."""
    state = STATES.get(record.state, f"state {record.state}")
    if record.state == constants.SPC_FREE:
        return f"W{record.slot} {state}"
    page = vm.pages.views[record.page] if record.page < len(vm.pages.views) else None
    busy = "*" if page is not None and page.flags_o & constants.PG_BUSY else ""
    owner = f"of O{slot_of(record.object)}" if record.object else "of no object"
    return (
        f"W{record.slot} {state} {record.count} pages from P{record.page}{busy} {owner} "
        f"to B{record.block}+{record.index}"
    )


@unguarded()
def show_vnode(vm: Vm, vnode: Vnode) -> str:
    """``N1 file 0 size 4 users 1 G6``; the size in pages."""
    size = -(-vnode.v_size // vm.page_size)
    pager = f"G{slot_of(vnode.v_vmdata)}" if vnode.v_vmdata else "no pager"
    return f"N{vnode.slot} file {vnode.number} size {size} users {vnode.v_usecount} {pager}"
