"""harness: locks in shared memory that know who holds them, and a watchdog that explains a hang.

The public names are looked up when they are first used, because results (harness.outcome) must
be readable without the extension, and a command line that only prints help should start
at once.  ``__init__.pyi`` says the same to type checkers.
"""

from importlib import import_module as __import_module__
from sys import modules as __modules__

__homes__ = {
    "Arena": "harness.shm.arena",
    "Faults": "harness.run",
    "HarnessError": "harness.errors",
    "LockClass": "harness.locks",
    "RoleSpec": "harness.run",
    "RunResult": "harness.outcome",
    "Session": "harness.run",
    "SupervisorDied": "harness.run",
    "WorkerContext": "harness.run",
    "WorkerFailed": "harness.errors",
}
__all__ = list(__homes__)
# An assignment because the root of a package only re-exports.  The AttributeError of a name that is not
# there must be the usual one: ``from harness import errors`` depends on it.  ``from harness import _native``
# asks here before it imports anything.
__getattr__ = lambda name: (  # noqa: E731
    __import_module__("harness.extension").extension()
    if name == "_native"
    else getattr(__import_module__(__homes__[name]), name)
    if name in __homes__
    else object.__getattribute__(__modules__[__name__], name)
)
