"""Every error of the instrument: one tree, one class per situation.

A message is the fact with its values; ``hint`` is a command that can be typed.
Values are attributes, so no caller parses text.  Exit codes are those of the
command line: 2 usage, 3 the harness itself failed, 4 this machine cannot run it.
"""

import errno
from collections.abc import Sequence
from typing import Any

_REFUSED = {
    errno.ENOMEM: "memory",
    errno.EAGAIN: "processes",  # the answer of fork
    errno.EMFILE: "file descriptors",
    errno.ENFILE: "file descriptors",
}


class HarnessError(Exception):
    """Base of everything that the harness raises on purpose.

    ``exit_code``: of the command line; ``hint``: a command to try, empty: there is none.
    ``exhausted``: a table or the memory of the system under test is full.
    ``facts``: what it is made of, where that is more than a text (harness.shm.facts.Fact).
    ``mistake``: what exactly was done wrong, by its name in harness.shm.facts; empty: the class says it.
    """

    exit_code: int = 3
    hint: str = ""
    exhausted: bool = False
    mistake: str = ""
    facts: Sequence[str] = ()


class BadInput(HarnessError):
    """The caller handed us something that cannot be used: exit code 2."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "hangdog --help") -> None:
        super().__init__(message)
        self.hint = hint


class CannotRunHere(HarnessError):
    """This machine lacks something that no option can replace."""

    exit_code = 4

    def __init__(self, message: str, hint: str = "hangdog list scenarios") -> None:
        super().__init__(message)
        self.hint = hint


class ExtensionDoesNotFit(CannotRunHere, ImportError):
    """The compiled extension is missing, or was compiled from other sources; ``hint`` compiles it."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(f"{why}: compile the extension again with `{hint}`", hint)


def shortage(error: BaseException) -> str:
    """What the machine, or a limit of this user, refused us, if that is what went wrong; else empty."""
    if isinstance(error, MemoryError):
        return "memory"
    return _REFUSED.get(error.errno or 0, "") if isinstance(error, OSError) else ""


class ArenaError(HarnessError):
    """Something is wrong with a shared-memory segment."""


class NotAnArena(ArenaError):
    """The bytes there are no arena: wrong magic, too short, or damaged.

    ``where``: the path or process; ``why``.
    """

    exit_code = 2

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where} is not an arena: {why}")
        self.where, self.why = where, why
        self.hint = "hangdog ps"


class StaleArena(ArenaError):
    """The segment holds records of another build's shape.

    ``name``: of the arena, or arena:table; ``found``, ``expected``: the fingerprints of the two layouts.
    """

    exit_code = 2

    def __init__(self, name: str, found: int, expected: int, what: str = "layout") -> None:
        super().__init__(f"arena {name!r} has {what} {found:#x}, this build expects {expected:#x}")
        self.name, self.found, self.expected = name, found, expected
        self.hint = "hangdog ps"


class NoAccess(ArenaError):
    """The arena exists, but this user may not map it.

    ``where``: the path or process; ``why``.
    """

    exit_code = 2

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"cannot open {where}: {why}")
        self.where, self.why = where, why
        self.hint = "hangdog ps"


class TableFull(ArenaError):
    """A fixed table has no free record left; ``option`` enlarges it.

    ``table``: its name; ``size``: how many records it has.
    """

    exit_code = 2
    exhausted = True

    def __init__(self, table: str, size: int, option: str) -> None:
        super().__init__(f"table {table!r} is full: all {size} records are in use")
        self.table, self.size, self.option = table, size, option
        self.hint = f"hangdog run {option} {size * 2}" if option.startswith("--") else "hangdog ps"


class RecordError(ArenaError):
    """A record was used against its rules."""


class StaleReference(RecordError):
    """A link names a record that has been freed since (its generation moved on).

    ``table``, ``slot``: which record; ``held``: the link's generation; ``current``: the record's.
    """

    verdict = "unguarded_access"
    reports_itself = True
    mistake = "stale_link"

    def __init__(self, table: str, slot: int, held: int, current: int) -> None:
        super().__init__(
            f"stale link to {table}[{slot}]: it names generation {held}, the record is at {current}"
        )
        self.table, self.slot, self.held, self.current = table, slot, held, current


class DoubleFree(RecordError):
    """A record that is already free was freed again.

    ``table``, ``slot``: which record.
    """

    verdict = "unguarded_access"
    reports_itself = True
    mistake = "freed_twice"

    def __init__(self, table: str, slot: int) -> None:
        super().__init__(f"{table}[{slot}] is freed twice")
        self.table, self.slot = table, slot


class UnguardedAccess(RecordError):
    """A field was read or written without the lock that guards it.

    ``table``, ``slot``, ``field``: which word; ``write``: written, not read; ``needs``: letters of its guard;
    ``held``: the locks that this thread held; ``where``: file:line.
    """

    verdict = "unguarded_access"
    reports_itself = True
    mistake = "unguarded"

    def __init__(
        self, table: str, slot: int, field: str, write: bool, needs: str, held: str, where: str
    ) -> None:
        what = "written" if write else "read"
        super().__init__(
            f"{table}[{slot}].{field} is {what} without its guard {needs!r} at {where};"
            f" held: {held or 'nothing'}"
        )
        self.table, self.slot, self.field, self.write, self.needs = table, slot, field, write, needs
        self.held, self.where = held, where


class LockError(HarnessError):
    """A lock was used against its rules; raised at the call, by the native core."""

    verdict = "contract_violation"
    reports_itself = True  # reported to the watcher where it is raised; a caller need not report it again


class SelfDeadlock(LockError):
    """This thread already holds the lock that it asks for."""

    verdict = "self_deadlock"


class NotOwner(LockError):
    """Released, or required, by a thread that does not hold it."""


class OwnerDied(LockError):
    """The last holder died inside.  The caller now holds the lock; the data under it is suspect.

    ``lock`` is the lock: repair the data, then ``died.lock.recover()``; or release it, which breaks it for
    every thread.  After a ``with`` it is given up already; ``with lock.repaired_by(rebuild):`` repairs.
    ``lock_name``: its class[instance].  ``holder``: the dead one as Mutex.holder() gives it (pid, tid, role,
    site, held_for; not ``alive``), or None when its seat has been given to another thread since.
    """

    verdict = "orphaned_lock"
    lock: Any = None
    lock_name: str = ""
    holder: Any = None


class LockBroken(LockError):
    """Abandoned after its owner died, and never repaired.

    The death itself was told to the thread that had the lock next, so this is not a finding of its own.
    """

    verdict = "orphaned_lock"
    follows_from_a_death = True


class HeldTooMany(LockError):
    """One thread holds more locks (or claims) than its seat can record."""


class ContractViolation(LockError):
    """Enter, Exit, Takes or Sleeps of a function did not hold."""


class Panic(HarnessError):
    """The system under test found itself in a state that it declares impossible."""

    verdict = "panic"


class WorkerFailed(HarnessError):
    """A worker could not be started, or never reported ready."""


class FoundProblems(HarnessError):
    """A run found something: what RunResult.raise_for_findings() raises.

    ``result`` is the whole RunResult, ``findings`` are its findings; the text has all their summaries.
    """

    exit_code = 1

    def __init__(self, message: str, result: Any, hint: str = "") -> None:
        super().__init__(message)
        self.result, self.findings = result, result.findings
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.args[0], self.result, self.hint))


def require(holds: bool, name: str, value: object, what: str) -> None:
    """BadInput for an argument that means nothing: name=value: it must be ``what``."""
    if not holds:
        raise BadInput(f"{name}={value!r}: it must be {what}")


def require_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    """BadInput for what is no int from ``least`` to ``most`` (None: no limit)."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    fits = whole and least <= value and (most is None or value <= most)  # type: ignore[operator]
    require(fits, name, value, f"a whole number from {least}" + ("" if most is None else f" to {most}"))
