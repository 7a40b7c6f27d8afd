"""A file changes its size, or is to be forgotten, while it is mapped.

``vnode_pager_setsize`` keeps three sizes in step: the file's own, the one that page-ins
and page-outs are tested against (``v_size``, under the vnode lock), and ``object.size``.
The object's is raised first and lowered last, so that no valid page ever lies beyond it.

The trap is the vnode lock.  A page beyond the new end may be BUSY, and its owner may be
in a page-in that wants this very lock; so the pages go without it.  What keeps a second
change out meanwhile is ``vnp_resizing``, not the lock.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    KERN_FAILURE,
    KERN_INVALID_ARGUMENT,
    KERN_SUCCESS,
    PG_BUSY,
    VM_PROT_NONE,
    VM_PROT_READ,
)
from vmcore.object.deallocate import pager_cache, vm_object_deallocate
from vmcore.object.object_cache import vm_object_lookup
from vmcore.object.object_page_remove import vm_object_page_remove, wait_for_owner
from vmcore.page.page import object_pages, vm_page_lookup
from vmcore.pmap.pmap import pmap_page_protect
from vmcore.structs import Pager, VmObject, Vnode
from vmcore.vm import Vm

RESIZING: int = Pager.vnp_resizing.offset


@contract
def vnode_pager_setsize(vm: Vm, vnode: Vnode, size: int) -> int:
    """Make the file ``size`` bytes long; KERN_SUCCESS, or KERN_FAILURE with nothing changed.

    New bytes are zeros.  Pages beyond a new end leave memory, through whatever map they
    were reached; a later access there is refused by the pager (BAD).  Wired pages stay
    until they are unwired, filled with zeros.

    Source: 4.4BSD vm/vnode_pager.c, vnode_pager_setsize.
    Enter:  nothing locked (no map lock either, no busy page).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (another size change; busy pages; the last reference may be ours by then).
    """
    if size < 0:
        return KERN_INVALID_ARGUMENT
    pager, object = begin_resize(vm, vnode)
    if pager is None or object is None:
        # Without an object there are no pages to take away.
        done = change_file(vm, vnode, size)
        vnode.lock.release()
        return int(KERN_SUCCESS if done else KERN_FAILURE)
    done = resize(vm, vnode, pager, object, size)
    end_resize(vm, vnode, pager)
    vm_object_deallocate(vm, object)  # it may be the last, and termination writes to the file
    return int(KERN_SUCCESS if done else KERN_FAILURE)


@contract
def begin_resize(vm: Vm, vnode: Vnode) -> tuple[Pager | None, VmObject | None]:
    """Become the thread that changes the size; pager and object, if the file has a live object.

    The object comes with a reference.  As long as we have it the pager stays, and with
    the pager the flag.  A pager without a findable object belongs to an object that is being
    terminated, and whose pages are still written.  They would be refused beyond a new end, but not
    once the file has grown again, and then what was cut off would be back.  So its end is awaited.

    Enter:  nothing locked.
    Exit:   vnode locked.
    Takes:  vnode, cache, object, channel.
    Sleeps: yes (vnprsz; a dying pager).
    """
    vnode.lock.acquire()
    while reference := vnode.v_vmdata:
        pager: Pager = vm.pagers(reference)
        if pager.vnp_resizing:
            vnode.chan.sleep(vnode.lock, "vnprsz", until=(pager, "vnp_resizing", 0))
        elif (object := vm_object_lookup(vm, pager)) is not None:
            pager.vnp_resizing = 1
            vm.claim(pager.address + RESIZING)
            return pager, object
        else:
            vnode.chan.sleep(vnode.lock, "vnpdying", until=(vnode, "v_vmdata", "!=", reference))
        vnode.lock.acquire()
    return None, None


@contract
def end_resize(vm: Vm, vnode: Vnode, pager: Pager) -> None:
    """Let the next thread change the size.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode, channel.
    Sleeps: yes (the vnode lock).
    """
    vnode.lock.acquire()
    pager.vnp_resizing = 0
    vm.unclaim(pager.address + RESIZING)
    vnode.chan.wakeup()
    vnode.lock.release()


@contract
def resize(vm: Vm, vnode: Vnode, pager: Pager, object: VmObject, size: int) -> bool:
    """Change file, pager and object; False on an I/O error, and nothing has changed then.

    Enter:  vnode locked (vnp_resizing is ours, and a reference on the object).
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (the file; busy pages).
    """
    object.lock.acquire()
    old = int(object.size)  # only we change it
    object.lock.release()
    new = -(-size // vm.page_size) * vm.page_size
    if new > old:
        set_object_size(vm, object, new)
    if size > vnode.v_size:
        zero_old_tail(vm, vnode, object)
    done = change_file(vm, vnode, size)
    pager.vnp_size = vnode.v_size
    vnode.lock.release()
    if not done:
        set_object_size(vm, object, old)
    elif new < old or size < new:
        remove_beyond(vm, object, size, max(old, new))
    return done


@contract
def zero_old_tail(vm: Vm, vnode: Vnode, object: VmObject) -> None:
    """The file is about to grow: what was stored behind its end, in the last page, was no store.

    Page-outs have left it out, so a page that is read in again would show zeros there.
    With the page idle and the vnode locked no transfer comes between the zeros and the
    new size; a store may, and then it is one behind the end.

    Enter:  vnode locked (vnp_resizing is ours).
    Exit:   vnode locked, dropped in between.
    Takes:  any.
    Sleeps: yes (the page, when it is busy: without the vnode lock, which its owner may want).
    """
    start = vnode.v_size % vm.page_size
    if not start:
        return
    offset = vnode.v_size - start
    object.lock.acquire()
    while (page := vm_page_lookup(vm, object, offset)) is not None and page.flags_o & PG_BUSY:
        vnode.lock.release()
        wait_for_owner(vm, object, page)
        object.lock.release()
        vnode.lock.acquire()
        object.lock.acquire()
    zero_page_from(vm, object, offset, start)
    object.lock.release()


@contract
def change_file(vm: Vm, vnode: Vnode, size: int) -> bool:
    """The file itself, and the size against which every transfer is tested.

    Enter:  vnode locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: yes (the file).
    """
    if not vm.io.file_truncate(vnode.number, size):
        return False
    vnode.v_size = size
    return True


@contract
def set_object_size(vm: Vm, object: VmObject, size: int) -> None:  # noqa: ARG001
    """Store object.size under its lock.

    Enter:  object unlocked.
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    object.lock.acquire()
    object.size = size
    object.lock.release()


@contract
def remove_beyond(vm: Vm, object: VmObject, size: int, old: int) -> None:
    """Take the pages of [size, old) away and lower object.size; the page of the end is cut.

    A transfer that was tested before the file became shorter owns its page BUSY: we wait
    for it, and meet what it has read.  One that is tested now is refused.

    Enter:  nothing locked (we have a reference on the object).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (busy pages).
    """
    end = -(-size // vm.page_size) * vm.page_size
    object.lock.acquire()
    left = vm_object_page_remove(vm, object, end, old)
    if left:
        left = zero_wired(vm, object, end)
    object.size = max(end, left)
    if size < end:
        zero_page_from(vm, object, end - vm.page_size, size % vm.page_size)
    object.lock.release()


@contract
def zero_wired(vm: Vm, object: VmObject, end: int) -> int:
    """Empty the wired pages from ``end`` on; where the last of them ends.

    They cannot leave memory, but a file that grows again must not show what they held.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  any.
    Sleeps: yes (busy pages).
    """
    offsets = [page.offset for page in object_pages(vm, object) if page.offset >= end and page.wire_count]
    for offset in offsets:
        zero_page_from(vm, object, offset, 0)
    return max(offsets, default=end - vm.page_size) + vm.page_size


@contract
def zero_page_from(vm: Vm, object: VmObject, offset: int, start: int) -> None:
    """Zero the resident page at this offset from byte ``start`` on; there may be none.

    The object lock serves for BUSY here: nothing sleeps between the test and the last
    byte, and a thread that would own the page needs that lock first.  The page's mappings go, because
    an access needs only them; those of a wired page become read-only instead.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  any.
    Sleeps: yes (the page, when it is busy).
    """
    while (page := vm_page_lookup(vm, object, offset)) is not None and page.flags_o & PG_BUSY:
        wait_for_owner(vm, object, page)
    if page is None:
        return
    pmap_page_protect(vm, page, VM_PROT_READ if page.wire_count else VM_PROT_NONE)
    vm.frames[page.slot][start:] = vm.zeros[start:]


@contract
def vnode_pager_uncache(vm: Vm, vnode: Vnode) -> bool:
    """Do not keep the file's object when its last user goes; True when it has no user now.

    The answer was true for a moment, under the vnode lock: a caller that needs it to stay true
    has to keep new mappings away by itself.

    Source: 4.4BSD vm/vnode_pager.c, vnode_pager_uncache.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (the vnode lock; termination, when there is no other user).
    """
    vnode.lock.acquire()
    object = vm_object_lookup(vm, vm.pagers(vnode.v_vmdata)) if vnode.v_vmdata else None
    unused = object is None or only_ours(vm, object)
    vnode.lock.release()
    pager_cache(vm, object, False)  # without the vnode lock: it may be the last reference
    return unused


@contract
def vnode_pager_cut_unused(vm: Vm, vnode: Vnode, size: int) -> int:
    """Make a file that no process maps ``size`` bytes long; KERN_FAILURE when one does, or on an error.

    For a caller that must not cut off the text of a running program.  ``vnode_pager_uncache`` has
    ended an object that was merely cached; whether a user has come since is tested under
    the vnode lock, which a new mapping needs, and the file is changed under it too.

    Source: 4.4BSD vm/vnode_pager.c, vnode_pager_uncache, and its callers.
    Enter:  nothing locked (no map lock either, no busy page).
    Exit:   same.
    Takes:  any.
    Sleeps: yes (the vnode lock; termination; the file).
    """
    if size < 0:
        return int(KERN_INVALID_ARGUMENT)
    if not vnode_pager_uncache(vm, vnode):
        return int(KERN_FAILURE)
    return int(KERN_SUCCESS if cut_unmapped(vm, vnode, size) else KERN_FAILURE)


@contract
def cut_unmapped(vm: Vm, vnode: Vnode, size: int) -> bool:
    """Change the file unless a thread has mapped it; False then, and on an error.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  vnode.
    Sleeps: yes (the vnode lock; the file).
    """
    vnode.lock.acquire()
    done = not vnode.v_vmdata and change_file(vm, vnode, size)
    vnode.lock.release()
    return done


@contract
def only_ours(vm: Vm, object: VmObject) -> bool:  # noqa: ARG001
    """Is there no reference but the caller's?

    Enter:  object unlocked.
    Exit:   same.
    Takes:  object.
    Sleeps: never.
    """
    object.lock.acquire()
    count: int = object.ref_count
    object.lock.release()
    return count == 1
