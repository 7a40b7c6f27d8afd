"""H5, second form: the objects were unlocked and nothing said that they were being collapsed."""

from __future__ import annotations

from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import OBJ_CANPERSIST, OBJ_INTERNAL
from vmcore.structs import VmObject
from vmcore.vm import Vm

READ = 0x10000  # of the upper half of an object's flags, which is free: collapses that are reading from it


def mark(vm: Vm, object: VmObject, backing: VmObject) -> None:
    """Mark nothing.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """


def may_join(vm: Vm, object: VmObject, backing: VmObject) -> bool:  # noqa: ARG001
    """As the repaired step, but a pair that another thread is joining already is as good as any.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return bool(backing.flags & (OBJ_INTERNAL | OBJ_CANPERSIST) == OBJ_INTERNAL)


def page_in_one(vm: Vm, object: VmObject, backing: VmObject, offset: int, mypip: int) -> bool:
    """As the repaired step; which share of the paging count is a collapse's is noted for ``pip_rule``.

    Enter:  object, backing locked.
    Exit:   same (both dropped in between).
    Takes:  any.
    Sleeps: yes (the read).
    """
    backing.flags += READ
    done: bool = original("overlay.page_in_one")(vm, object, backing, offset, mypip)
    backing.flags -= READ
    return done


def pip_rule(vm: Vm, object: VmObject, backing: VmObject, mypip: int) -> VmObject | None:  # noqa: ARG001
    """As the repaired step, but what a collapse reads is no reason to keep away.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    if object.paging_in_progress > mypip:
        return object
    return backing if backing.paging_in_progress > backing.flags // READ else None


def revalidate(vm: Vm, object: VmObject, backing: VmObject, mypip: int) -> bool:  # noqa: ARG001
    """What was true before the read is true.

    Enter:  object, backing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    return True


def scene(scene: Scene) -> None:
    """P's O shadows B, as Q's S does, and B shadows G; B's page 0 and O's page 1 are in swap."""
    scene.map("P", "G")
    scene.put("G", 2, 3)
    scene.shadow("P", "B", "O")
    scene.put("B", 0, 1)
    scene.put("O", 1, 2)
    scene.swap_out("B")
    scene.swap_out("O")
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q"), "C": lambda scene: scene.write("P", 2, 4)},
    cues=(
        ("A", "enter overlay.page_in_one(O)"),
        ("C", "start"),
        ("C", "enter collapse.vm_object_collapse(O)"),
        ("C", "exit collapse.vm_object_collapse(O)"),
        ("A", "enter pager.vm_pager_get_pages"),  # to read B's page; until now nothing was locked
    ),
    check=lambda scene: scene.expect("P", 0, 1),
)

defect = Defect(
    id="H5b",
    name="simultaneous-collapse-unmarked",
    origin="documented",
    quote="the remark that asks what becomes of a second collapse of the same object while one sleeps",
    interleaving=(
        "A: overlay(O, B) reads a page of B's pager   []",
        "C: a fault has copied a page into O and collapses it: O.shadow is still B   [O B]",
        "C: its own overlay moves B's pages and pager, and frees B   [O]",
        "A: wakes and goes on with B, which is free: a second move, a second free",
    ),
    symptom="use of a freed object, a chain whose offset was added twice, swap that is freed twice",
    verdicts=(
        "unguarded_access",
        "panic",
        "invariant_violation",
        "wrong_data",
        "contract_violation",
        "self_deadlock",
    ),
    scenario="fork-storm",
    options={"noise": "none"},
    replacements={
        "overlay.mark": mark,
        "overlay.page_in_one": page_in_one,
        "collapse.may_join": may_join,
        "collapse.pip_rule": pip_rule,
        "overlay.revalidate": revalidate,
    },
    notes=(
        "R's collapse also counts as paging on B, which alone would stop the second one; so beside the "
        "marks, their test and the second look the group has the test of that count, for this share of it "
        "only: faults and writes keep a collapse away as ever.  Where C's overlay frees the page that A is "
        "reading, which it does not own, that breaks a contract; where it moves that page, still BUSY, A "
        "meets it again in its next fault and waits for itself."
    ),
    script=script,
)
