"""H29: a map goes with its last reference, even while a thread waits for its lock."""

from __future__ import annotations

from harness.errors import Panic
from harness.locks.contract import original
from stress.defect import Defect
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.space.vmspace_look import vmspace_hold as hold
from vmcore.space.vmspace_look import vmspace_let_go as let_go
from vmcore.space.vmspace_look import vmspace_size
from vmcore.structs import VmMap, Vmspace
from vmcore.vm import Vm


def vmspace_hold(vm: Vm, space: Vmspace) -> None:
    """As the repaired step, but the lock of the map is thought to be enough.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """


def map_size(vm: Vm, map: VmMap) -> int:
    """As the repaired step; the map may be freed before it is read.

    Enter:  map locked.
    Exit:   same.
    Takes:  map hint.
    Sleeps: never.
    """
    vm.point("map locked, not read", map.slot)
    size: int = original("vmspace_look.map_size")(vm, map)
    return size


def vmspace_let_go(vm: Vm, space: Vmspace) -> None:
    """As the repaired step, for a process that was not counted.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """


def drain_map(vm: Vm, map: VmMap) -> None:  # noqa: ARG001 - as the repaired step
    """As the repaired step, but no thread is waited for.

    Enter:  nothing locked.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    if map.nentries:
        raise Panic(f"map {map.slot} still has {map.nentries} entries at its end")


def look_in(scene: Scene) -> None:
    """How large is P?"""
    vm, space = scene.vm, scene.space("P")
    hold(vm, space)
    vmspace_size(vm, space)
    let_go(vm, space)


def scene(scene: Scene) -> None:
    """P has some memory."""
    scene.map("P", "O")
    scene.put("O", 0, 1)


script = Script(
    scene=scene,
    roles={"W": look_in, "E": lambda scene: scene.exit("P")},
    cues=(
        ("W", "exit vmspace_look.vmspace_hold"),
        ("E", "start"),
        ("E", "end"),
        ("W", "enter vmspace_look.vmspace_size"),
    ),
)

defect = Defect(
    id="H29",
    name="map-not-drained",
    origin="documented",
    quote="the lock of a map must be drained, and refuse new waiters, before the map is freed",
    interleaving=(
        "W: looks into E's map: wants its lock   []",
        "E: the last user leaves: locks the map, deletes all entries, unlocks it   [map w]",
        "E: frees the map",
        "W: gets the lock of a free record, and walks what was a list of entries   [map r]",
    ),
    symptom="a map that is freed while a thread waits for its lock",
    verdicts=("unguarded_access", "panic"),
    scenario="onlookers",
    replacements={
        "vmspace_look.vmspace_hold": vmspace_hold,
        "vmspace_look.map_size": map_size,
        "vmspace_look.vmspace_let_go": vmspace_let_go,
        "vmspace.drain_map": drain_map,
    },
    script=script,
    notes="In R a process that only looks is counted, too; that is why the group has four steps.",
)
