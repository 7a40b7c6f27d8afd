"""Workload: what workers do in a world, in the form in which ``harness.run`` wants it.

Two kinds: a scenario, whose roles go on for ever, and a replay, which ends.  Both bring their roles,
their audit between epochs, and a final audit: the last worker, that ends every process and proves that
nothing is left.  Everything handed to workers can travel to a process that shares nothing with us.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any, Protocol

from harness.errors import BadInput
from harness.run.plan import RoleSpec
from harness.shm.checked import unguarded
from stress.ops import core
from stress.oracles.at_rest import audit_at_rest, audit_the_end
from stress.run.options import DISKS, RunOptions, tightest
from stress.run.world import World
from stress.scenario.process_pool import ProcessPool
from stress.scenario.scenario import Role, Scenario, find_scenario
from stress.trace.plan import Plan
from stress.trace.replay import Replay, file_sizes, fold_files, start
from stress.trace.replay_state import ReplayState
from stress.trace.touch import TouchModel
from vmcore.config import OPTIONS
from vmcore.constants import KERN_RESOURCE_SHORTAGE
from vmcore.vm_error import VmError

ROUNDS = 80  # of a role in one epoch
EPOCH_TASKS = 250  # of a trace in one epoch
BUFFERS = 48
TRACE_PAGES = 640
READS, WRITES = 3.4, 1.3  # of the touch model, per operation


class Workload(Protocol):
    """What the runner asks of either kind."""

    disk_ms: float
    disks: int  # disk workers
    noise: str

    def sizes(self) -> dict[str, int]:
        """Tables of the VM."""

    def file_sizes(self) -> tuple[int, ...]:
        """Bytes of each file."""

    def room(self) -> int:
        """Arena bytes for tables of its own."""

    def begin(self, world: World) -> None:
        """Set up, in the front process."""

    def roles(self, world: World) -> list[RoleSpec]:
        """The workers."""

    def epochs(self, asked: int | None) -> int | None:
        """How many; None: until the time is up."""

    def audit(self, world: World, epochs: int | None) -> Callable[[Any], str]:
        """What is looked at between epochs; after the last one, that nothing is left."""

    def final_audit(self, world: World) -> RoleSpec:
        """The last worker of a run that was ended by the clock."""

    def left(self) -> int | None:
        """Tasks that are still to end, if it has an end."""


# --- scenarios


class ScenarioWorkload:
    """A scenario's roles, played by as many workers as there are."""

    disks = DISKS

    def __init__(self, scenario: Scenario, options: RunOptions) -> None:
        self.scenario, self.options = scenario, options
        self.disk_ms, self.noise = scenario.disk_ms, scenario.noise
        self.cast = scenario.cast(options.workers)

    def sizes(self) -> dict[str, int]:
        """Small tables: a scenario wants shortage, and a pool is small."""
        places = self.scenario.places + self.options.workers
        return {
            "pages": self.scenario.pages, "objects": 64 * places, "entries": 64 * places,
            "maps": 8 * places, "sharing_maps": 16 * places, "pmaps": 8 * places, "vmspaces": 8 * places,
            "mappings": 256 * places, "pagers": 48 * places, "swap_blocks": 96 * places,
            "swap_pages": 384 * places, "pending": 64, **self.scenario.tables,
        }  # fmt: skip

    def file_sizes(self) -> tuple[int, ...]:
        """As the scenario says, in bytes."""
        return tuple(4096 * pages for pages in self.scenario.files)

    def room(self) -> int:
        """The pool."""
        return ProcessPool.size(self.scenario.places)

    def begin(self, world: World) -> None:
        """Make the pool and put the first processes into it."""
        self.pool = ProcessPool(world.arena, self.scenario.places)
        if self.scenario.setup_act:
            # No daemon runs yet: a wait for memory would never end now.
            with unguarded():  # no worker runs yet
                world.vm.g.daemon_stop = 1
            try:
                self.scenario.setup_act(world.setup_actor(), self.pool)
            except VmError as error:
                if error.code != KERN_RESOURCE_SHORTAGE:
                    raise
                name = tightest(self.options.tables) or "pages"
                option, size = OPTIONS[name], getattr(world.setting.config, name)
                raise BadInput(
                    f"{option} {size} is too small to set up {self.scenario.name}: {error}",
                    f"hangdog run --scenario {self.scenario.name} {option} {4 * size}",
                ) from None
            world.restart_services()

    def roles(self, world: World) -> list[RoleSpec]:
        """One spec per role, with the workers that play it; numbers run through all of them."""
        specs: list[RoleSpec] = []
        for role in dict.fromkeys(self.cast):
            count, first = self.cast.count(role), sum(spec.count for spec in specs) + 1
            args = (world, self.scenario.name, role.name, self.pool)
            prepare = partial(make_actor, world, first)
            specs.append(RoleSpec(role.name, play_role, args, count, prepare=prepare))
        return specs

    def epochs(self, asked: int | None) -> int | None:
        """Without end unless the options say otherwise."""
        return asked

    def audit(self, world: World, epochs: int | None) -> Callable[[Any], str]:
        """Invariants and the scenario's own check."""
        return partial(audit_scenario, world, self.scenario.name, self.pool, epochs)

    def final_audit(self, world: World) -> RoleSpec:
        """Audit, check, every process exits, nothing is left."""
        return RoleSpec("final audit", end_scenario, (world, self.scenario.name, self.pool))

    def left(self) -> int | None:
        """A scenario has no end."""
        return None


def make_actor(world: World, first: int, context: Any) -> core.Actor:
    """A worker's actor, made before any thread starts; kept over all epochs."""
    return world.actor(first + context.index, context.rng)


def play_role(context: Any, world: World, scenario: str, name: str, pool: ProcessPool) -> None:  # noqa: ARG001
    """One epoch of one worker."""
    role = next(role for role in find_scenario(scenario).roles if role.name == name)
    for _ in range(ROUNDS):
        if context.should_stop():
            return
        role.act(context.prepared, pool)


def audit_scenario(world: World, scenario: str, pool: ProcessPool, epochs: int | None, context: Any) -> str:
    """The quiescent invariants, then what the scenario itself promises."""
    audit_at_rest(world.vm)
    actor = world.setup_actor()
    check = find_scenario(scenario).check_act
    if check:
        check(actor, pool)
    if context.epoch + 1 == epochs:
        while (process := pool.take(actor)) is not None:
            core.leave(actor, process)
        audit_the_end(world.vm)
    return "in order"


def end_scenario(context: Any, world: World, scenario: str, pool: ProcessPool) -> None:
    """The final audit: this was the last epoch."""
    audit_scenario(world, scenario, pool, context.epoch + 1, context)


# --- traces


class ReplayWorkload:
    """A recorded program."""

    disk_ms, disks = 0.0, DISKS
    noise = "light"

    def __init__(self, plan: Plan, options: RunOptions) -> None:
        self.plan = fold_files(plan.limit(options.tasks) if options.tasks else plan)
        self.options = options
        self.model = TouchModel(options.seed, READS * options.touches, WRITES * options.touches)
        self.state: ReplayState | None = None

    def sizes(self) -> dict[str, int]:
        """Those of Config, but so few frames that the daemon has work with a program of ordinary size."""
        return {"pages": TRACE_PAGES}

    def file_sizes(self) -> tuple[int, ...]:
        """As far as any process maps them."""
        return file_sizes(self.plan)

    def room(self) -> int:
        """The board."""
        return ReplayState.size(len(self.plan.tasks), BUFFERS)

    def begin(self, world: World) -> None:
        """Make the tables of the replay; the roots are ready."""
        self.state = ReplayState(world.arena, len(self.plan.tasks), BUFFERS)
        start(self.state, self.plan)

    def roles(self, world: World) -> list[RoleSpec]:
        """All workers do the same."""
        assert self.state is not None  # begin comes first
        prepare = partial(make_replay, world, self.plan, self.state, self.model)
        args, count = (EPOCH_TASKS, self.epochs(self.options.epochs)), self.options.workers
        return [RoleSpec("replay", replay_epoch, args, count, prepare=prepare)]

    def epochs(self, asked: int | None) -> int:
        """As many as the tasks need."""
        needed = ceil(len(self.plan.tasks) / EPOCH_TASKS)
        return needed if asked is None else min(asked, needed)

    def audit(self, world: World, epochs: int | None) -> Callable[[Any], str]:
        """The quiescent invariants."""
        assert self.state is not None  # begin comes first
        return partial(audit_replay, world, self.state, epochs)

    def final_audit(self, world: World) -> RoleSpec:
        """Nothing is left."""
        return RoleSpec("final audit", end_replay, (world, self.state))

    def left(self) -> int | None:
        """Tasks that have not exited."""
        return None if self.state is None else int(self.state.board.left)


def make_replay(world: World, plan: Plan, state: ReplayState, model: TouchModel, context: Any) -> Replay:
    """A worker's part, made before any thread starts; kept over all epochs."""
    return Replay(plan, state, model, make_actor(world, 1, context))


def replay_epoch(context: Any, tasks: int, epochs: int) -> None:
    """One epoch of one worker; when there will be no other, its tasks exit where they are."""
    replay: Replay = context.prepared
    replay.state.begin(context.epoch + 1, tasks)
    replay.run(context.should_stop)
    if context.should_stop() or context.epoch + 1 == epochs:
        replay.abandon()


def audit_replay(world: World, state: ReplayState, epochs: int | None, context: Any) -> str:
    """The quiescent invariants; when no task is left, that nothing of them is."""
    audit_at_rest(world.vm)
    if context.epoch + 1 == epochs and not state.board.left:
        audit_the_end(world.vm)
    return "in order"


def end_replay(_context: Any, world: World, state: ReplayState) -> None:
    """The final audit: processes that are still in the pool exit now."""
    Replay(Plan("", (), ()), state, TouchModel(0), world.setup_actor()).abandon()
    audit_the_end(world.vm)


__all__ = ["ReplayWorkload", "Role", "ScenarioWorkload", "Workload"]
