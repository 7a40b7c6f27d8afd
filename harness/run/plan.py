"""What is to be run: plain data that goes from the front to the supervisor.

``RoleSpec`` is what callers write; ``RunPlan`` is everything of one run.  Seeds are made
here, because every process must come to the same ones.
"""

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.errors import BadInput, require, require_whole
from harness.probe import NAMES
from harness.run.faults import Faults
from harness.shm.arena import Arena
from harness.shm.names import encoded, shown

Mode = Literal["process", "thread"]
AuditIn = Literal["child", "worker"]

# Verdicts that end a run.  order_violation is none of them: it did not happen yet.
STOP_ON = frozenset(
    {
        "deadlock", "self_deadlock", "lost_wakeup", "orphaned_lock", "frozen", "livelock", "stall", "crash",
        "hung", "panic", "contract_violation", "unguarded_access", "invariant_violation", "wrong_data",
        "leak",
    }
)  # fmt: skip


@dataclass(frozen=True)
class RoleSpec:
    """``count`` workers that call ``function(context, *args)``, once per epoch; context: a WorkerContext.

    ``name``: 1 to 24 bytes; its workers are name#0, name#1, ...  ``args``: a tuple.
    ``service``: works for the others and has no end of its own (a daemon): the run does not wait for it,
    it is not called again, and at the end ``stop()`` is called in a process made for it, once per role.
    ``prepare(context)`` runs in each worker before it reports ready: no role starts before all are done.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    count: int = 1
    service: bool = False
    stop: Callable[[], Any] | None = None
    prepare: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        """BadInput for what no worker could be made of."""
        encoded("role name", self.name, 24)
        if "#" in self.name:  # what follows is the number of the worker
            raise BadInput(f"role name {shown(self.name)} has a '#'")
        role = f"role {self.name!r}"
        require_whole(f"{role}: count", self.count, 1)
        require(callable(self.function), f"{role}: function", self.function, "a function")
        require(isinstance(self.args, tuple), f"{role}: args", self.args, "a tuple")
        for name, value in (("stop", self.stop), ("prepare", self.prepare)):
            require(value is None or callable(value), f"{role}: {name}", value, "a function, or None")


def require_call(what: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """BadInput when a worker could not call it with its context and these arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some that are written in C do not say
        return
    try:
        signature.bind(None, *args)
    except TypeError as error:
        name = getattr(function, "__qualname__", repr(function))
        given = f"(context, and {len(args)} of args)"
        raise BadInput(f"{what}: {name}{signature} cannot be called with {given}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The rules of a run, as a Session has them for all of its runs; what each means stands there."""

    mode: Mode = "process"
    seed: int = 0
    noise: Any = "none"  # profile name or harness.probe.Profile
    faults: "Faults | None" = None
    watch: Any = True  # False, True, or a maker with Watchdog's signature
    dump_dir: str = ""
    scenario: str = ""
    reproduce: str = ""
    stop_on: frozenset[str] = STOP_ON
    linger_s: float | None = 3.0  # after a finding that does not stop the run; None: to its end
    grace_s: float = 2.0  # of its own time, from the word "stop" to SIGTERM
    ready_limit_s: float = 30.0  # of its own time, from the fork to the word "ready"
    audit_limit_s: float = 120.0  # of its own time, for one audit
    limits: dict[str, float] = field(default_factory=dict)  # of the watchdog, by the names of its Limits

    def __post_init__(self) -> None:
        """BadInput for what no run could keep to."""
        require(self.mode in ("process", "thread"), "mode", self.mode, "'process' or 'thread'")
        require(isinstance(self.seed, int), "seed", self.seed, "a whole number, or None")
        for name, text in (("scenario", self.scenario), ("reproduce", self.reproduce)):
            require(isinstance(text, str), name, text, "a str")
        right = self.faults is None or isinstance(self.faults, Faults)
        require(right, "faults", self.faults, "a Faults, or None")
        right = isinstance(self.watch, bool) or callable(self.watch)
        require(right, "watch", self.watch, "True, False or a maker")
        if isinstance(self.noise, str) and self.noise not in NAMES:
            raise BadInput(f"no noise profile {self.noise!r}: there are {', '.join(NAMES)}")
        own = {name: getattr(self, name) for name in ("grace_s", "ready_limit_s", "audit_limit_s")}
        validate_times({**self.limits, **own})
        if self.linger_s is not None:
            validate_times({"linger_s": self.linger_s}, least=0)


@dataclass(frozen=True, kw_only=True)
class RunPlan(RunSettings):
    """One run, as the supervisor needs it: the settings, and what is run with them."""

    arena: "Arena"
    roles: tuple[RoleSpec, ...]
    epochs: int | None = 1  # None: until it is stopped
    audit: Callable[..., Any] | None = None
    audit_in: AuditIn = "child"


def derive_seed(seed: int, *names: object) -> int:
    """A seed of its own for everything that has a name: 64 bits, the same on every machine."""
    text = "/".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def validate_times(times: Mapping[str, float], least: float | None = None) -> None:
    """BadInput for seconds after which nothing, or everything, would have happened.

    ``least``: the smallest that is allowed; None: anything above 0.
    """
    for name, seconds in times.items():
        what = "a number of seconds " + ("above 0" if least is None else f"from {least:g}")
        require(isinstance(seconds, int | float), name, seconds, what)
        require(math.isfinite(seconds) and (seconds > 0 or seconds == least), name, seconds, what)


def validate_roles(roles: tuple[RoleSpec, ...]) -> None:
    """BadInput: no worker could end by itself, two roles of one name, a function that cannot be called so."""
    for role in roles:
        require(isinstance(role, RoleSpec), "role", role, "a RoleSpec")
        require_call(f"role {role.name!r}: function", role.function, role.args)
    names = [role.name for role in roles]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise BadInput(f"two roles are named {min(twice)!r}")
    if all(role.service for role in roles):
        raise BadInput("a run needs a role that is not a service: nothing would ever end it")
