"""L41: page_clean puts a page back where it was, although it was unwired, and queued, meanwhile."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.constants import PG_BUSY
from vmcore.page.page_queues import append_active
from vmcore.space.mlock import vm_map_pageable
from vmcore.structs import VmPage
from vmcore.vm import Vm


def vm_page_unwire(vm: Vm, page: VmPage) -> None:
    """As the repaired step, without the test whether the page is busy.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    original("page_queues.vm_page_unwire")(vm, page)
    if not page.wire_count and page.flags_o & PG_BUSY:
        append_active(vm, page)


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
        "The hole is closed at both ends here.  No thread wires a page that is BUSY, so unwiring is the "
        "form that can be seen."
    ),
    replacements={"page_queues.vm_page_unwire": vm_page_unwire},
)
