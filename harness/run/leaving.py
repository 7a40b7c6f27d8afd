"""Processes of workers that have said their last word and do not end.

A program that has done its work and never exits hangs like any other: it waits for a thread that nothing
ends.  Guarantees: a process that gets no processor, is stopped or traced is not late; nothing is ended here.
"""

from harness.run import scheduling
from harness.run.event_loop import TICK_S
from harness.run.run_state import RunState
from harness.run.workers import ChildProcess, WorkerHandle
from harness.watch import kernel

MOST_THREADS = 4  # named in the sentence
MOST_TIMES = 10  # the limit, also for a process that wants a processor and gets none


def still_there(state: RunState) -> list[tuple[ChildProcess, list[WorkerHandle]]]:
    """Processes that live although every thread in them is over, and that we have not ended."""
    found = []
    for body in state.crew.bodies:
        members = state.crew.of_body(body)
        if members and all(m.over for m in members) and not body.ended_because:
            if any(m.program for m in members):  # by exec: what it has become is none of ours
                continue
            if body.process.exitcode is None:
                found.append((body, members))
    return found


def late(state: RunState, limit_s: float) -> list[tuple[str, str]]:
    """(worker, where its threads are) of each that is still there after ``limit_s``."""
    state.loop.wait_until(lambda: not still_there(state), limit_s)
    if still_there(state):
        state.loop.wait_until(lambda: not busy(state), MOST_TIMES * limit_s, every_s=TICK_S)
    return [
        (member.post.name, where(body.pid))
        for body, members in still_there(state)
        for member in members[:1]
        if not scheduling.of_thread(body.pid, body.pid).stopped
    ]


def busy(state: RunState) -> bool:
    """Is one of them on its way: does a thread of it want the processor?"""
    return any(
        kernel.state(body.pid, tid) == "R"
        for body, _ in still_there(state)
        for tid in kernel.threads(body.pid) or []
    )


def where(pid: int) -> str:
    """What its threads do, as far as the kernel says."""
    threads = kernel.threads(pid) or []
    said = [
        f"thread {tid} in {kernel.call(pid, tid) or f'state {kernel.state(pid, tid)}'}"
        for tid in threads[:MOST_THREADS]
    ]
    more = len(threads) - len(said)
    return ", ".join(said) + (f" and {more} more" if more else "")
