"""L23: a fault gave its paging count back around a collapse, with a busy page of its own in the object."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.object.object_pages import left_to_clean, needs_write
from vmcore.page.object_paging import vm_object_paging_begin, vm_object_paging_end, vm_object_paging_wait
from vmcore.structs import VmObject, VmPage
from vmcore.vm import Vm


def vm_object_collapse(vm: Vm, object: VmObject, wait: bool = False, mypip: int = 0) -> tuple[int, bool]:
    """As the repaired step, but a fault's own count is dropped meanwhile, so that collapse is willing.

    Enter:  object locked.
    Exit:   object locked.
    Takes:  any.
    Sleeps: yes (page-in; and for paging counts if wait).
    """
    if mypip:
        vm_object_paging_end(vm, object)
    done: tuple[int, bool] = original("collapse.vm_object_collapse")(vm, object, wait)
    if mypip:
        vm_object_paging_begin(vm, object)
    return done


def drain_paging(vm: Vm, object: VmObject) -> None:
    """As in the old kernels: until the paging count is zero, so that no page can be busy.

    Enter:  object locked.
    Exit:   object locked, dropped in between.
    Takes:  object, channel.
    Sleeps: yes (vospgc).
    """
    vm_object_paging_wait(vm, object, "vospgc")


def next_to_clean(
    vm: Vm,
    object: VmObject,
    start: int,
    end: int,
    sync: bool,  # noqa: ARG001
    dequeue: bool,
    handled: set[int],
) -> VmPage | None:
    """As the repaired step, for an object without paging count: no page of it can be busy.

    Enter:  object locked.
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    left = left_to_clean(vm, object, start, end, handled)
    return next((page for page in left if needs_write(vm, page, dequeue)), None)


def scene(scene: Scene) -> None:
    """P's O shadows B, B shadows G, which Q's S shadows too; O and B have a page in swap each."""
    scene.map("P", "G")
    scene.put("G", 3, 4)
    scene.shadow("P", "B", "O")
    scene.put("B", 0, 1)
    scene.put("O", 1, 2)
    scene.swap_out("B")
    scene.swap_out("O")
    scene.branch("Q", "S", over="G")


def as_stored(scene: Scene) -> None:
    """P sees what it stored, and what B had."""
    scene.expect("P", 3, 5)
    scene.expect("P", 0, 1)


script = Script(
    scene=scene,
    roles={"F": lambda scene: scene.write("P", 3, 5), "A": lambda scene: scene.clean("O")},
    cues=(
        ("F", "enter collapse.vm_object_collapse(O)"),  # the copy of page 3 is F's, and busy
        ("F", "enter pager.vm_pager_get_pages"),  # the overlay reads B's page, nothing is locked
        ("A", "start"),
        ("A", "enter object_pages.drain_paging(O)"),
        ("F", "io swap_read"),
    ),
    check=as_stored,
)

defect = Defect(
    id="L23",
    name="pip-dropped-with-busy-page",
    origin="reconstructed",
    quote='read from the code: the fault drops its own count "so that collapse is willing"',
    interleaving=(
        "F: has a busy page in O, drops its count, pip 1 -> 0, and collapses O, which unlocks O   []",
        "A: page_clean(O): pip is 0, so it takes the page, which is F's   [O]",
        "A and F both own the page: the one that is done first gives it away while the other uses it",
    ),
    symptom="a page with two owners; kernels that look panic at a busy page",
    verdicts=("panic", "invariant_violation"),
    scenario="synced-heaps",
    replacements={
        "collapse.vm_object_collapse": vm_object_collapse,
        "object_pages.drain_paging": drain_paging,
        "object_pages.next_to_clean": next_to_clean,
    },
    notes=(
        "R's page_clean waits for busy pages, not for an idle object; the group does it the other way "
        "round, as the old kernels did.  With --checked the count alone is seen: a busy "
        "page in an object whose paging count is zero."
    ),
    script=script,
)
