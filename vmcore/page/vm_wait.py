"""The sleep protocol between the threads that need memory and the daemon, which frees it.

Everything here happens under the pages-needed lock.  A *poke* is remembered in
``pages_needed``: a wakeup alone would be lost on a daemon that is awake, and the write
that it announced would then wait for the next shortage.

Memory waiters sleep until ``memory_epoch`` moves.  The thread that moves it says in
``no_memory`` whether there is none to be had, and takes all waiters off the count at once, so
that a daemon that looks again before they have run does not see them a second time.
"""

from __future__ import annotations

from harness.errors import Panic
from harness.locks.contract import contract
from vmcore.vm import Vm


@contract
def wake_daemon(vm: Vm) -> None:
    """There is something for the daemon: a shortage, or a finished write.

    Source: Mach vm/vm_pageout.h, the uses of vm_pages_needed.
    Enter:  vm.pages_needed_lock unlocked.
    Exit:   same.
    Takes:  pages needed, channel.
    Sleeps: never.
    """
    vm.pages_needed_lock.acquire()
    vm.g.pages_needed = 1
    vm.daemon_chan.wakeup()
    vm.pages_needed_lock.release()


@contract
def VM_WAIT(vm: Vm) -> bool:  # noqa: N802 - the historic macro's name
    """Sleep until there may be a free page again; False: there is no memory, give up.

    Source: Mach vm/vm_pageout.h, VM_WAIT.
    Enter:  nothing locked.
    Exit:   same.
    Takes:  pages needed, channel.
    Sleeps: yes (until the daemon has freed something, or knows that it cannot).
    """
    if vm.me.is_daemon:
        raise Panic("the page-out daemon waits for memory, which only it can free")
    g, lock = vm.g, vm.pages_needed_lock
    vm.me.stats.memory_waits += 1
    lock.acquire()
    if g.daemon_stop:
        lock.release()
        return False
    seen = g.memory_epoch
    g.memory_waiters += 1
    g.pages_needed = 1
    vm.daemon_chan.wakeup()
    while g.memory_epoch == seen and not g.daemon_stop:
        vm.free_chan.sleep(lock, "vmwait", until=(g, "memory_epoch", "!=", seen))
        lock.acquire()
    hope = not g.no_memory and g.memory_epoch != seen
    lock.release()
    return hope


@contract
def wake_memory_waiters(vm: Vm, no_memory: bool) -> None:
    """Wake every thread in VM_WAIT, with or without memory freed.

    Enter:  vm.pages_needed_lock locked.
    Exit:   same.
    Takes:  channel.
    Sleeps: never.
    """
    g = vm.g
    g.no_memory = no_memory
    g.memory_epoch = (g.memory_epoch + 1) & 0xFFFFFFFF
    g.memory_waiters = 0
    vm.free_chan.wakeup()


@contract
def stop_services(vm: Vm) -> None:
    """Tell the daemon and the disk workers to leave their loops.

    The disk workers leave once no write is queued and the daemon has gone.  No other thread
    may still be running: a thread that waits for memory now is woken without any.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  pages needed, I/O list, channel.
    Sleeps: never.
    """
    vm.pages_needed_lock.acquire()
    vm.g.daemon_stop = 1
    vm.daemon_chan.wakeup()
    wake_memory_waiters(vm, no_memory=True)
    vm.pages_needed_lock.release()
    vm.io_list_lock.acquire()  # a disk worker between its test and its sleep holds this
    vm.disk_chan.wakeup()
    vm.io_list_lock.release()
