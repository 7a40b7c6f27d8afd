"""The vnode pager: a file as backing store.

The vnode lock is held across the size test and the transfer: between the two a file
could shrink, and a page-out would then extend it again.  Writes are always synchronous,
the daemon's too; they end at the end of the file.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import VM_PAGER_BAD, VM_PAGER_ERROR, VM_PAGER_OK
from vmcore.pager.swap import pager_offset
from vmcore.structs import Pager, VmPage, Vnode
from vmcore.vm import Vm


@contract
def vnode_pager_getpage(vm: Vm, pager: Pager, page: VmPage) -> int:
    """Read the page; what lies beyond the end of the file is zero.

    Source: 4.4BSD vm/vnode_pager.c, vnode_pager_io.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode.
    Sleeps: yes (the vnode lock, and the read under it).
    """
    offset, frame = pager_offset(vm, page), vm.frames[page.slot]
    vnode: Vnode = vm.vnodes(pager.pg_handle)
    vnode.lock.acquire()
    length = min(vm.page_size, vnode.v_size - offset)
    if length <= 0:
        vnode.lock.release()
        return VM_PAGER_BAD
    came = vm.io.file_read(vnode.number, offset, frame[:length])
    vnode.lock.release()
    if came < 0:
        return VM_PAGER_ERROR
    frame[came:] = vm.zeros[came:]
    return VM_PAGER_OK


@contract
def vnode_pager_putpage(vm: Vm, pager: Pager, page: VmPage) -> int:
    """Write the page, up to the end of the file.

    Source: 4.4BSD vm/vnode_pager.c, vnode_pager_io.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode.
    Sleeps: yes (the vnode lock, and the write under it).
    """
    offset, frame = pager_offset(vm, page), vm.frames[page.slot]
    vnode: Vnode = vm.vnodes(pager.pg_handle)
    vnode.lock.acquire()
    length = min(vm.page_size, vnode.v_size - offset)
    good = length > 0 and vm.io.file_write(vnode.number, offset, frame[:length])
    vnode.lock.release()
    if length <= 0:
        return VM_PAGER_BAD
    return VM_PAGER_OK if good else VM_PAGER_ERROR


@contract
def vnode_pager_haspage(vm: Vm, pager: Pager, offset: int) -> bool:
    """Does the file reach this far?

    The size is read without the vnode lock, which may not be taken under an object: the
    answer holds for a moment only, and a read that comes too late is told BAD.

    Source: 4.4BSD vm/vnode_pager.c, vnode_pager_haspage.
    Enter:  anything.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return bool(offset < vm.vnodes(pager.pg_handle).v_size)


@contract
def vnode_pager_dealloc(vm: Vm, pager: Pager) -> None:
    """Part with the vnode: from now on a new mapping of the file makes a new pager.

    Source: 4.4BSD vm/vnode_pager.c, vnode_pager_dealloc.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode, pool, channel.
    Sleeps: yes (the vnode lock).
    """
    vnode: Vnode = vm.vnodes(pager.pg_handle)
    vnode.lock.acquire()
    vnode.v_vmdata = 0
    vnode.v_usecount -= 1
    vnode.chan.wakeup()
    vnode.lock.release()
    vm.pagers.free(pager)
