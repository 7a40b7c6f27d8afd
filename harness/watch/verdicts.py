"""From facts to suspicions.  Pure: no clock, no arena, no memory but what is handed in.

Certain verdicts (a cycle, a dead holder, a true predicate that nobody woke) need no
time-out, only a second look at unmoved wait sequences.  The others count progress over
the time in which the watcher itself was running.
"""

from dataclasses import dataclass, field

from harness import _native
from harness.locks.waitgraph import Cycle, Edge, find_cycles
from harness.watch.causes import forgotten
from harness.watch.records import SeatFacts, Snapshot, Suspicion
from harness.watch.waits import WAITING, edges

_C = _native.CONSTANTS
# Of one operation, before it may be called a livelock.  Who restarts because he met somebody gets
# through when that one is done, so a hundred times in one operation is never mere bad luck; and
# still they must go on for ``Limits.livelock_s`` without the operation's end.
MOST_RESTARTS = 100
REPORTS = {
    _C["REPORT_ORDER"]: "order_violation",
    _C["REPORT_SELF_DEADLOCK"]: "self_deadlock",
    _C["REPORT_CONTRACT"]: "contract_violation",
    _C["REPORT_SLEEP_HOLDING"]: "contract_violation",
    _C["REPORT_OWNER_DIED"]: "orphaned_lock",
    _C["REPORT_INVARIANT"]: "invariant_violation",
    _C["REPORT_WRONG_DATA"]: "wrong_data",
    _C["REPORT_PANIC"]: "panic",
    _C["REPORT_STALE"]: "unguarded_access",
    _C["REPORT_LEAK"]: "leak",
}


@dataclass(frozen=True)
class Limits:
    """Seconds of watched time: what the watcher itself did not run is not counted."""

    stall_s: float = 30.0  # one wait, and every notice that still holds: a finding
    livelock_s: float = 15.0  # failures and restarts of one operation that go on growing
    frozen_s: float = 2.0  # a holder or awaited worker that is stopped: a notice
    waker_s: float = 5.0  # a waker may be this late: a notice
    nobody_s: float = 0.3  # all threads wait without limit


@dataclass
class History:
    """What the watcher remembers between looks; times are watched seconds."""

    clock: float = 0.0
    seen: dict[str, tuple[float, tuple[tuple[int, int], ...]]] = field(default_factory=dict)
    done: dict[str, dict[int, int]] = field(default_factory=dict)  # suspicion -> steps of everybody then
    failed: dict[int, tuple[int, float]] = field(
        default_factory=dict
    )  # seat -> failures, when they last grew
    steps: dict[int, tuple[int, float, int]] = field(
        default_factory=dict
    )  # seat -> steps, since, progress then
    moved: float = 0.0
    total: int = -1


def _unmoved(history: History, key: str, seats: list[SeatFacts]) -> float | None:
    """Watched seconds since this suspicion was first seen with the same wait sequences; None: new."""
    mark = tuple(sorted((seat.number, seat.wait_seq) for seat in seats))
    old = history.seen.get(key)
    if old is None or old[1] != mark:
        history.seen[key] = (history.clock, mark)
        history.done.pop(key, None)
        return None
    return history.clock - old[0]


def judge(now: Snapshot, history: History, limits: Limits) -> list[Suspicion]:
    """Everything suspicious at this moment; those with ``certain`` are verdicts."""
    by_number = {seat.number: seat for seat in now.seats}
    graph = edges(now)
    found = _cycles(now, graph, by_number, history)
    inside = {number for suspicion in found for number in suspicion.seats}
    found += _dead_holders(now, graph, history)
    found += _frozen(graph, by_number, history, limits)
    for seat in now.seats:
        if seat.wait and seat.wait.kind == "sleep" and not seat.torn and not seat.dead:
            found += _lost(seat, now, history, limits)
    if not found or all(not item.certain for item in found):
        found += _nobody_left(now, history, limits, inside)
    found += _no_steps(now, history, limits)
    return found


def _since(seat: SeatFacts, now: Snapshot) -> int:
    return now.taken_ns - int((seat.wait.waited_s if seat.wait else 0.0) * 1e9)


def _cycles(
    now: Snapshot, graph: list[Edge], seats: dict[int, SeatFacts], history: History
) -> list[Suspicion]:
    """Deadlocks: closed rounds in which no wait ends by itself."""
    lasting = [
        edge
        for edge in graph
        if (wait := seats[int(str(edge.waiter))].wait) is not None and not wait.timed and edge.holder in seats
    ]
    found = []
    for cycle in find_cycles(lasting):
        members = [seats[int(str(node))] for node in cycle.nodes]
        if any(seat.dead for seat in members):
            continue
        verdict = "self_deadlock" if len(members) == 1 else "deadlock"
        key = f"{verdict}:{sorted(seat.number for seat in members)}"
        age = _unmoved(history, key, members)
        # A soft edge may dissolve when the queue moves; it gets ten looks instead of one.
        enough = age is not None and (cycle.hard or age > 0.25)
        found.append(
            Suspicion(
                verdict=verdict,
                key=key + str(tuple(seat.wait_seq for seat in members)),
                seats=[seat.number for seat in members],
                why=_cycle_sentence(cycle, seats),
                certain=enough,
                since_ns=max(_since(seat, now) for seat in members),
            )
        )
    return found


def _cycle_sentence(cycle: Cycle, seats: dict[int, SeatFacts]) -> str:
    names = " -> ".join(seats[int(str(node))].role for node in (*cycle.nodes, cycle.nodes[0]))
    soft = "" if cycle.hard else " (through a place in a queue)"
    if len(cycle.nodes) == 1:
        return f"{names.split(' -> ')[0]} waits for itself{soft}"
    return f"{len(cycle.nodes)} threads wait for each other in a circle{soft}: {names}"


def _dead_holders(now: Snapshot, graph: list[Edge], history: History) -> list[Suspicion]:
    found = []
    for seat in now.seats:
        if not seat.dead or not (seat.held or any(edge.holder == seat.number for edge in graph)):
            continue
        what = seat.held[0].lock if seat.held else "what others wait for"
        waiters = [int(str(edge.waiter)) for edge in graph if edge.holder == seat.number]
        key = f"orphaned_lock:{seat.number}:{seat.pid}"
        age = _unmoved(history, key, [seat])
        found.append(
            Suspicion(
                verdict="orphaned_lock",
                key=key,
                seats=[seat.number, *waiters],
                why=f"{seat.name} is dead and still holds {what}"
                + (f", taken at {seat.held[0].site}" if seat.held else ""),
                certain=age is not None,
                since_ns=now.taken_ns,
            )
        )
    return found


def _frozen(
    graph: list[Edge], seats: dict[int, SeatFacts], history: History, limits: Limits
) -> list[Suspicion]:
    found = []
    for number in sorted({int(str(edge.holder)) for edge in graph}):
        holder = seats.get(number)
        if holder is None or holder.dead or holder.state not in ("T", "t", "D"):
            history.seen.pop(f"frozen:{number}", None)
            continue
        age = _unmoved(history, f"frozen:{number}", [holder])
        waiters = [int(str(edge.waiter)) for edge in graph if edge.holder == number]
        what = next(str(edge.what) for edge in graph if edge.holder == number)
        state = "stopped" if holder.state in ("T", "t") else "in uninterruptible sleep"
        found.append(
            Suspicion(
                verdict="frozen",
                key=f"frozen:{number}:{holder.wait_seq}",
                seats=[number, *waiters],
                why=f"{holder.name} is {state} while {len(waiters)} wait for it ({what})",
                certain=age is not None and age >= limits.frozen_s,
            )
        )
    return found


def _nobody_on_the_way(
    seat: SeatFacts, now: Snapshot, history: History, key: str, age: float, limits: Limits
) -> bool:
    """Can none of the others be between making the predicate true and waking us?

    Whoever waits or idles is not; whoever completed a step since is past it.  Locks taken since
    prove nothing: a waker may take others before it wakes.  A runnable thread that is still in
    its step may be on the way and gets ``waker_s``; one that sleeps in the kernel outside of
    all our waits and of any step is busy with something else, and gets a quarter of it.
    """
    first = history.done.setdefault(key, {other.number: other.steps for other in now.seats})
    needed = 0.0
    for other in now.seats:
        if other.number == seat.number or other.dead or (other.wait and other.wait.kind != "io"):
            continue
        if other.steps == first.get(other.number, other.steps):
            asleep = other.state == "S" and not other.operation
            needed = max(needed, limits.waker_s / 4 if asleep else limits.waker_s)
    return age >= needed


def _lost(seat: SeatFacts, now: Snapshot, history: History, limits: Limits) -> list[Suspicion]:
    """Asleep although its predicate holds, and no wakeup came since it looked."""
    wait = seat.wait
    assert wait is not None
    key = f"lost_wakeup:{seat.number}"
    if not wait.holds or not wait.unwoken:
        history.seen.pop(key, None)
        return []
    guard = now.owners.get(wait.guard, 0)
    stopped = any(other.state in ("T", "t") and not other.dead for other in now.seats)
    age = _unmoved(history, key, [seat])
    if guard or stopped:  # whoever has the guard may be about to wake it
        history.seen.pop(key, None)
        return []
    certain = age is not None and _nobody_on_the_way(seat, now, history, key, age, limits)
    if wait.timed:  # it may be polling on purpose; only a long wait needs a wakeup
        certain = certain and age is not None and age >= limits.waker_s
    return [
        Suspicion(
            verdict="lost_wakeup",
            key=f"{key}:{seat.wait_seq}",
            seats=[seat.number],
            why=forgotten(seat, wait),
            certain=certain,
            since_ns=now.taken_ns - int((age or 0.0) * 1e9),  # since we first saw it true
        )
    ]


def _nobody_left(now: Snapshot, history: History, limits: Limits, inside: set[int]) -> list[Suspicion]:
    """Somebody sleeps without limit, and everybody else waits without limit, idles, or is dead."""
    sleepers = [seat for seat in now.seats if seat.wait and seat.wait.kind == "sleep" and not seat.wait.timed]
    if not sleepers or inside:
        return []
    for seat in now.seats:
        stuck = seat.dead or (
            seat.wait is not None
            and not seat.wait.timed
            and (seat.wait.kind in WAITING or seat.wait.kind == "idle")
        )
        if not stuck or seat.torn:
            history.seen.pop("nobody", None)
            return []
    age = _unmoved(history, "nobody", now.seats)
    if age is None or age < limits.nobody_s:
        return []
    seat = max(sleepers, key=lambda one: one.wait.waited_s if one.wait else 0.0)
    assert seat.wait is not None
    until = f" until {seat.wait.predicate}" if seat.wait.predicate else ""
    return [
        Suspicion(
            verdict="lost_wakeup",
            key=f"nobody:{seat.number}:{seat.wait_seq}",
            seats=[seat.number],
            why=f"{seat.name} sleeps in `{seat.wait.wmesg}` on {seat.wait.lock}{until}, "
            "and nobody is left who could wake it",
            certain=True,
            since_ns=_since(seat, now),
        )
    ]


def _keeps_failing(seat: SeatFacts, history: History, limits: Limits) -> bool:
    """Failures that stopped growing for a while are those of a thread that got through."""
    failures, when = history.failed.get(seat.number, (-1, history.clock))
    if failures != seat.failures:
        history.failed[seat.number] = (seat.failures, history.clock)
        return True
    return history.clock - when < limits.livelock_s / 4


def _no_steps(now: Snapshot, history: History, limits: Limits) -> list[Suspicion]:
    """Livelock of one thread, or a stall of all."""
    found = []
    total = sum(seat.steps for seat in now.seats)
    if total != history.total:
        history.total, history.moved = total, history.clock
    resting = ("idle", "parked")  # may stay there for ever, in whatever operation
    busy = [
        seat
        for seat in now.seats
        if seat.operation and not seat.dead and (seat.wait is None or seat.wait.kind not in resting)
    ]
    for seat in busy:
        if not _keeps_failing(seat, history, limits):
            history.steps.pop(seat.number, None)
        steps, since, progress = history.steps.get(seat.number, (-1, history.clock, seat.failures))
        if steps != seat.steps:
            history.steps[seat.number] = (seat.steps, history.clock, seat.failures)
        elif history.clock - since >= limits.livelock_s and seat.failures - progress > MOST_RESTARTS:
            found.append(
                Suspicion(
                    verdict="livelock",
                    key=f"livelock:{seat.number}:{seat.steps}",
                    seats=[seat.number],
                    why=f"{seat.name} failed or restarted {seat.failures - progress} times in one "
                    f"{seat.operation}{f' ({seat.argument:#x})' if seat.argument else ''} "
                    f"in {history.clock - since:.1f} s without completing it",
                    certain=True,
                )
            )
    if busy and not found and history.clock - history.moved >= limits.stall_s:
        found.append(
            Suspicion(
                verdict="stall",
                key=f"stall:{total}",
                seats=[seat.number for seat in busy],
                why=f"no step was completed for {history.clock - history.moved:.0f} s "
                f"by any of {len(busy)} threads, and no cycle, dead holder or lost wakeup explains it",
                certain=True,
            )
        )
    return found
