"""hangdog: locks in shared memory that know their holder, and runs that explain a hang.

Everything that a program needs, under one name; ``python -m hangdog`` is the command line.

    with hangdog.Session(workers=4) as session:
        result = session.run(work, session.arena.mutex("queue"))
        result.raise_for_findings()

``Session`` runs roles in processes under a watchdog, each with a ``WorkerContext``; ``RunResult``
says what came of it, with an ``Outcome`` (any of Passed, Failed, Crashed, Hung, Killed) of each worker;
``STOP_ON`` are the verdicts that end a run.  ``Arena`` is the shared memory: ``mutex``, ``rwlock``,
``channel``, ``condition`` and ``record``.  Every name is looked up when it is first used, so any may
be the first; ``__init__.pyi`` says the same to type checkers.
"""

from importlib import import_module as __import_module__
from sys import modules as __modules__

__homes__ = {
    # the arena and what lies in it
    "Arena": "harness.shm.arena",
    "Record": "harness.shm.record",
    # locks
    "Channel": "harness.handles",
    "Condition": "harness.handles",
    "Holder": "harness.handles",
    "LockClass": "harness.locks.ranks",
    "Mutex": "harness.handles",
    "RwHolder": "harness.handles",
    "RwLock": "harness.handles",
    "Side": "harness.handles",
    # runs
    "Faults": "harness.run.faults",
    "Limits": "harness.watch.detectors.history",
    "RoleSpec": "harness.run.plan",
    "STOP_ON": "harness.run.plan",
    "Session": "harness.run.session",
    "WorkerContext": "harness.run.context",
    "WorkerStopped": "harness.run.context",
    # what came of a run
    "Crashed": "harness.outcome",
    "Failed": "harness.outcome",
    "Finding": "harness.outcome",
    "Hung": "harness.outcome",
    "Killed": "harness.outcome",
    "Outcome": "harness.outcome",
    "Passed": "harness.outcome",
    "Payload": "harness.outcome",
    "Progress": "harness.outcome",
    "RunResult": "harness.outcome",
    # errors
    "ArenaError": "harness.errors",
    "BadInput": "harness.errors",
    "CannotRunHere": "harness.errors",
    "ContractViolation": "harness.errors",
    "DoubleFree": "harness.errors",
    "FoundProblems": "harness.errors",
    "HarnessError": "harness.errors",
    "HeldTooMany": "harness.errors",
    "LockBroken": "harness.errors",
    "LockError": "harness.errors",
    "NoAccess": "harness.errors",
    "NotAnArena": "harness.errors",
    "NotOwner": "harness.errors",
    "OwnerDied": "harness.errors",
    "Panic": "harness.errors",
    "RecordError": "harness.errors",
    "RunFailed": "harness.run.errors",
    "SelfDeadlock": "harness.errors",
    "StaleArena": "harness.errors",
    "StaleReference": "harness.errors",
    "StartFailed": "harness.run.errors",
    "SupervisorDied": "harness.run.errors",
    "SupervisorFailed": "harness.run.errors",
    "TableFull": "harness.errors",
    "UnguardedAccess": "harness.errors",
    "WatchdogDied": "harness.run.errors",
    "WorkerFailed": "harness.errors",
}
__all__ = list(__homes__)
# Assignments because the root of a package only re-exports.  The AttributeError of a name that is not
# there must be the usual one: ``from hangdog import errors`` depends on it.
__getattr__ = lambda name: (  # noqa: E731
    getattr(__import_module__(__homes__[name]), name)
    if name in __homes__
    else __import_module__("hangdog.errors")
    if name == "errors"
    else __import_module__("importlib.metadata").version("hangdog")
    if name == "__version__"
    else object.__getattribute__(__modules__[__name__], name)
)
__dir__ = lambda: sorted([*__all__, "errors", "__version__", *globals()])  # noqa: E731
