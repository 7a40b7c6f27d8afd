"""L2: after its sleep the collapse locked the front object with the backing object locked."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def lock_pair_again(vm: Vm, object: VmObject, backing: VmObject) -> None:
    """As the repaired step, but the locks come back bottom up.

    Enter:  object, backing unlocked.
    Exit:   object, backing locked.
    Takes:  object.
    Sleeps: never.
    """
    backing.lock.acquire()
    vm.point("overlay: backing locked", backing.slot)
    object.lock.acquire()


def scene(scene: Scene) -> None:
    """P's O shadows B, as Q's S does; B's page 0 and O's page 1 are in swap."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "O")
    scene.put("O", 1, 2)
    scene.swap_out("B")
    scene.swap_out("O")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q"), "F": lambda scene: scene.expect("P", 2, 0)},
    cues=(
        ("A", "enter pager.vm_pager_get_pages"),  # the overlay reads B's page, nothing is locked
        ("F", "start"),
        ("F", "exit fault_search.page_in(O)"),  # O is locked: page 2 is not in its pager
        ("A", "io swap_read"),
        ("A", "point overlay: backing locked(B)"),  # next comes O
        ("F", "enter fault_search.descend(B)"),  # next comes B
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="L2",
    name="front-relocked-under-backing",
    origin="reconstructed",
    quote="read from the code: the overlay waits with the backing object and takes the front one afterwards",
    interleaving=(
        "A: overlay(O, B) has read a page of B and locks B   [B]",
        "F: a fault on O does not find its page, holds O, and wants B   [O], waits for B",
        "A: locks O   [B], waits for O: A and F wait for each other",
    ),
    symptom="two ordinary processes, one exiting and one in a fault, wait for each other's object lock",
    verdicts=("deadlock", "order_violation"),
    scenario="fork-storm",
    replacements={"overlay.lock_pair_again": lock_pair_again},
    script=script,
)
