"""H3: collapse dropped its backing object by calling deallocate, with the front object locked."""

from __future__ import annotations

from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import OBJ_COLLAPSING, OBJ_DYING, OBJ_FADING, OBJ_INTERNAL
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.deallocate import hold_candidate
from vmcore.object.object import only_shadower, shadow_past
from vmcore.object.terminate import vm_object_terminate
from vmcore.structs import VmObject
from vmcore.vm import Vm


def candidate(vm: Vm, object: VmObject) -> VmObject | None:
    """As the repaired step, but object is unlocked first and the lock above is waited for.

    Enter:  object locked.
    Exit:   object unlocked; result locked (with one reference for the caller).
    Takes:  object.
    Sleeps: never.
    """
    shadower = None
    if object.flags & (OBJ_INTERNAL | OBJ_FADING) == OBJ_INTERNAL:
        shadower = only_shadower(vm, object)
    object.lock.release()
    if shadower is None:
        return None
    shadower.lock.acquire()
    return hold_candidate(vm, shadower)


def inherit_shadow(vm: Vm, object: VmObject, backing: VmObject, grand: VmObject | None) -> None:
    """As the repaired step, but with a reference of its own: backing keeps the one that it has.

    Enter:  object, backing, grand locked.
    Exit:   object, backing locked.
    Takes:  nothing.
    Sleeps: never.
    """
    shadow_past(vm, object, backing, grand)
    if grand is not None:
        grand.ref_count += 1
        grand.lock.release()


def free_absorbed(vm: Vm, object: VmObject, backing: VmObject) -> None:
    """Deallocate backing, nested.

    Enter:  object, backing locked.
    Exit:   object locked.
    Takes:  any.
    Sleeps: yes (the nested call may terminate).
    """
    object.flags &= ~OBJ_COLLAPSING
    backing.lock.release()
    vm.me.stats.object_collapses += 1
    nested_deallocate(vm, backing)


def nested_deallocate(vm: Vm, object: VmObject) -> None:
    """The loop of the time: called with whatever its caller holds, it takes what it needs."""
    current, via_shadow = object, False
    while True:
        vm.cache_lock.acquire()
        current.lock.acquire()
        current.ref_count -= 1
        vm.cache_lock.release()
        if current.ref_count:
            break
        current.flags |= OBJ_DYING
        below = vm_object_terminate(vm, current)
        if below is None:
            return
        current, via_shadow = below, True
    if not via_shadow:
        current.lock.release()
        return
    shadower = candidate(vm, current)  # the caller's own front object: it is locked, by us
    if shadower is not None:
        vm_object_collapse(vm, shadower)
        shadower.lock.release()
        nested_deallocate(vm, shadower)


def scene(scene: Scene) -> None:
    """P's T and Q's S shadow B, which alone shadows G."""
    scene.map("P", "G")
    scene.put("G", 0, 1)
    scene.shadow("P", "B", "T")
    scene.put("B", 1, 2)
    scene.branch("Q", "S", over="B")


script = Script(
    scene=scene,
    roles={"A": lambda scene: scene.exit("Q")},
    cues=(("A", "enter deallocate.candidate(B)"), ("A", "enter overlay.dispose_of_backing(B)")),
    check=lambda scene: scene.expect("P", 1, 2),
)

defect = Defect(
    id="H3",
    name="deallocate-recursion",
    origin="documented",
    quote="a dying backing object enters deallocate again, and that deadlocks on the object being collapsed",
    interleaving=(
        "T shadows B, B shadows G; neither B nor G has another user",
        "A: deallocate finds T as candidate and locks it   [T]",
        "A: collapse(T) absorbs B; T takes a reference on G   [T]",
        "A: nested deallocate(B): B dies, and its reference on G is dropped: G.ref 2 -> 1   [T]",
        "A: G's only shadower is T: locks T, which A holds",
    ),
    symptom="an exiting process with a chain of three or more waits for the object that it is collapsing",
    verdicts=("self_deadlock", "deadlock", "order_violation", "contract_violation"),
    replacements={
        "deallocate.candidate": candidate,
        "overlay.inherit_shadow": inherit_shadow,
        "overlay.free_absorbed": free_absorbed,
    },
    script=script,
    notes=(
        "The nested call takes the cache lock with T held, which is against the order, too: that is reported "
        "before A comes to T a second time and waits for itself."
    ),
)
