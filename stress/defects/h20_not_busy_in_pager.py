"""H20: the page that the disk is writing is not busy: the write was started, that is enough."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.page.page_wait import clear_busy
from vmcore.structs import Pager, PendingClean, SwapBlock, VmPage
from vmcore.vm import Vm


def queue_write(
    vm: Vm,
    record: PendingClean,
    pages: list[VmPage],
    pager: Pager,
    block: SwapBlock,
    index: int,
    frame: VmPage,
) -> None:
    """As the repaired step, but BUSY does not go with the record: it is cleared at once.

    Enter:  vm.io_list_lock unlocked.
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    owner = vm.objects(pages[0].object)
    owner.lock.acquire()
    vm.page_queue_lock.acquire()
    for page in pages:
        clear_busy(vm, page)
    vm.page_queue_lock.release()
    owner.lock.release()
    original("swap_io.queue_write")(vm, record, pages, pager, block, index, frame)


def end_busy(vm: Vm, page: VmPage) -> None:
    """There is no BUSY to clear: if the page has one it is another thread's.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """


def scene(scene: Scene) -> None:
    """P's page is inactive and dirty."""
    scene.map("P", "O")
    scene.put("O", 0, 1)
    scene.age("O")


script = Script(
    scene=scene,
    roles={"D": lambda scene: scene.scan("O"), "F": lambda scene: scene.write("P", 0, 2)},
    cues=(
        ("D", "end"),  # the write is queued, with what the page holds now
        ("F", "start"),
        ("F", "end"),
        ("disk", "io swap_write"),
    ),
    check=lambda scene: scene.expect("P", 0, 2),
)

defect = Defect(
    id="H20",
    name="not-busy-in-pager",
    origin="documented",
    quote="the daemon cleared BUSY as soon as it had started the write, not when the write was done",
    interleaving=(
        "D: page-out of page m: BUSY, the write is queued: not BUSY   []",
        "F: a fault finds m and stores to it; the disk has the bytes from before",
        "D: reaps the write: m is clean",
        "D: frees m: the store is lost",
    ),
    symptom="stores that were made while the page was being written are gone once it has been paged out",
    verdicts=("wrong_data", "invariant_violation", "panic"),
    scenario="hot-pages",
    replacements={
        "swap_io.queue_write": queue_write,
        "swap_io.end_busy": end_busy,
    },
    script=script,
)
