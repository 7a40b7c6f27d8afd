"""Scenario: what is set up, what each role does again and again, what must hold in the end.

A scenario file reads aloud: it makes one ``Scenario``, and decorates functions.  No loops over
workers, no sleeps, all chance from ``actor.rng``::

    scenario = Scenario("two-readers", "...")

    @scenario.setup
    def one_family(actor, pool): ...

    @scenario.role("reader", count=2)
    def read_something(actor, pool): ...

    @scenario.check
    def no_process_lost_a_page(actor, pool): ...

A role function is one *round* of some steps (``stress.ops.core``); it keeps nothing but what it puts into
the pool.  The registry finds scenarios by name in ``stress.scenarios``.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.errors import BadInput
from stress.ops.core import Actor
from stress.scenario.process_pool import ProcessPool

Act = Callable[[Actor, ProcessPool], None]


@dataclass(frozen=True)
class Role:
    """What one kind of worker does, and how many of ``of`` workers do it."""

    name: str
    act: Act
    count: int


@dataclass
class Scenario:
    """One scenario; sizes are defaults that the command line may change."""

    name: str
    about: str = ""
    pages: int = 256  # frames of the VM
    files: tuple[int, ...] = ()  # pages of each file
    places: int = 24  # processes in the pool
    disk_ms: float = 0.0  # mean time of a transfer, beside what it really takes
    noise: str = "mixed"
    tables: Mapping[str, int] = field(default_factory=dict)  # other sizes of vmcore.config.Config
    faults: Mapping[str, float] = field(default_factory=dict)  # of the store: stress.disk_faults.DiskFaults
    roles: list[Role] = field(default_factory=list)
    setup_act: Act | None = None
    check_act: Act | None = None

    def setup(self, act: Act) -> Act:
        """Decorate the function that puts the first processes into the pool."""
        self.setup_act = act
        return act

    def role(self, name: str, count: int = 1) -> Callable[[Act], Act]:
        """Decorate the round of a role that ``count`` workers play."""

        def add(act: Act) -> Act:
            self.roles.append(Role(name, act, count))
            return act

        return add

    def check(self, act: Act) -> Act:
        """Decorate what is asserted when all workers are parked; processes are still in the pool."""
        self.check_act = act
        return act

    def cast(self, workers: int) -> list[Role]:
        """The role of each worker: roles in order, each ``count`` times, over and over."""
        if not self.roles:
            raise BadInput(f"scenario {self.name!r} has no role", "hangdog list scenarios")
        line = [role for role in self.roles for _ in range(role.count)]
        return [line[number % len(line)] for number in range(workers)]


def all_scenarios() -> dict[str, Scenario]:
    """Every scenario by name."""
    package = importlib.import_module("stress.scenarios")
    found = {}
    for module in pkgutil.iter_modules(package.__path__):
        scenario = importlib.import_module(f"stress.scenarios.{module.name}").scenario
        found[scenario.name] = scenario
    return found


def find_scenario(name: str) -> Scenario:
    """The scenario of this name, or of this file.  Errors: BadInput naming the nearest one."""
    if name.endswith(".py"):
        return load_scenario(name)
    known = all_scenarios()
    if name in known:
        scenario: Scenario = known[name]
        return scenario
    near = difflib.get_close_matches(name, known, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    raise BadInput(f"no scenario is named {name!r}{guess}", "hangdog list scenarios")


def load_scenario(path: str) -> Scenario:
    """The ``scenario`` of a file, under the path as its name.  Errors: BadInput."""
    try:
        found = runpy.run_path(path).get("scenario")
    except Exception as error:  # whatever the file does is the file's mistake
        raise BadInput(
            f"{path}: no scenario can be read from it: {type(error).__name__}: {error}",
            "hangdog list scenarios",
        ) from error
    if not isinstance(found, Scenario):
        raise BadInput(f"{path}: it has no 'scenario = Scenario(...)'", "hangdog list scenarios")
    found.name = path
    return found
