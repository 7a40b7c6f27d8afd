"""L22: msync waits until the object's paging count is zero, however long that takes."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def drain_paging(vm: Vm, object: VmObject) -> None:
    """As the repaired step, again and again: without a bound.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (vospgc).
    """
    while object.paging_in_progress:
        original("object_pages.drain_paging")(vm, object)


def scene(scene: Scene) -> None:
    """O is in swap; X is there as long as the msync lasts."""
    scene.map("P", "O")
    scene.put("O", 0, 1)
    scene.put("O", 1, 2)
    scene.swap_out("O")
    scene.map("M", "X")


def sync(scene: Scene) -> None:
    """An msync of O; one that waits would wait for single busy pages, too, and that is another matter."""
    scene.clean("O", sync=False)
    scene.exit("M")


def page_in(scene: Scene, number: int) -> None:
    """Read one page from swap, again and again."""
    while scene.alive("X"):
        scene.expect("P", number, number + 1)
        scene.drop("O", number)


def overtake(ends: str, begins: str) -> tuple[tuple[str, str], ...]:
    """One page-in ends, and the next one begins before A has O again."""
    return (
        (ends, "exit fault.vm_fault"),  # no thread pages on O: A is woken
        (begins, "enter fault.vm_fault"),
        (begins, "exit fault.hold_top(O)"),
        ("A", "exit object_paging.vm_object_paging_sleep(O)"),
        ("A", "enter object_paging.vm_object_paging_sleep(O)"),
        (begins, "enter read_ahead.get_run"),
    )


script = Script(
    scene=scene,
    roles={"A": sync, "F": lambda scene: page_in(scene, 0), "G": lambda scene: page_in(scene, 1)},
    cues=(
        ("F", "exit fault.hold_top(O)"),
        ("A", "start"),
        ("A", "enter object_paging.vm_object_paging_sleep(O)"),
        ("F", "enter read_ahead.get_run"),
    ),
    rounds=overtake("F", "G") + overtake("G", "F"),
    tables={"cluster_pages": 1},
    livelock_s=0.1,
)

defect = Defect(
    id="L22",
    name="paging-wait-starvation",
    origin="reconstructed",
    quote="page_clean and terminate need a paging count of zero at the instant at which they run",
    interleaving=(
        "F, G, H: page faults on O, one after another: its paging count is hardly ever zero",
        "A: page_clean(O): sleeps in vospgc; F ends: A is woken",
        "G: has begun, or begins before A has O's lock: the count is not zero: A sleeps on",
    ),
    symptom="an msync that never ends while others use the memory",
    verdicts=("livelock",),
    scenario="crowded-heap",
    options={"workers": 32, "disk_ms": 16.0},
    notes=(
        "To be called a livelock an msync must be overtaken for fifteen seconds without a gap: it takes a "
        "crowd and a slow disk.  With the repair the same crowd delays an msync by hundredths of a second."
    ),
    replacements={"object_pages.drain_paging": drain_paging},
    script=script,
)
