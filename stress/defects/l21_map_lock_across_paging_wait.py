"""L21: references are released, and paging is waited for, with the map still locked."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import BASE, Scene
from stress.script.script import Script
from vmcore.map.map import release_deleted
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.deallocate import after_collapse
from vmcore.space.map_user import vm_allocate, vm_deallocate
from vmcore.structs import VmMap, VmObject
from vmcore.vm import Vm


def vm_map_unlock_and_release(vm: Vm, map: VmMap, shares: list[VmMap]) -> None:
    """As the repaired step, but the map is unlocked last.

    Enter:  map locked.
    Exit:   nothing locked.
    Takes:  any.
    Sleeps: yes (terminations).
    """
    release_deleted(vm, shares)
    map.lock.release()


def refuse_release(vm: Vm) -> None:
    """No: whatever is locked.

    Enter:  anything.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """


def collapse_candidate(vm: Vm, shadower: VmObject) -> None:
    """As the repaired step, but the collapse waits until no object of the pair is paging.

    Enter:  shadower locked.
    Exit:   shadower unlocked.
    Takes:  any.
    Sleeps: yes (collapse pages in, and waits for threads that do).
    """
    vm_object_collapse(vm, shadower, True)
    after_collapse(vm, shadower)


SECOND = 2 * BASE


def scene(scene: Scene) -> None:
    """Two ranges of P show T and S, which shadow X; X's page is in swap."""
    vm = scene.vm
    scene.map("P", "X")
    scene.put("X", 0, 1)
    scene.shadow("P", "T")
    scene.swap_out("X")
    vm_allocate(vm, scene.amap("P"), 4 * vm.page_size, SECOND)
    scene.front("P", "S", over="X", at=SECOND)


def unmap(scene: Scene) -> None:
    """Unmap the range of S."""
    vm_deallocate(scene.vm, scene.amap("P"), SECOND, 4 * scene.vm.page_size)


script = Script(
    scene=scene,
    roles={"F": lambda scene: scene.expect("P", 0, 1), "U": unmap},
    cues=(
        ("F", "enter pager.vm_pager_get_pages"),  # X is being paged on, nothing is locked
        ("U", "start"),
        ("U", "enter object_paging.vm_object_paging_sleep(T)"),  # the map is locked
        ("F", "io swap_read"),  # next comes the map
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="L21",
    name="map-lock-across-paging-wait",
    origin="reconstructed",
    quote="an unmap drops its references under the map lock, and the collapse that follows waits for paging",
    interleaving=(
        "threads F and U share a map; T shadows X, and a sibling's range shadows X too",
        "F: a fault on T pages in from X: X is being paged on; the map is unlocked   []",
        "U: unmaps the sibling's range: T is now alone above X: the collapse waits for X   [map w]",
        "F: the page is there; F wants the map, to look whether it is still needed: F and U wait",
    ),
    symptom="an unmap and a fault of two threads of one program wait for each other",
    verdicts=("deadlock", "contract_violation", "order_violation"),
    scenario="split-heaps",
    replacements={
        "map.vm_map_unlock_and_release": vm_map_unlock_and_release,
        "deallocate.refuse_release": refuse_release,
        "deallocate.collapse_candidate": collapse_candidate,
    },
    script=script,
    notes=(
        "Of the three in docs/reference this is W, an unmap with the map write-locked.  R-W-R, a fault "
        "whose collapse waits with the map read-locked and a writer queued, and msync are the same cycle: "
        "they differ in the caller, and in the mode in which it holds the map."
    ),
)
