"""In plain words: the sentence that says what is wrong, and the cycle in reading order."""

import re
from pathlib import Path

from harness.shm.names import shorten
from harness.watch.records import SeatFacts, Snapshot, Suspicion

ADDRESSES = 0x1000
LIBRARY = re.compile(r"/lib(64)?/python3|/site-packages/|/dist-packages/|^<frozen ")


def held_text(seat: SeatFacts) -> str:
    """What it holds, since when, from where."""
    if not seat.held:
        return "holds nothing"
    return "holds " + ", ".join(
        f"{held.lock} ({held.mode}, {held.held_for_s:.3f} s, {held.site})" for held in seat.held
    )


def operation_text(seat: SeatFacts) -> str:
    """What it is doing, and to what: a small number counts something, a large one is an address."""
    argument = hex(seat.argument) if seat.argument >= ADDRESSES else str(seat.argument or "")
    return f"{seat.operation} {argument}".rstrip()


def wait_text(seat: SeatFacts) -> str:
    """What it waits for."""
    wait = seat.wait
    if wait is None:
        return "is running" + (f" in {seat.operation}" if seat.operation else "")
    if wait.kind in ("sleep", "idle"):
        word = "sleeps" if wait.kind == "sleep" else "idles"
        until = f" until {wait.predicate} (now {wait.value_text or wait.value})" if wait.predicate else ""
        return f"{word} in `{wait.wmesg}` on {wait.lock}{until} for {wait.waited_s:.3f} s, {wait.site}"
    if wait.kind == "io":
        return f"is in I/O ({wait.wmesg}) for {wait.waited_s:.3f} s, {wait.site}"
    if wait.kind == "join":
        return f"waits for the end of {wait.lock} for {wait.waited_s:.3f} s"
    if wait.kind == "parked":
        return "is parked"
    if wait.kind == "reporting":
        return "waits until the watchdog has recorded its report"
    how = {"mutex": "", "read": " (read)", "write": " (write)", "upgrade": " (upgrade)"}.get(wait.kind, "")
    return f"waits for {wait.lock}{how} for {wait.waited_s:.3f} s, {wait.site}"


def lines_of(snapshot: Snapshot, suspicion: Suspicion) -> list[str]:
    """One line per thread involved, in reading order."""
    by_number = {seat.number: seat for seat in snapshot.seats}
    found = []
    for place, number in enumerate(suspicion.seats):
        seat = by_number.get(number)
        if seat is None:
            continue
        following = by_number.get(suspicion.seats[(place + 1) % len(suspicion.seats)])
        where = f" [in {operation_text(seat)}]" if seat.operation else ""
        dead = " DEAD" if seat.dead else ""
        link = link_text(seat, following) if following is not None else ""
        found.append(f"{seat.name}{dead} {held_text(seat)}; {wait_text(seat)}{where}{link}")
    return found


def link_text(waiter: SeatFacts, holder: SeatFacts) -> str:
    """Why the one cannot go on before the other; nothing when the snapshot does not show it."""
    wait = waiter.wait
    if wait is None:
        return ""
    for held in holder.held:
        if held.offset == wait.offset and wait.kind != "join":
            return f"; {wait.lock} is held by {holder.role}"
    for claim in holder.claims:
        if wait.address and claim.address == wait.address:
            return f"; {holder.role} is to change that word since {claim.for_s:.3f} s, {claim.site}"
    return ""


def summary_of(seats: list[SeatFacts], suspicion: Suspicion, cause: str = "", place: str = "") -> str:
    """The facts in one sentence, and the class of the cause in another when it is known.

    ``place``: the line where the holder of a stall is now.
    """
    facts = _facts(seats, suspicion) + (f", at {place}" if place else "")
    return f"{facts}. {cause}." if cause else facts


def place_of(stack: list[str]) -> str:
    """The innermost line of a thread's own code, else its innermost line; empty without a stack."""
    ours = shorten(f"{Path(__file__).parents[1]}/")
    own = (frame for frame in stack if not frame.startswith(ours) and not LIBRARY.search(frame))
    return next(own, stack[0] if stack else "")


def _facts(seats: list[SeatFacts], suspicion: Suspicion) -> str:
    """For a short cycle it names both sides, both locks and all four lines."""
    by_number = {seat.number: seat for seat in seats}
    members = [by_number[n] for n in suspicion.seats if n in by_number]
    if suspicion.verdict != "deadlock" or not members or len(members) > 3:
        return suspicion.why
    parts = []
    for seat in members:
        wait = seat.wait
        what = wait.lock if wait else "?"
        if wait and wait.kind == "sleep":
            what = f"`{wait.wmesg}` on {wait.lock}"
        held = ", ".join(f"{held.lock} ({held.site})" for held in seat.held) or "a busy word"
        at = f" ({wait.site})" if wait and wait.site else ""
        parts.append(f"{seat.role} holds {held} and waits for {what}{at}")
    return "; ".join(parts)
