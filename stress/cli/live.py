"""Running arenas of this user, found through /proc and read without any lock or signal.

Guarantees: what is looked at is not disturbed: a mapping is made, words are read, nothing is
written and no thread is stopped.  Processes that ended while we looked are left out.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import ArenaError
from harness.shm.arena import Arena
from harness.shm.names import role_of
from harness.watch.records import SeatFacts
from harness.watch.snapshot import Reader, take

NANO = 1_000_000_000


@dataclass(frozen=True)
class Running:
    """One arena and the processes that use it."""

    name: str
    pid: int  # the process that made it, or the oldest that is left
    pids: list[int]
    age_s: float
    seats: list[SeatFacts] = field(repr=False)

    @property
    def roles(self) -> dict[str, int]:
        """How many seats each role has; ``role#3`` is one of ``role``."""
        found: dict[str, int] = {}
        for seat in self.seats:
            role = role_of(seat.role) or "thread"
            found[role] = found.get(role, 0) + 1
        return found


def running() -> list[Running]:
    """Every arena in memory, by name; one entry however many processes share it."""
    found: dict[tuple[int, int], list[tuple[int, str]]] = {}
    for pid, path in Arena.find_arenas():
        try:
            status = Path(path).stat()
        except OSError:
            continue  # ended meanwhile
        found.setdefault((status.st_dev, status.st_ino), []).append((pid, path))
    arenas = [running_in(users) for users in found.values()]
    return sorted((arena for arena in arenas if arena), key=lambda arena: (arena.name, arena.pid))


def running_in(users: list[tuple[int, str]]) -> Running | None:
    """One arena through the first of its processes that is still there."""
    pids = sorted(pid for pid, _ in users)
    for _, path in users:
        try:
            arena = Arena.attach(path=path)
        except ArenaError:
            continue  # it ended, or it is being made, or it belongs to another version
        with arena:
            maker = int(arena.header.creator)
            return Running(
                name=arena.name,
                pid=maker if maker in pids else pids[0],
                pids=pids,
                age_s=max(0.0, (time.time_ns() - int(arena.header.created)) / NANO),
                seats=take(Reader(arena)).seats,
            )
    return None


def doing(seat: SeatFacts) -> str:
    """What a thread is doing, in a few words."""
    if seat.dead:
        return "dead" + holding(seat) if seat.held else "gone"
    if seat.state in "Tt":
        return "stopped" + holding(seat)
    wait = seat.wait
    if wait is None:
        return (f"{seat.operation} {seat.argument or ''}".strip() or "between steps") + holding(seat)
    said = {
        "sleep": f"sleeps on {wait.wmesg or wait.lock}",
        "idle": f"has no work ({wait.wmesg or wait.lock})",
        "io": f"in {wait.wmesg or 'input or output'}",
        "parked": "parked between epochs",
        "join": f"waits for the end of {wait.lock}",
        "reporting": "reports misuse",
    }.get(wait.kind, f"waits for {wait.lock} ({wait.kind})")
    during = f"{seat.operation}: " if seat.operation else ""
    return f"{during}{said} for {wait.waited_s:.1f} s{holding(seat)}"


def holding(seat: SeatFacts) -> str:
    """The locks it holds, after a comma."""
    return f", holds {', '.join(held.lock for held in seat.held)}" if seat.held else ""
