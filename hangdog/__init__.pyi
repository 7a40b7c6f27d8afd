from hangdog import errors as errors
from harness.errors import ArenaError as ArenaError
from harness.errors import BadInput as BadInput
from harness.errors import CannotRunHere as CannotRunHere
from harness.errors import ContractViolation as ContractViolation
from harness.errors import DoubleFree as DoubleFree
from harness.errors import FoundProblems as FoundProblems
from harness.errors import HarnessError as HarnessError
from harness.errors import HeldTooMany as HeldTooMany
from harness.errors import LockBroken as LockBroken
from harness.errors import LockError as LockError
from harness.errors import NoAccess as NoAccess
from harness.errors import NotAnArena as NotAnArena
from harness.errors import NotOwner as NotOwner
from harness.errors import OwnerDied as OwnerDied
from harness.errors import Panic as Panic
from harness.errors import RecordError as RecordError
from harness.errors import SelfDeadlock as SelfDeadlock
from harness.errors import StaleArena as StaleArena
from harness.errors import StaleReference as StaleReference
from harness.errors import TableFull as TableFull
from harness.errors import UnguardedAccess as UnguardedAccess
from harness.errors import WorkerFailed as WorkerFailed
from harness.handles import Channel as Channel
from harness.handles import Condition as Condition
from harness.handles import Holder as Holder
from harness.handles import Mutex as Mutex
from harness.handles import RwHolder as RwHolder
from harness.handles import RwLock as RwLock
from harness.handles import Side as Side
from harness.locks.ranks import LockClass as LockClass
from harness.outcome import Crashed as Crashed
from harness.outcome import Failed as Failed
from harness.outcome import Finding as Finding
from harness.outcome import Hung as Hung
from harness.outcome import Killed as Killed
from harness.outcome import Outcome as Outcome
from harness.outcome import Passed as Passed
from harness.outcome import Payload as Payload
from harness.outcome import Progress as Progress
from harness.outcome import RunResult as RunResult
from harness.run.context import WorkerContext as WorkerContext
from harness.run.context import WorkerStopped as WorkerStopped
from harness.run.errors import RunFailed as RunFailed
from harness.run.errors import StartFailed as StartFailed
from harness.run.errors import SupervisorDied as SupervisorDied
from harness.run.errors import SupervisorFailed as SupervisorFailed
from harness.run.errors import WatchdogDied as WatchdogDied
from harness.run.faults import Faults as Faults
from harness.run.plan import STOP_ON as STOP_ON
from harness.run.plan import RoleSpec as RoleSpec
from harness.run.session import Session as Session
from harness.shm.arena import Arena as Arena
from harness.shm.record import Record as Record
from harness.watch.detectors.history import Limits as Limits

__all__ = [
    "Arena",
    "ArenaError",
    "BadInput",
    "CannotRunHere",
    "Channel",
    "Condition",
    "ContractViolation",
    "Crashed",
    "DoubleFree",
    "Failed",
    "Faults",
    "Finding",
    "FoundProblems",
    "HarnessError",
    "HeldTooMany",
    "Holder",
    "Hung",
    "Killed",
    "Limits",
    "LockBroken",
    "LockClass",
    "LockError",
    "Mutex",
    "NoAccess",
    "NotAnArena",
    "NotOwner",
    "Outcome",
    "OwnerDied",
    "Panic",
    "Passed",
    "Payload",
    "Progress",
    "Record",
    "RecordError",
    "RoleSpec",
    "RunFailed",
    "RunResult",
    "RwHolder",
    "RwLock",
    "STOP_ON",
    "SelfDeadlock",
    "Session",
    "Side",
    "StaleArena",
    "StaleReference",
    "StartFailed",
    "SupervisorDied",
    "SupervisorFailed",
    "TableFull",
    "UnguardedAccess",
    "WatchdogDied",
    "WorkerContext",
    "WorkerFailed",
    "WorkerStopped",
]
__version__: str
