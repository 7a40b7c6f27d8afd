"""H4: a collapse that failed half-way returned with the front object unlocked."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.structs import VmObject
from vmcore.vm import Vm


def abandon(vm: Vm, object: VmObject, backing: VmObject) -> None:
    """As the repaired step, but the front object is unlocked as well.

    Enter:  object, backing locked.
    Exit:   nothing locked.
    Takes:  nothing.
    Sleeps: never.
    """
    original("overlay.abandon")(vm, object, backing)
    object.lock.release()


def scene(scene: Scene) -> None:
    """P's O shadows B, as Q's S does; B's page 0 and O's page 1 are in swap."""
    scene.map("P", "B")
    scene.put("B", 0, 1)
    scene.shadow("P", "O")
    scene.put("O", 1, 2)
    scene.swap_out("B")
    scene.swap_out("O")
    scene.branch("Q", "S", over="B")


def read_both(scene: Scene) -> None:
    """Page 1 comes from O's own pager, page 0 from B's."""
    scene.expect("P", 1, 2)
    scene.expect("P", 0, 1)


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q"), "P": read_both},
    cues=(
        ("A", "enter pager.vm_pager_get_pages"),  # the overlay reads B's page, nothing is locked
        ("P", "start"),
        ("P", "enter fault_search.page_in(O)"),  # O's paging count is not ours alone any more
        ("A", "io swap_read"),
        ("A", "enter overlay.abandon(O)"),
        ("P", "io swap_read"),
    ),
    check=read_both,
)

defect = Defect(
    id="H4",
    name="collapse-returns-unlocked",
    origin="documented",
    quote="every early exit of a collapse returned with the front object unlocked, success with it locked",
    interleaving=(
        "A: collapse(O) starts to overlay B and reads one of its pages   []",
        "P: a fault on O raises its paging count and reads from O's own pager   []",
        "A: the pair is disturbed: gives up, unlocks B, and O too   []",
        "P: locks O and changes its page list   [O]",
        "A: believes that it holds O: reads it, and unlocks it, which is P's lock   []",
    ),
    symptom="an unlock by a thread that does not hold the lock, and two processes at work on one object",
    verdicts=("contract_violation", "invariant_violation", "panic"),
    scenario="fork-storm",
    options={"pages": 56, "workers": 8},
    replacements={"overlay.abandon": abandon},
    script=script,
)
