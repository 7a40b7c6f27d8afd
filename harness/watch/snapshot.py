"""Copy the arena's facts without taking a lock.

Every word is written by one aligned store, so none is torn; a *row* may mix two moments,
which shows in its wait sequence: a seat that moved while it was read is marked.  And the rows
are of different moments: what a sleeper is accused by is read again after all the others.
Whether a thread lives is the kernel's word in its seat; /proc only adds to the sentences.
One row that cannot be read costs that row.
"""

from typing import Any

import msgspec

from harness import _native
from harness.errors import ArenaError
from harness.shm import native
from harness.shm.names import role_of, shorten
from harness.watch import kernel
from harness.watch.changes import last_change
from harness.watch.providers import served
from harness.watch.reader import Reader
from harness.watch.records import (
    ClaimFact,
    EventFact,
    HeldFact,
    LockFact,
    PolledFact,
    SeatFacts,
    Snapshot,
    WaitFact,
)
from harness.watch.render import sections

__all__ = ["Reader", "shorten", "take"]  # the first two where they always were
UNREADABLE = (ValueError, LookupError, OverflowError)  # what a damaged row can lead to
_C = _native.CONSTANTS
KINDS = {
    _C["WAIT_MUTEX"]: "mutex",
    _C["WAIT_READ"]: "read",
    _C["WAIT_WRITE"]: "write",
    _C["WAIT_UPGRADE"]: "upgrade",
    _C["SLEEPING"]: "sleep",
    _C["IDLE"]: "idle",
    _C["IO"]: "io",
    _C["PARKED"]: "parked",
    _C["JOINING"]: "join",
    _C["REPORTING"]: "reporting",
}
MODES = {_C["MUTEX"]: "mutex", _C["READ"]: "read", _C["WRITE"]: "write"}
EVENTS = {
    _C[key]: word
    for key, word in {
        "EV_ACQUIRE": "took",
        "EV_RELEASE": "released",
        "EV_WAIT": "waited for",
        "EV_TRY_FAILED": "failed to try",
        "EV_SLEEP": "slept on",
        "EV_WOKEN": "woke on",
        "EV_WAKEUP": "woke sleepers of",
        "EV_POINT": "passed",
        "EV_BEGIN": "began",
        "EV_END": "ended",
    }.items()
}
_OPS = {
    _C["EQ"]: "==",
    _C["NE"]: "!=",
    _C["GT"]: ">",
    _C["GE"]: ">=",
    _C["LT"]: "<",
    _C["LE"]: "<=",
    _C["CLEAR"]: "has no bit of",
    _C["SET"]: "has a bit of",
}


def holds(op: int, value: int, wanted: int) -> bool:
    """Is the predicate true for this value?"""
    tests = {
        _C["EQ"]: value == wanted,
        _C["NE"]: value != wanted,
        _C["GT"]: value > wanted,
        _C["GE"]: value >= wanted,
        _C["LT"]: value < wanted,
        _C["LE"]: value <= wanted,
        _C["CLEAR"]: not value & wanted,
        _C["SET"]: bool(value & wanted),
    }
    return tests.get(op, False)


def _age(now: int, then: int) -> float:
    return max(0, now - then) / 1e9 if then else 0.0


def _wait(reader: Reader, seat: Any, activity: int, now: int) -> WaitFact:
    offset = int(seat.wait_lock)
    kind = KINDS.get(activity, f"activity {activity}")
    facts: dict[str, Any] = {}
    if kind in ("sleep", "idle"):
        channel = native.Channel.from_buffer(reader.mapping, offset)
        guard = int(seat.wait_guard)
        facts = {
            "wmesg": reader.native.name(seat.wait_message),
            "guard": guard,
            "guard_name": reader.lock_name(guard) if guard else "",
            "guard_site": _last_site(reader, guard) if guard else "",
            "unwoken": native.on_list(channel, int(seat.number)),
            "last_waker": int(channel.last_waker),
            "last_wake_s": _age(now, channel.last_wake),
            "last_wake_site": reader.site(channel.last_site),
        }
        facts |= _condition(reader, seat)
        if facts.get("holds") and facts["unwoken"]:
            facts["changed"] = last_change(reader, facts["address"], now)
    if kind == "io":
        facts = {"wmesg": reader.native.name(seat.wait_message)}
    if kind == "parked":
        facts, offset = {"returned": offset == 1}, 0
    name = f"seat {offset}" if kind == "join" else reader.lock_name(offset) if offset else ""
    return WaitFact(
        kind=kind,
        lock=name,
        lock_class=reader.class_of(offset) if offset and kind != "join" else "",
        offset=offset,
        site=reader.site(seat.wait_site),
        waited_s=_age(now, seat.wait_since),
        timed=seat.wait_deadline != 0,
        **facts,
    )


def _condition(reader: Reader, seat: Any) -> dict[str, Any]:
    """What a sleeper waits for, and the word's value now; empty when no condition was given."""
    op, address = int(seat.predicate_op), int(seat.predicate_address)
    if not (op and address):
        return {}
    value, wanted = reader.value(address, seat.predicate_size), int(seat.predicate_value)
    return {
        "predicate": predicate_text(reader, seat),
        "address": address,
        "op": _OPS.get(op, "?"),
        "wanted": wanted,
        "value": value,
        "value_text": value_text(reader, op, address, value),
        "holds": holds(op, value, wanted),
    }


def _last_site(reader: Reader, offset: int) -> str:
    """Where a lock was taken last, by any thread."""
    kind = reader.words[offset // 4] >> 16
    record = native.Mutex if kind == _C["MUTEX"] else native.RwLock
    return reader.site(record.from_buffer(reader.mapping, offset).site)


def predicate_text(reader: Reader, seat: Any) -> str:
    """The condition that a sleeper waits for."""
    op, address = int(seat.predicate_op), int(seat.predicate_address)
    value = value_text(reader, op, address, int(seat.predicate_value))
    return f"{reader.word_name(address)} {_OPS.get(op, '?')} {value}"


def value_text(reader: Reader, op: int, address: int, value: int) -> str:
    """A value of the word, in its program's words when single bits are meant."""
    if op not in (_C["CLEAR"], _C["SET"]):
        return str(value)
    word = reader.word(address)
    return sections.bits(f"{word[0]}.{word[2]}" if word else "", value)


def _held(reader: Reader, seat: Any, now: int, dead: bool) -> list[HeldFact]:
    """Rows whose lock names this thread: the word decides, the row only says where.

    A dead reader is not there any more: of the dead only what they had for themselves counts.
    """
    found = []
    for i in range(min(seat.depth, _C["MAX_HELD"])):
        held = seat.held[i]
        if not held.lock or held.kind & _C["INTENT"]:
            continue  # a gap, or an intent
        lock = reader.lock(held.lock)
        if seat.id not in (lock.holder, *([] if dead else lock.readers)):
            continue
        found.append(
            HeldFact(
                lock=reader.lock_name(held.lock),
                lock_class=reader.class_name(held.class_id),
                offset=int(held.lock),
                mode=MODES.get(held.kind, "?"),
                site=reader.site(held.site),
                held_for_s=_age(now, held.since),
            )
        )
    return found


def _polled(reader: Reader, seat: Any, now: int) -> PolledFact | None:
    offset = int(seat.polled_lock)
    if not offset:
        return None
    return PolledFact(
        lock=reader.lock_name(offset),
        offset=offset,
        polls=int(seat.polls),
        for_s=_age(now, seat.polled_since),
        site=reader.site(seat.polled_site),
    )


def _claims(reader: Reader, seat: Any, now: int, words: bool) -> list[ClaimFact]:
    found = []
    for i in range(_C["MAX_CLAIMS"]):
        claim = seat.claims[i]
        if not claim.address:
            break
        found.append(
            ClaimFact(
                address=int(claim.address),
                word=reader.word_name(int(claim.address)) if words else "",
                site=reader.site(claim.site),
                for_s=_age(now, claim.since),
            )
        )
    return found


def events_of(reader: Reader, seat: Any, now: int, limit: int = 16) -> list[EventFact]:
    """The last events of a seat, oldest first."""
    found = []
    end = int(seat.ring_next)
    for i in range(max(0, end - min(limit, _C["RING"])), end):
        event = seat.ring[i % _C["RING"]]
        kind = EVENTS.get(event.kind, "?")
        named = event.kind in (_C["EV_POINT"], _C["EV_BEGIN"], _C["EV_END"])
        if named:
            name = reader.native.name(event.site)
            what = f"{name} {sections.argument(name, event.object)}".strip()
        else:
            what = reader.lock_name(event.object)
        site = "" if named else reader.site(event.site)
        found.append(
            EventFact(
                age_s=_age(now, event.when),
                kind=kind,
                what=what,
                site=site,
                offset=0 if named else int(event.object),
            )
        )
    return found


def _failures(seat: Any) -> dict[str, int]:
    """Its failures, and which of them are for good.  ``failures`` is read first: then never one too many."""
    every = int(seat.failures)
    spun = int(seat.spun)
    return {"failures": every, "restarts": max(0, every - int(seat.spared) - spun), "spun": spun}


def seat_facts(reader: Reader, seat: Any, now: int, events: bool = False) -> SeatFacts:
    """One seat, marked torn when its wait sequence moved meanwhile."""
    before, activity = int(seat.wait_seq), int(seat.activity)
    dead = reader.dead(seat.number)
    pid, tid = int(seat.pid), int(seat.tid)
    state = "-" if reader.earlier_boot else kernel.state(pid, tid)  # its numbers may be another's by now
    held = _held(reader, seat, now, dead)
    wait = _wait(reader, seat, activity, now) if activity else None
    quiet = not dead and state in ("S", "D") and (wait is None or wait.kind == "io")
    facts = {
        "number": int(seat.number),
        "role": seat.role.decode(errors="replace"),
        "pid": pid,
        "tid": tid,
        "id": int(seat.id),
        "activity": KINDS.get(activity, "running"),
        "operation": reader.native.name(seat.operation),
        "argument": int(seat.operation_argument),
        "operation_for_s": _age(now, seat.operation_since) if seat.operation else 0.0,
        "steps": int(seat.steps),
        "progress": int(seat.progress),
        **_failures(seat),
        "held": held,
        "claims": _claims(reader, seat, now, events),
        "polled": _polled(reader, seat, now),
        "events": events_of(reader, seat, now) if events else [],
    }
    return SeatFacts(
        **facts,
        wait=wait,
        wait_seq=before,
        dead=dead,
        ended=ended_by(reader, pid, tid) if dead else "",
        state=state,
        tracer=kernel.tracer(pid, tid) if state in kernel.STOPPED else 0,
        call=kernel.call(pid, tid) if quiet and held else "",
        torn=before != seat.wait_seq or activity != seat.activity,
    )


def ended_by(reader: Reader, pid: int, tid: int) -> str:
    """How a thread that the kernel has marked ended."""
    if reader.earlier_boot:
        return "the machine was started anew since"
    how = reader.endings.of(pid)
    if how:
        return how
    if kernel.state(pid, tid) not in ("-", "Z", "X") and not kernel.exiting(pid, tid):
        return f"it started another program ({kernel.command(pid)})"
    if kernel.state(pid, pid) not in ("-", "Z", "X") and not kernel.exiting(pid, pid):
        return "its thread ended, its process goes on"
    return ""


def take(reader: Reader, events: bool = False) -> Snapshot:
    """All seats and what they wait for, without a lock."""
    now = reader.native.exact_now()
    seats, notes = [], []
    rows = reader.live()
    for row in rows if not reader.earlier_boot else ():
        reader.endings.watch(int(row.pid))
    for row in rows:
        try:
            seats.append(seat_facts(reader, row, now, events))
        except UNREADABLE as error:
            notes.append(f"seat {int(row.number)} could not be read: {type(error).__name__}: {error}")
    reader.endings.forget({seat.pid for seat in seats})
    locks: dict[int, LockFact] = {}
    for offset in {offset for seat in seats for offset in _offsets(seat)}:
        try:
            locks[offset] = reader.lock(offset)
        except UNREADABLE as error:
            notes.append(f"the lock at {offset} could not be read: {error}")
    roles: dict[str, list[int]] = {}
    for seat in seats:
        roles.setdefault(role_of(seat.role), []).append(seat.number)
    providers: list[tuple[int, int]] = []
    try:
        providers = served(reader.arena, roles)
    except (*UNREADABLE, ArenaError) as error:
        notes.append(f"the table of providers could not be read: {error}")
    return Snapshot(
        taken_ns=now,
        arena=reader.arena.name,
        seats=[_again(reader, seat) for seat in seats],
        owners={offset: fact.holder & _C["SEAT_MASK"] for offset, fact in locks.items()},
        locks=locks,
        providers=providers,
        earlier_boot=reader.earlier_boot,
        notes=notes,
    )


def _offsets(seat: SeatFacts) -> list[int]:
    found = [held.offset for held in seat.held]
    if seat.wait and seat.wait.kind in ("mutex", "read", "write", "upgrade"):
        found.append(seat.wait.offset)
    if seat.wait and seat.wait.guard:
        found.append(seat.wait.guard)
    return found + ([seat.polled.offset] if seat.polled else [])


def _again(reader: Reader, seat: SeatFacts) -> SeatFacts:
    """A sleeper whose condition was true and that was not woken: is it still so after all others were read?

    Its own row was read first.  A waker that woke it and completed its step before *its* row was
    read would else be accused of the sleeper that it has just woken.
    """
    wait = seat.wait
    if wait is None or not wait.unwoken or seat.torn:
        return seat
    try:
        row = reader.seats[seat.number - 1]
        channel = native.Channel.from_buffer(reader.mapping, wait.offset)
        same = native.on_list(channel, seat.number)
        if same and wait.holds is not None:
            value = reader.value(wait.address, row.predicate_size)
            same = holds(int(row.predicate_op), value, int(row.predicate_value)) == wait.holds
    except UNREADABLE:  # its row has changed meanwhile, and is damaged
        return msgspec.structs.replace(seat, torn=True)
    if same and row.wait_seq == seat.wait_seq and int(row.id) == seat.id:
        return seat
    return msgspec.structs.replace(seat, torn=True)
