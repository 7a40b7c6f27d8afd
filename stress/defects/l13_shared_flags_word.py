"""L13: a page's flags lie in one word, which two locks guard."""

from __future__ import annotations

from harness.shm.checked import unguarded
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.page.page import object_pages
from vmcore.page.page_queues import vm_page_deactivate
from vmcore.structs import VmPage
from vmcore.vm import Vm


def change(vm: Vm, page: VmPage, put: tuple[int, int], drop: tuple[int, int]) -> None:
    """Read the whole word, write the whole word, and with it the bits that another lock guards."""
    object_half, queue_half = page.flags_o, page.flags_p
    vm.window("page_flags.rmw", page.slot)
    page.flags_o = (object_half | put[0]) & ~drop[0]
    page.flags_p = (queue_half | put[1]) & ~drop[1]


def set_flags_o(vm: Vm, page: VmPage, bits: int) -> None:
    """As the repaired step, in one word.

    Enter:  anything.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    change(vm, page, (bits, 0), (0, 0))


def clear_flags_o(vm: Vm, page: VmPage, bits: int) -> None:
    """As the repaired step, in one word.

    Enter:  anything.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    change(vm, page, (0, 0), (bits, 0))


def set_flags_p(vm: Vm, page: VmPage, bits: int) -> None:
    """As the repaired step, in one word.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    change(vm, page, (0, bits), (0, 0))


def clear_flags_p(vm: Vm, page: VmPage, bits: int) -> None:
    """As the repaired step, in one word.

    Enter:  vm.page_queue_lock locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    change(vm, page, (0, 0), (0, bits))


def scene(scene: Scene) -> None:
    """O has two pages, both active."""
    scene.map("P", "O")
    scene.put("O", 0, 1)
    scene.put("O", 1, 2)


def fork_and_bury(scene: Scene) -> None:
    """A fork marks O's pages; the child leaves at once."""
    scene.fork("P", "C")
    scene.exit("C")


def age(scene: Scene) -> None:
    """What the daemon does with O's first page when the inactive queue is short."""
    vm = scene.vm
    with unguarded():  # a hint is enough: no thread takes it away
        page = object_pages(vm, scene.object("O"))[0]
    vm.page_queue_lock.acquire()
    vm_page_deactivate(vm, page)
    vm.page_queue_lock.release()


script = Script(
    scene=scene,
    roles={"A": fork_and_bury, "D": age},
    cues=(
        ("A", "enter page_flags.set_flags_o"),
        ("A", "at page_flags.rmw"),
        ("D", "start"),
        ("D", "end"),
        ("A", "point page_flags.rmw"),  # it has read, and will write
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="L13",
    name="shared-flags-word",
    origin="reconstructed",
    quote="ACTIVE and INACTIVE belong to the queue lock, BUSY and CLEAN to the object lock, all in one word",
    interleaving=(
        "A: marks page m COPYONWRITE: reads its flags, ACTIVE among them   [object]",
        "D: moves m to the inactive queue: INACTIVE, no longer ACTIVE   [queue]",
        "A: writes its flags back: ACTIVE again, and INACTIVE lost",
        "the next to take m off its queue takes it off the wrong one",
    ),
    symptom="queues whose lists and flags disagree; a thread whose WANTED is lost sleeps for ever",
    verdicts=("invariant_violation", "lost_wakeup", "panic", "wrong_data"),
    scenario="long-lived-parent",
    options={"noise": "placed"},
    notes="CLEAN lies in the same word: where it comes back a store is lost, so wrong data count, too.",
    replacements={
        "page_flags.set_flags_o": set_flags_o,
        "page_flags.clear_flags_o": clear_flags_o,
        "page_flags.set_flags_p": set_flags_p,
        "page_flags.clear_flags_p": clear_flags_p,
    },
    script=script,
)
