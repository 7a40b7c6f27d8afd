"""A dump for reading: the first line is the fact, the last one a command.

The file has everything; the text leaves out what never helps a reader: how the harness came to call
the program, a sentence twice, and the order of locks where no lock is in question.
"""

import re

from harness.watch.records import Dump, SeatFacts
from harness.watch.render.sentences import held_text, operation_text, wait_text

NOT_ABOUT_ORDER = frozenset(
    {
        "crash",
        "invariant_violation",
        "leak",
        "livelock",
        "lost_wakeup",
        "panic",
        "unguarded_access",
        "wrong_data",
    }
)
OURS = re.compile(r"(?:.*/site-packages/)?(?:harness|stress)/run/|.*/multiprocess/|<string>:")
CALLS_ROLE = re.compile(r"(?:^|/)harness/run/worker\.py:\d+ _work$")
FRAMES, EVENTS = 12, 10


def render(dump: Dump, everything: bool = True) -> str:
    """Text of a dump; without ``everything`` only what is needed to understand the verdict."""
    lines = head_of(dump, everything) + _tail(dump, everything)
    lines += ["", f"try: {dump.reproduce}" if dump.reproduce else "try: hangdog list scenarios"]
    return "\n".join(lines) + "\n"


def head_of(dump: Dump, everything: bool = True) -> list[str]:
    """The verdict, and the threads."""
    lines = [f"{dump.verdict}   {dump.scenario}   seed {dump.seed}".rstrip(), dump.summary, ""]
    lines += [f"  {line}" for line in dump.cycle if line.strip() not in dump.summary]
    for seat in dump.threads:
        involved = seat.number in dump.involved
        named = seat.number in dump.witnesses  # the thread that did what the others wait for
        if everything or involved or named:
            lines += ["", *_thread(seat, involved, named)]
    return lines


def _thread(seat: SeatFacts, involved: bool, named: bool) -> list[str]:
    mark = "*" if involved else " "
    dead = ", DEAD" if seat.dead else ""
    head = f"{mark} {seat.role}: pid {seat.pid}, tid {seat.tid}, state {seat.state}{dead}, {seat.steps} steps"
    lines = [head, f"    {wait_text(seat)}"]
    if seat.operation:
        lines.append(f"    in {operation_text(seat)} for {seat.operation_for_s:.3f} s")
    if seat.held:
        lines.append(f"    {held_text(seat)}")
    lines += [
        f"    is to change {claim.word or f'the word at {claim.address}'} ({claim.site}, {claim.for_s:.3f} s)"
        for claim in seat.claims
    ]
    if involved and seat.stack:
        lines += ["    stack, innermost first:"] + [f"      {frame}" for frame in _frames(seat.stack)]
    if (involved or named) and seat.events:
        lines.append("    last events:")
        lines += [
            f"      -{event.age_s:7.3f} s {event.kind} {event.what} {event.site.removeprefix('?')}".rstrip()
            for event in seat.events[-EVENTS:]
        ]
    return lines


def _frames(stack: list[str]) -> list[str]:
    """Without the outermost frames, the same in every worker; the first when there is nothing else.

    What lies outside of the call of the role is how the worker was made: with fork, the whole of its parent.
    """
    end = next((i for i, frame in enumerate(stack) if i and CALLS_ROLE.search(frame)), len(stack))
    while end > 1 and OURS.match(stack[end - 1]):
        end -= 1
    return stack[: min(end, FRAMES)]


def _tail(dump: Dump, everything: bool) -> list[str]:
    lines: list[str] = []
    for name, section in dump.sections.items():
        if section:
            lines += ["", f"{name}:"] + [f"  {line}" for line in section]
    if dump.order and everything and dump.verdict not in NOT_ABOUT_ORDER:
        lines += ["", "lock order seen:"]
        lines += [
            f"  {edge.before} -> {edge.after}   ({edge.before_site}; {edge.after_site})"
            for edge in dump.order
        ]
    if dump.processes and everything:
        lines += ["", "processes:"]
        lines += [
            f"  pid {fact.pid}: {fact.status}, {fact.cpu_s:.1f} s CPU, {fact.rss_mb:.0f} MiB, "
            f"{fact.files} files"
            for fact in dump.processes
        ]
    lines += [f"note: {note}" for note in dump.notes]
    versions = ", ".join(f"{name} {version}" for name, version in dump.versions.items())
    return [*lines, "", f"arena {dump.arena}, {dump.created}, {versions}"]
