"""Asynchronous page-outs: the pending-clean records, the disk workers, and the reaper.

A record goes FREE -> BUSY (queued) -> WRITING (a disk worker has it) -> DONE or ERROR
-> REAPING (one reaper has it) -> FREE.  From BUSY on, the page's BUSY and one share of
the object's paging count belong to the record; the thread that queued it has let go of
its claims, and the record's ``busy_address`` and ``pip_address`` say so to a watcher.

Disk workers write the swap file and mark the record.  They touch no object, no page
flag and no queue: the thread that reaps does that, under the object's lock.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.constants import (
    OBJ_WAITING,
    PG_ACTIVE,
    PG_CLEAN,
    PG_INACTIVE,
    PG_LAUNDRY,
    SPC_BUSY,
    SPC_DONE,
    SPC_ERROR,
    SPC_REAPING,
    SPC_WRITING,
    VM_PAGER_AGAIN,
    VM_PAGER_BAD,
    VM_PAGER_FAIL,
    VM_PAGER_PEND,
)
from vmcore.page.object_paging import PIP_OFFSET, tell_paging_waiters
from vmcore.page.page import FLAGS_O, frame_alloc, frame_free
from vmcore.page.page_flags import clear_flags_o, set_flags_o, set_flags_p
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.page.page_wait import clear_busy
from vmcore.page.vm_wait import wake_daemon
from vmcore.page_events import OUT, OUT_DONE, OUT_FAILED, passes
from vmcore.pager.swap import begin_write, end_write, pager_offset, place, run_bits
from vmcore.pager.swap_records import (
    enqueue,
    free_record,
    oldest,
    pages_of,
    rows_of,
    set_state,
    take_record,
    unlink,
)
from vmcore.pmap.pmap import pmap_clear_modify
from vmcore.structs import Pager, PendingClean, SwapBlock, VmObject, VmPage
from vmcore.vm import Vm
from vmcore.vm_error import panic

# --- the writer's side


@contract
def swap_pager_write_async(vm: Vm, pager: Pager, page: VmPage) -> int:
    """Queue a write of the page for the disk workers; PEND means that page and pip are theirs now.

    Source: 4.4BSD vm/swap_pager.c, swap_pager_io.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  object, page queues, pv, pmap, I/O list, free list, pager, pool, swap map, pages needed, channel.
    Sleeps: never.
    """
    return swap_pager_write_cluster(vm, pager, [page])


@contract
def swap_pager_write_cluster(vm: Vm, pager: Pager, pages: list[VmPage]) -> int:
    """Queue one write of a run of pages of one block, lowest offset first.

    One raw frame per write, however many pages: it stands for the kernel window and the
    page-table page that a real page-out needs, and makes "memory to free memory" a true
    problem.  The first page is copied there; the others are written where they lie.
    They are BUSY, and every thread that queues a write has seen to it that no thread can store
    to them, so both ways give the disk the same bytes.

    Source: 4.4BSD vm/swap_pager.c, swap_pager_io.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  object, page queues, pv, pmap, I/O list, free list, pager, pool, swap map, pages needed, channel.
    Sleeps: never.
    """
    offset = pager_offset(vm, pages[0])
    if offset + (len(pages) << vm.page_shift) > pager.sw_osize:
        return VM_PAGER_BAD
    reap(vm, vm.me.is_daemon)
    record = take_record(vm)
    if record is None:
        return VM_PAGER_AGAIN
    frame = frame_alloc(vm, 0 if vm.me.is_daemon else vm.g.v_free_reserved)
    if frame is None:
        free_record(vm, record)
        return VM_PAGER_AGAIN
    block = begin_write(vm, pager, offset, True, len(pages))
    if block is None:
        frame_free(vm, frame)
        free_record(vm, record)
        return VM_PAGER_FAIL
    vm.frames[frame.slot][:] = vm.frames[pages[0].slot]
    _, bit = place(vm, pager, offset)
    queue_write(vm, record, pages, pager, block, bit.bit_length() - 1, frame)
    return VM_PAGER_PEND


@contract
def queue_write(
    vm: Vm,
    record: PendingClean,
    pages: list[VmPage],
    pager: Pager,
    block: SwapBlock,
    index: int,
    frame: VmPage,
) -> None:
    """Hand pages and paging count over to the record, and the record to the disk workers.

    Once the I/O list lock is dropped the write may be finished and reaped at any
    moment, and the pages may be another thread's.

    Enter:  vm.io_list_lock unlocked.
    Exit:   same.
    Takes:  I/O list, channel.
    Sleeps: never.
    """
    g = vm.g
    vm.io_list_lock.acquire()
    first = pages[0]
    record.object, record.page, record.frame = first.object, first.slot, frame.slot
    record.pager, record.block, record.index = vm.pagers.ref(pager), block.slot, index
    record.count = len(pages)
    record.busy_address = first.address + FLAGS_O
    record.pip_address = vm.objects(first.object).address + PIP_OFFSET
    for row, page in zip(rows_of(vm, record), pages[1:], strict=True):
        row.page, row.busy_address = page.slot, page.address + FLAGS_O
    set_state(vm, record, SPC_BUSY)
    for page in pages:
        passes(vm, OUT, page)
        vm.pass_on(page.address + FLAGS_O)
    vm.pass_on(record.pip_address)
    enqueue(vm, record)
    g.writes_in_flight += 1
    vm.disk_chan.wakeup()
    vm.io_list_lock.release()


# --- the disk worker's side


@contract
def disk_worker_loop(vm: Vm) -> None:
    """Write queued pages until the VM is stopped and none is left.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  any.
    Sleeps: yes (without work; and every write).
    """
    while (record := next_write(vm)) is not None:
        write_record(vm, record)


@contract
def next_write(vm: Vm) -> PendingClean | None:
    """The oldest queued write, now ours; None: stopped, there is none, and no thread can add one.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  I/O list, channel.
    Sleeps: yes (idle, until another thread queues a write).
    """
    g, lock = vm.g, vm.io_list_lock
    lock.acquire()
    while not g.writes_queued:
        if g.daemon_stop and not g.daemons:
            lock.release()
            return None
        vm.disk_chan.sleep(lock, "swpgio", until=(g, "writes_queued", ">", 0), idle=True)
        lock.acquire()
    record = oldest(vm, (SPC_BUSY,))
    if record is not None:
        set_state(vm, record, SPC_WRITING)
        g.writes_queued -= 1
    lock.release()
    return record


@contract
def write_record(vm: Vm, record: PendingClean) -> None:
    """Write the run at once, settle the pager's side, mark the record, tell the daemon.

    Source: 4.4BSD vm/swap_pager.c, swap_pager_iodone.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  I/O list, pager, pool, swap map, free list, pages needed, channel.
    Sleeps: yes (the write).
    """
    block, pager = vm.swap_blocks.views[record.block], vm.pagers(record.pager)
    answer = vm.io.result("disk", pager.slot, block.index * pager.sw_bsize + record.index << vm.page_shift)
    if answer == VM_PAGER_PEND:
        postpone(vm, record)
        return
    frame = vm.pages.views[record.frame]
    memory = [vm.frames[slot] for slot in (frame.slot, *(row.page for row in rows_of(vm, record)))]
    good = answer is None and vm.io.swap_write(block.swb_block + record.index, *memory)
    frame_free(vm, frame)
    end_write(vm, pager, block, run_bits(1 << record.index, record.count), good, True)
    vm.io_list_lock.acquire()
    record.frame = 0
    set_state(vm, record, SPC_DONE if good else SPC_ERROR)
    vm.g.writes_in_flight -= 1
    vm.io_list_lock.release()
    wake_daemon(vm)  # it reaps: page and paging count still belong to the record


@contract
def postpone(vm: Vm, record: PendingClean) -> None:
    """The disk does something else first: back into the queue, behind all others.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  I/O list, channel.
    Sleeps: never.
    """
    vm.io_list_lock.acquire()
    unlink(vm, record)
    set_state(vm, record, SPC_BUSY)
    enqueue(vm, record)
    vm.disk_chan.wakeup()
    vm.io_list_lock.release()


# --- the reaper's side


@contract
def reap(vm: Vm, blocking: bool) -> int:
    """Give finished writes' pages and paging counts back; how many of them had succeeded.

    ``blocking`` is for the daemon, which holds nothing: after a failed try it would go to
    sleep, and a thread that waits for that paging count would not be woken.  Others may hold
    objects, so they only try, and leave the rest to the daemon.

    Source: 4.4BSD vm/swap_pager.c, swap_pager_clean.
    Enter:  vm.io_list_lock unlocked.
    Exit:   same.
    Takes:  object, page queues, pv, pmap, I/O list, pages needed, channel.
    Sleeps: never.
    """
    count = 0
    while (taken := take_finished(vm)) is not None:
        record, state = taken
        object = vm.objects(record.object)
        if blocking:
            object.lock.acquire()
        elif not object.lock.try_acquire():
            put_back(vm, record, state)
            break
        finish_pages(vm, record, object, state)
        object.lock.release()
        free_record(vm, record)
        count += state == SPC_DONE
    return count


@contract
def take_finished(vm: Vm) -> tuple[PendingClean, int] | None:
    """The oldest finished record, off the list and ours, with the state it was in.

    Enter:  vm.io_list_lock unlocked.
    Exit:   same.
    Takes:  I/O list.
    Sleeps: never.
    """
    vm.io_list_lock.acquire()
    record = oldest(vm, (SPC_DONE, SPC_ERROR))
    if record is None:
        vm.io_list_lock.release()
        return None
    state: int = record.state
    set_state(vm, record, SPC_REAPING)
    unlink(vm, record)
    vm.io_list_lock.release()
    return record, state


@contract
def put_back(vm: Vm, record: PendingClean, state: int) -> None:
    """We could not lock the object: leave the record as it was, for the daemon.

    Enter:  vm.io_list_lock unlocked.
    Exit:   same.
    Takes:  I/O list, pages needed, channel.
    Sleeps: never.
    """
    vm.native.failure()
    vm.io_list_lock.acquire()
    set_state(vm, record, state)
    record.next = vm.g.inuse_first
    vm.g.inuse_first = record.slot
    vm.io_list_lock.release()
    wake_daemon(vm)


@contract
def finish_pages(vm: Vm, record: PendingClean, object: VmObject, state: int) -> None:
    """Settle the pages, then give their BUSY and the one paging count back.

    Nothing of the object may be touched after the count: it may be what keeps the
    object alive.

    Enter:  object locked.
    Exit:   same.
    Takes:  page queues, pv, pmap, channel.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    for page in pages_of(vm, record):
        finish_page(vm, page, state)
    vm.page_queue_lock.release()
    count = object.paging_in_progress
    if not count:
        raise panic(f"paging count of object {object.slot} underflows", object)
    object.paging_in_progress = count - 1  # claimed by no thread: the record stood for it
    vm.changed(object.address + PIP_OFFSET)
    if object.flags & OBJ_WAITING:
        tell_paging_waiters(vm, object, count)


@contract
def finish_page(vm: Vm, page: VmPage, state: int) -> None:
    """One page: clean, or laundry again; no longer BUSY.

    A page on no queue came from vm_object_page_clean; unless it was wired meanwhile it
    goes to inactive.

    Enter:  vm.page_queue_lock locked (and the page's object).
    Exit:   same.
    Takes:  pv, pmap, channel.
    Sleeps: never.
    """
    passes(vm, OUT_DONE if state == SPC_DONE else OUT_FAILED, page)
    if state == SPC_DONE:
        set_flags_o(vm, page, PG_CLEAN)
        pmap_clear_modify(vm, page)
    else:
        clear_flags_o(vm, page, PG_CLEAN)
        if page.flags_p & PG_INACTIVE:
            set_flags_p(vm, page, PG_LAUNDRY)
    if not page.flags_p & (PG_ACTIVE | PG_INACTIVE):
        vm_page_deactivate(vm, page)  # sets LAUNDRY by itself when the page is dirty
    end_busy(vm, page)


@contract
def end_busy(vm: Vm, page: VmPage) -> None:
    """BUSY goes, as the record had it: no thread has claimed it since the write was queued.

    Enter:  vm.page_queue_lock locked (and the page's object).
    Exit:   same.
    Takes:  channel.
    Sleeps: never.
    """
    clear_busy(vm, page)
    vm.changed(page.address + FLAGS_O)
