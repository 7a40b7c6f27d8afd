"""L22: msync waits until nobody pages on the object, however long that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.watch.verdicts import Limits
from stress.defect import Defect
from stress.script import Script
from stress.script_scene import Scene
from vmcore.object_paging import vm_object_paging_begin, vm_object_paging_end, vm_object_paging_sleep
from vmcore.structs import VmObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vmcore.vm import Vm


def drain_paging(vm: Vm, object: VmObject) -> None:
    """As the repaired step, without a bound.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (vospgc).
    """
    while object.paging_in_progress:
        vm_object_paging_sleep(vm, object, "vospgc")
        object.lock.acquire()
        if object.paging_in_progress:
            vm.native.failure()  # somebody was faster: once more


ROUNDS = 300  # a livelock is called one after a hundred failures
SLEEP = "object_paging.vm_object_paging_sleep(O)"


def scene(scene: Scene) -> None:
    """P's O has a dirty page."""
    scene.map("P", "O")
    scene.put("O", 0, 1)


def page(scene: Scene) -> None:
    """Page on O, as faults do one after another."""
    vm, found = scene.vm, scene.object("O")
    for _ in range(ROUNDS // 2):
        for name, step in (("begins", vm_object_paging_begin), ("ends", vm_object_paging_end)):
            vm.point(name)
            found.lock.acquire()
            step(vm, found)
            found.lock.release()
            vm.point(f"{name} no more")


def overtaken() -> Iterator[tuple[str, str]]:
    """Whenever one of two ends, and A is woken, the other begins before A can look."""
    yield from (("F", "point begins"), ("F", "point begins no more"), ("A", "start"))
    for number in range(ROUNDS - 1):
        one, other = "FG" if number % 2 == 0 else "GF"
        yield ("A", f"enter {SLEEP}")
        yield from ((one, "point ends"), (one, "point ends no more"))
        yield from ((other, "point begins"), (other, "point begins no more"))
        yield ("A", f"exit {SLEEP}")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.clean("O"), "F": page, "G": page},
    cues=tuple(overtaken()),
    limits=Limits(livelock_s=0.03),
)

defect = Defect(
    id="L22",
    name="paging-wait-starvation",
    origin="reconstructed",
    quote="page_clean and terminate need a paging count of zero at the instant at which they run",
    interleaving=(
        "F, G, H: page faults on O, one after another: its paging count is hardly ever zero",
        "A: page_clean(O): sleeps in vospgc; F ends: zero: A is woken",
        "G: begins before A has O's lock: the count is 1 again: A sleeps on",
    ),
    symptom="an msync that never ends while others use the memory",
    verdicts=("livelock", "stall"),
    scenario="shared-msync",
    entry="short",
    notes=(
        "Chance hardly shows it: to be called a livelock an msync must be overtaken for many seconds "
        "without a gap, and four workers leave gaps."
    ),
    replacements={"vmcore.object_pages.drain_paging": drain_paging},
    script=script,
)
