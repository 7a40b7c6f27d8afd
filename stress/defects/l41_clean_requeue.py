"""L41: page_clean puts a page back where it was, although it was unwired, and queued, meanwhile."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import PG_ACTIVE, PG_INACTIVE
from vmcore.page.page_queues import append_active, vm_page_activate, vm_page_deactivate
from vmcore.page.page_wait import page_wakeup
from vmcore.space.mlock import vm_map_pageable
from vmcore.structs import VmPage
from vmcore.vm import Vm
from vmcore.vm_error import panic


def vm_page_unwire(vm: Vm, page: VmPage) -> None:
    """As the repaired step, without the test whether another thread has the page in hand.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    count = page.wire_count
    if not count:
        raise panic(f"vm_page_unwire: page {page.slot} is not wired", page)
    page.wire_count = count - 1
    if count > 1:
        return
    if page.flags_p & (PG_ACTIVE | PG_INACTIVE):
        raise panic(f"vm_page_unwire: wired page {page.slot} is on a queue", page)
    vm.g.v_wire_count -= 1
    append_active(vm, page)


def take_back(vm: Vm, page: VmPage, came_from: int, dequeue: bool) -> None:
    """As the repaired step, but the page goes to the queue that it was taken off, wired or not.

    Enter:  anything.
    Exit:   same.
    Takes:  page queues, pv, pmap, channel.
    Sleeps: never.
    """
    vm.page_queue_lock.acquire()
    page_wakeup(vm, page)
    if not dequeue:
        if came_from == PG_INACTIVE:
            vm_page_deactivate(vm, page)
        else:
            vm_page_activate(vm, page)
    vm.page_queue_lock.release()


def scene(scene: Scene) -> None:
    """B has a dirty page, which is wired."""
    vm = scene.vm
    scene.map("P", "B")
    scene.write("P", 0, 1)
    vm_map_pageable(vm, scene.amap("P"), BASE, BASE + vm.page_size, True)


def munlock(scene: Scene) -> None:
    """Undo the wiring."""
    vm = scene.vm
    vm_map_pageable(vm, scene.amap("P"), BASE, BASE + vm.page_size, False)


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.clean("B"), "U": munlock},
    cues=(
        ("A", "enter pager.vm_pager_put_pages"),  # the page is A's
        ("U", "start"),
        ("U", "end"),
        ("A", "exit pager.vm_pager_put_pages"),
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="L41",
    name="clean-requeue",
    origin="reconstructed",
    quote="page_clean remembers on which queue the page was, and puts it there after the write",
    interleaving=(
        "A: page_clean(O): page m, which is wired, is dirty: BUSY, and its write begins   []",
        "U: munlock: m's last wiring goes, and with it m goes to the active queue   [queue]",
        "A: the write is done: activates m, which is active already   [O, queue]",
    ),
    symptom="panic: already active; or a page that hangs on a queue twice",
    verdicts=("panic", "invariant_violation"),
    scenario="wire-and-sync",
    script=script,
    notes=(
        "A group: the hole is closed at both ends here.  No thread wires a page that is BUSY, so unwiring "
        "is the face that can be seen."
    ),
    replacements={
        "page_queues.vm_page_unwire": vm_page_unwire,
        "object_pages.take_back": take_back,
    },
)
