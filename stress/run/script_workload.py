"""A script as a workload: its roles are the workers, its check and the end of all processes the audit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from harness.run.plan import RoleSpec
from harness.shm.checked import unguarded
from stress.oracles.at_rest import audit_at_rest, audit_the_end
from stress.run.world import World
from stress.script.scene import Scene
from stress.script.script import Act, Script
from vmcore.config import OPTIONS

OTHERS = 80  # records of each other table


class ScriptWorkload:
    """One script, once."""

    disk_ms = 0.0
    noise = "none"

    def __init__(self, script: Script) -> None:
        self.script, self.disks = script, script.disks
        self.scene: Scene | None = None

    def sizes(self) -> dict[str, int]:
        """Small tables: a run lives for less than a second, and most of that is making them."""
        return {
            **dict.fromkeys(OPTIONS, OTHERS), "pages": self.script.pages, "mappings": 4 * OTHERS,
            "swap_pages": 4 * OTHERS, "pending": 16, **self.script.tables,
        }  # fmt: skip

    def file_sizes(self) -> tuple[int, ...]:
        """As the script says, in bytes."""
        return tuple(4096 * pages for pages in self.script.files)

    def room(self) -> int:
        """The row of the gates."""
        return 4096

    def begin(self, world: World) -> None:
        """Build the scene.  No daemon runs yet: a wait for memory would never end now."""
        with unguarded():  # links are laid by hand, and no worker runs yet
            world.vm.g.daemon_stop = 1
            self.scene = Scene(world.vm)
            self.script.scene(self.scene)
            # Here, and not in the roles: services are to know the records by their names, too.
            world.known_sync_points.about = self.scene.addresses()
            world.restart_services()

    def roles(self, world: World) -> list[RoleSpec]:
        """One worker each."""
        return [
            RoleSpec(name, play_role, (world, self.scene, act, name))
            for name, act in self.script.roles.items()
        ]

    def epochs(self, asked: int | None) -> int:  # noqa: ARG002
        """A script is played once."""
        return 1

    def audit(self, world: World, epochs: int | None) -> Callable[[Any], str]:  # noqa: ARG002
        """What is left when all roles have ended."""
        assert self.scene is not None  # begin comes first
        return partial(audit_script, world, self.scene, self.script.check)

    def final_audit(self, world: World) -> RoleSpec:
        """A script that the clock has ended."""
        assert self.scene is not None  # begin comes first
        return RoleSpec("final audit", end_script, (world, self.scene, self.script.check))

    def left(self) -> int | None:
        """Nothing goes on after the only epoch."""
        return None


def play_role(context: Any, world: World, scene: Scene, act: Act, name: str) -> None:
    """One role, from its first cue to its last."""
    scene.vm = world.vm
    gates = world.known_sync_points
    gates.started()
    try:
        with context.step(name):
            gates.reach("start")
            act(scene)
            gates.reach("end")
    finally:
        gates.ended(name)


def audit_script(world: World, scene: Scene, check: Act | None, _context: Any) -> str:
    """The invariants, what the script promises, and that nothing is left when every process has exited."""
    scene.vm = world.vm
    audit_at_rest(world.vm)
    if check is not None:
        check(scene)
    scene.leave()
    audit_the_end(world.vm)
    return "in order"


def end_script(context: Any, world: World, scene: Scene, check: Act | None) -> None:
    """The same, as a worker."""
    audit_script(world, scene, check, context)
