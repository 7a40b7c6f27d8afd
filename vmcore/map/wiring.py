"""Between the passes of a wiring: a sharing map says wired, and its pages are on their way.

A thread that must copy such a range cannot do it on demand (the wirer's mapping would keep the
page that a store replaces), and cannot copy pages that are not there.  It gives up every
lock and waits here.  The wirers claim the count, so that a watcher sees which threads it waits for.
"""

from __future__ import annotations

from harness.locks.contract import contract
from vmcore.structs import VmMap
from vmcore.vm import Vm

WIRINGS: int = VmMap.wirings.offset


@contract
def wiring_begin(vm: Vm, share: VmMap) -> None:
    """One more entry of ours points here whose pages are not all wired yet.

    Enter:  share write-locked (so that a thread that holds it can rely on a count of zero).
    Exit:   same.
    Takes:  map ref.
    Sleeps: never.
    """
    share.ref_lock.acquire()
    share.wirings += 1
    share.ref_lock.release()
    vm.claim(share.address + WIRINGS)


@contract
def wiring_end(vm: Vm, share: VmMap) -> None:
    """Its pages are wired, or it is not counted any more; our entry keeps the sharing map.

    Enter:  share.ref_lock unlocked.
    Exit:   same.
    Takes:  map ref, channel.
    Sleeps: never.
    """
    share.ref_lock.acquire()
    share.wirings -= 1
    vm.unclaim(share.address + WIRINGS)
    if not share.wirings:
        share.chan.wakeup()
    share.ref_lock.release()


@contract
def wait_for_wirings(vm: Vm, share: VmMap) -> None:  # noqa: ARG001
    """Sleep until the count was zero once; the caller has a reference on the sharing map.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  map ref, channel.
    Sleeps: yes (until the last wirer has wired its pages, or given up).
    """
    share.ref_lock.acquire()
    if share.wirings:
        share.chan.sleep(share.ref_lock, "vmwire", until=(share, "wirings", 0))
    else:
        share.ref_lock.release()
