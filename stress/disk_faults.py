"""A store that misbehaves on purpose: refused, failed, late and overtaken transfers.

Guarantees: whether a transfer is disturbed follows from the seed, the transfer (kind, pager,
offset) and how often this process has asked for it before, from nothing else; so the same steps meet
the same faults.  Every disturbance is counted, in the arena, so that a run can say what it has survived.
Refuses what no store may do: lose a write that it called done, or say "there is nothing" of a page that
is there.  Under these faults data may be unavailable for a while, never silently old.

Read errors make a load fail although everything is well: a caller that turns them on must expect VmFault.
"""

from __future__ import annotations

import struct
import time
from collections import Counter
from ctypes import Structure, c_uint64
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from harness.errors import BadInput
from harness.shm.arena import Arena
from harness.shm.layout import guarded
from vmcore.constants import VM_PAGER_AGAIN, VM_PAGER_ERROR, VM_PAGER_FAIL, VM_PAGER_PEND
from vmcore.vm import Vm

TABLE = "disk_faults"
MOST = 0.9  # a store that refuses everything is another experiment: nothing could ever end
WHOLE = float(1 << 64)


class FaultRow(Structure):
    """What one thread has met (row = seat number)."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "put_fail",   c_uint64, "page-outs refused: no space"),
        (".", "put_error",  c_uint64, "page-outs failed at once"),
        (".", "put_again",  c_uint64, "page-outs put off: short of something"),
        (".", "get_error",  c_uint64, "page-ins failed"),
        (".", "disk_error", c_uint64, "accepted writes that failed later"),
        (".", "overtaken",  c_uint64, "accepted writes that others overtook"),
        (".", "late",       c_uint64, "transfers that took long"),
    )  # fmt: skip


NAMES: tuple[str, ...] = tuple(field[0] for field in FaultRow._fields_)

# Which disturbances a question may meet, and the answer that makes each of them.
ANSWERS: dict[str, tuple[tuple[str, int], ...]] = {
    "put": (("put_fail", VM_PAGER_FAIL), ("put_error", VM_PAGER_ERROR), ("put_again", VM_PAGER_AGAIN)),
    "get": (("get_error", VM_PAGER_ERROR),),
    "disk": (("disk_error", VM_PAGER_ERROR), ("overtaken", VM_PAGER_PEND)),
}


@dataclass(frozen=True, kw_only=True)
class DiskFaults:
    """Probabilities, each per transfer; ``late`` transfers take ``late_ms``."""

    seed: int
    put_fail: float = 0.0
    put_error: float = 0.0
    put_again: float = 0.0
    get_error: float = 0.0
    disk_error: float = 0.0
    overtaken: float = 0.0
    late: float = 0.0
    late_ms: float = 5.0

    def __post_init__(self) -> None:
        for kind, answers in ANSWERS.items():
            chances = [getattr(self, name) for name, _ in answers]
            if min(chances) < 0 or sum(chances) > MOST:
                raise BadInput(f"the faults of one {kind} must add up to 0 to {MOST}, not {sum(chances)}")
        if not 0 <= self.late <= 1:
            raise BadInput(f"late is a probability, not {self.late}")

    def install(self, vm: Vm) -> None:
        """Disturb this process's transfers, and those of the processes that it forks."""
        Disturbance(vm, self)


class Disturbance:
    """The hooks of one VM view: they decide, count and delay."""

    def __init__(self, vm: Vm, faults: DiskFaults) -> None:
        self.faults, self.tally = faults, Tally(vm.arena)
        self.asked: Counter[tuple[str, int, int]] = Counter()
        self.slow = vm.io.hook  # a disk that is slow anyway stays so
        vm.io.result_hook = self.answer
        if faults.late:
            vm.io.hook = self.delay

    def answer(self, kind: str, what: int, offset: int) -> int | None:
        """What the pager says instead of doing its work; None: it does its work."""
        luck = self.luck(kind, what, offset)
        for name, answer in ANSWERS[kind]:
            luck -= getattr(self.faults, name)
            if luck < 0:
                self.tally.count(name)
                return answer
        return None

    def delay(self, kind: str, what: int, length: int) -> bool | None:
        """Let some transfers take long: on two disks the next ones end first."""
        if self.luck(kind, what, length) < self.faults.late:
            self.tally.count("late")
            time.sleep(self.faults.late_ms / 1000)
        return self.slow(kind, what, length) if self.slow is not None else None

    def luck(self, kind: str, what: int, offset: int) -> float:
        """A number from 0 to 1 for this transfer, another one each time it is tried."""
        turn = self.asked[kind, what, offset]
        self.asked[kind, what, offset] = turn + 1
        seed = self.faults.seed & (1 << 64) - 1
        said = blake2b(struct.pack("<QQQQ", seed, what, offset, turn), key=kind.encode(), digest_size=8)
        return int.from_bytes(said.digest(), "little") / WHOLE


class Tally:
    """The counts of one arena: every process adds to its own row, and may read all."""

    def __init__(self, arena: Arena) -> None:
        self.native, self.rows = arena.native, rows(arena)

    def count(self, name: str) -> None:
        """One more, in the row of this thread."""
        row = self.rows[self.native.seat()]
        setattr(row, name, getattr(row, name) + 1)

    def so_far(self, name: str) -> int:
        """How many of this kind all threads have met."""
        return sum(int(getattr(row, name)) for row in self.rows[1:])


def rows(arena: Arena) -> Any:
    """The table of counts, one row per seat; made by the process that asks first."""
    return arena.table(TABLE, FaultRow, arena.header.seat_count).views


def counted(arena: Arena) -> dict[str, int]:
    """How many disturbances of each kind all threads have met."""
    tally = Tally(arena)
    return {name: tally.so_far(name) for name in NAMES}
