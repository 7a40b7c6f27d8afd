"""Live progress: what can be read from the run's own arena without taking part."""

from __future__ import annotations

import msgspec

from harness import outcome
from harness.shm.native import CONSTANTS
from harness.shm.roster import Roster
from stress.run.options import OnProgress, Progress
from stress.run.workload import Workload
from stress.run.world import World
from vmcore.show.show import longest_chain, longest_chains
from vmcore.stats import counters

WATCHED = 5  # chains that are drawn
LINKS = 8  # of each
_WAITS = ("WAIT_MUTEX", "WAIT_READ", "WAIT_WRITE", "WAIT_UPGRADE", "SLEEPING")
WAITING = {CONSTANTS[name] for name in _WAITS}


class Looker:
    """Turns the harness's progress into the VM's: called a few times a second, takes no lock."""

    def __init__(self, world: World, workload: Workload, tell: OnProgress, chains: bool = False) -> None:
        self.world, self.play, self.tell, self.chains = world, workload, tell, chains
        self.roster = Roster(world.arena)
        self.before = (0.0, 0)

    def __call__(self, seen: outcome.Progress) -> None:
        """One look."""
        at, steps = self.before
        passed = seen.elapsed_s - at
        self.before = (seen.elapsed_s, seen.steps)
        vm = self.world.vm
        self.tell(
            Progress(
                **msgspec.structs.asdict(seen),
                steps_per_s=max(0.0, (seen.steps - steps) / passed) if passed > 0 else 0.0,
                faults=counters(vm)["v_faults"],
                longest_chain=longest_chain(vm),
                free_pages=int(vm.g.v_free_count),
                pages=vm.config.pages,
                waiting=sum(seat.live == 2 and seat.activity in WAITING for seat in self.roster.seats),
                tasks_left=self.play.left(),
                chains=tuple(longest_chains(vm, WATCHED, LINKS)) if self.chains else (),
            )
        )
