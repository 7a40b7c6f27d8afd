"""Script: the numbered steps of a mistake, followed by real workers.

A *scene* is built, every *role* is a worker, and the *cues* say in which order the roles pass which
named points; what is not in the cues runs freely.  Points::

    start            the role's own, before its function
    end              after it
    enter STEP       a contract function of vmcore is called: ``enter deallocate.candidate``
    exit STEP        it has returned
    at NAME          ``vm.point(NAME)`` is reached
    point NAME       and passed
    io KIND          a transfer begins: swap_read, swap_write, file_read...

and any of them but the first two may end in the name of a record that it must concern:
``enter deallocate.candidate(B)``.  The defect and R play the same script; on R an interleaving may
be impossible, and the script leaves the track: that is what R is for.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import BadInput
from harness.locks import contract
from harness.shm.arena import Arena
from stress.disk_faults import ANSWERS, Tally
from stress.script.scene import Scene
from stress.script.sync_points import Cue, SyncPoints
from vmcore.fault.fault_state import FaultState
from vmcore.io import ResultHook
from vmcore.vm import Vm

Act = Callable[[Scene], Any]
_POINT = re.compile(r"^(start|end|(?:enter|exit|at|point|io) [^()]+?)(?:\((\w+)\))?$")


@dataclass(frozen=True, kw_only=True)
class Script:
    """``roles`` by name; ``cues`` as (role, point); ``check`` looks at the scene when all are done."""

    scene: Act
    roles: Mapping[str, Act]
    cues: Sequence[tuple[str, str]]
    rounds: Sequence[tuple[str, str]] = ()  # cues that come after those, again and again
    check: Act | None = None
    pages: int = 64  # frames of the VM
    files: tuple[int, ...] = ()  # pages of each file
    tables: Mapping[str, int] = field(default_factory=dict)  # other sizes of vmcore.config.Config
    disks: int = 1
    faults: Mapping[str, int] = field(default_factory=dict)  # the first so many answers of a disk: ANSWERS
    livelock_s: float | None = None  # the watchdog's limit for this script; its cues must outlast it

    def __post_init__(self) -> None:
        """BadInput for a fault that no disk has."""
        known = {name for answers in ANSWERS.values() for name, _ in answers}
        if unknown := set(self.faults) - known:
            raise BadInput(f"no disk meets {min(unknown)!r}: there are {', '.join(sorted(known))}")

    @property
    def parsed(self) -> tuple[Cue, ...]:
        """The cues, once, and the rounds.  BadInput for what is none."""
        return tuple(self._cue(role, text) for role, text in (*self.cues, *self.rounds))

    def _cue(self, role: str, text: str) -> Cue:
        match = _POINT.match(text)
        if match is None:
            raise BadInput(f"cue {role}: {text!r} is no point of a script")
        if role not in self.roles and role not in ("pageout", "disk"):
            raise BadInput(f"cue {role}: {text!r}: the roles are {', '.join(self.roles)}, pageout, disk")
        point, about = match[1], match[2] or ""
        kind, _, step = point.partition(" ")
        if kind in ("enter", "exit"):
            contract.original(step)  # BadInput with the nearest name
        return Cue(role, point, about)

    @property
    def steps(self) -> set[str]:
        """The contract functions that have gates."""
        points = [cue.point.split(" ", 1) for cue in self.parsed]
        return {words[1] for words in points if words[0] in ("enter", "exit")}


class Gated:
    """A function with a gate before and behind it; keeps its name and its contract."""

    def __init__(self, function: Callable[..., Any], name: str, gates: SyncPoints) -> None:
        functools.update_wrapper(self, function)
        self.__code__ = inspect.unwrap(function).__code__  # where a contract reads the parameters' names
        self._function, self._gates = function, gates
        self._before, self._behind = f"enter {name}", f"exit {name}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        records = list(records_of((*args, *kwargs.values())))
        self._gates.reach(self._before, records)
        result = self._function(*args, **kwargs)
        self._gates.reach(self._behind, records)
        return result


def records_of(values: Sequence[Any]) -> Iterator[int]:
    """Addresses of the records among some arguments; of a fault, the objects that it is about."""
    for value in values:
        address = getattr(value, "address", None)
        if isinstance(address, int):
            yield address
        elif isinstance(value, FaultState):
            yield from records_of([getattr(value, name, None) for name in ("first", "object", "page")])


def gated(
    script: Script, gates: SyncPoints, replacements: Mapping[str, Callable[..., Any]]
) -> dict[str, Any]:
    """What to bind: the replaced steps, and every step that has a gate."""
    bound = dict(replacements)
    for name in script.steps:
        bound[name] = Gated(bound.get(name) or contract.original(name), name, gates)
    return bound


def instrument(
    arena: Arena, script: Script | None, replacements: Mapping[str, Callable[..., Any]]
) -> tuple[SyncPoints | None, dict[str, Any]]:
    """The gates of a script, if there is one, and what to bind."""
    if script is None:
        return None, dict(replacements)
    gates = SyncPoints(arena, script.parsed, tuple(script.roles), len(script.rounds))
    return gates, gated(script, gates, replacements)


def install(gates: SyncPoints, vm: Vm, faults: Mapping[str, int]) -> None:
    """Gates at the points that are no calls, named ones and transfers; and a disk that fails as asked."""
    record, delay, hook = vm.point, vm.window, vm.io.hook
    tables = (vm.objects.views, vm.pages.views)

    def point(name: str, argument: int = 0) -> None:
        record(name, argument)
        pass_gates(name, argument)

    def window(name: str, argument: int = 0) -> None:
        delay(name, argument)
        pass_gates(name, argument)

    def pass_gates(name: str, argument: int) -> None:
        records = [table[argument].address for table in tables if argument < len(table)]
        gates.reach(f"at {name}", records)
        gates.reach(f"point {name}", records)

    def transfer(kind: str, what: int, length: int) -> bool | None:
        gates.reach(f"io {kind}")
        return None if hook is None else hook(kind, what, length)

    vm.point, vm.window, vm.io.hook = point, window, transfer
    if faults:
        vm.io.result_hook = failing(gates, faults)


def failing(gates: SyncPoints, faults: Mapping[str, int]) -> ResultHook:
    """A disk that gives the first so many answers of each kind; the scene's own transfers are spared.

    They are counted in the arena, because it may be any process whose transfer comes first.  A hook
    that a scene sets would stay behind in the front process when the supervisor is spawned.
    """
    tally = Tally(gates.arena)

    def answer(kind: str, what: int, offset: int) -> int | None:  # noqa: ARG001
        if gates.plays():
            for name, said in ANSWERS[kind]:
                if tally.so_far(name) < faults.get(name, 0):
                    tally.count(name)
                    return said
        return None

    return answer
