"""A dump with every kind of fact, made of plain data."""

from harness.locks.order import OrderEdge
from harness.watch.records import (
    ClaimFact,
    Dump,
    EventFact,
    HeldFact,
    ProcessFact,
    SeatFacts,
    WaitFact,
)

COMMAND = "hangdog run --scenario fork-storm --seed 7"


def seat(number, holds, wants, **facts):
    """One side of a circle of two; names hold what a page must escape."""
    held = HeldFact(
        lock=f"{holds}[0]", lock_class=holds, offset=number * 64, mode="mutex", site="a.py:1 <lambda>",
        held_for_s=1.25,
    )  # fmt: skip
    wait = WaitFact(
        kind="mutex", lock=f"{wants}[0]", offset=(3 - number) * 64, site="b.py:2 g", waited_s=0.5, timed=False
    )
    plain = {
        "number": number, "role": f"r&<{number}>", "pid": 100 + number, "tid": 200 + number, "dead": False,
        "state": "S", "activity": "mutex", "operation": "step", "argument": 4, "operation_for_s": 2.0,
        "steps": 3, "progress": 5, "failures": 0, "wait_seq": 9, "torn": False, "held": [held], "wait": wait,
    }  # fmt: skip
    return SeatFacts(**(plain | facts))


def specimen():
    """Every kind of fact at least once."""
    return Dump(
        verdict="deadlock",
        summary='one holds "a" & waits for <b>; two the other way round \u2026',
        cycle=["one holds a[0]; waits for b[0]", "two holds b[0]; waits for a[0]"],
        threads=[
            seat(
                1,
                "a",
                "b",
                stack=["deep.py:3 inner", "top.py:9 outer"],
                events=[EventFact(age_s=0.1, kind="took", what="a[0]", site="a.py:1 f")],
                claims=[ClaimFact(address=4096, word="cells[1].busy", site="c.py:3 h", for_s=0.7)],
            ),
            seat(2, "b", "a", dead=True),
            seat(3, "c", "a", role="bystander"),
        ],
        involved=[1, 2],
        order=[OrderEdge(before="a", after="b", before_site="a.py:1 f", after_site="b.py:2 g")],
        sections={"world": ["object[7]: <busy>"]},
        processes=[ProcessFact(pid=101, status="sleeping", cpu_s=1.5, rss_mb=20, threads=1, files=9)],
        notes=["a note"],
        arena="test",
        seed=7,
        scenario="fork-storm",
        reproduce=COMMAND,
        versions={"hangdog": "0"},
        created="2026-01-01T00:00:00+00:00",
    )
