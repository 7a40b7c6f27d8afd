"""A queue of processes: a record, a lock and a condition in shared memory, one holder killed inside.

    python examples/shared_queue.py

Producers and consumers hand on 400 items.  Then a process is killed in the middle of a change, and
the next one that takes the lock repairs what it finds.  Exits 0.
"""

import os
import signal
import sys

from hangdog import Arena, Condition, OwnerDied, RoleSpec, Session, WorkerContext

ITEMS, ROOM = 200, 8


class Queue:
    """Words in shared memory; ``added - taken`` are inside."""

    inside: int
    added: int
    taken: int


def produce(context: WorkerContext, room: Condition, queue: Queue) -> None:
    """Put ITEMS in, and wait for room before each."""
    for _ in range(ITEMS):
        with context.step("put"), room:
            room.wait_for((queue, "inside", "<", ROOM))
            queue.inside += 1
            queue.added += 1
            room.notify_all()


def consume(context: WorkerContext, room: Condition, queue: Queue) -> None:
    """Take ITEMS out, and wait for one before each."""
    for _ in range(ITEMS):
        with context.step("take"), room:
            room.wait_for((queue, "inside", ">", 0))
            queue.inside -= 1
            queue.taken += 1
            room.notify_all()


def hand_on() -> None:
    """Two of each, under a watchdog."""
    with Session(scenario="shared queue") as session:
        room = session.arena.condition("room", session.arena.mutex("queue"))
        queue = session.arena.record(Queue)
        roles = [RoleSpec(role.__name__, role, (room, queue), count=2) for role in (produce, consume)]
        session.run_roles(roles).raise_for_findings()
        sys.stdout.write(f"{queue.added} put, {queue.taken} taken, {queue.inside} left\n")


def die_inside() -> None:
    """A child is killed between two words that belong together; the parent repairs them."""
    with Arena.create("repair") as arena:
        lock, queue = arena.mutex("queue"), arena.record(Queue)
        child = os.fork()
        if not child:
            with lock:
                queue.added += 1
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)

        def rebuild(died: OwnerDied) -> None:
            sys.stdout.write(f"{died.lock_name} was held by a process that died: repaired\n")
            queue.inside = queue.added - queue.taken

        with lock.repaired_by(rebuild):
            sys.stdout.write(f"{queue.added} put, {queue.taken} taken, {queue.inside} left\n")


if __name__ == "__main__":
    hand_on()
    die_inside()
