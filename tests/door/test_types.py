"""What a type checker sees of the front door: mypy reads this file, and at run time it must hold, too."""

from typing import assert_type

import hangdog
from hangdog import Arena, Channel, Condition, Mutex, Record, RunResult, RwLock, Session, Side


class Queue:
    """A record."""

    space: int


def test_what_an_arena_gives_has_its_type(arena: Arena) -> None:
    assert isinstance(assert_type(arena.mutex("m"), Mutex), Mutex)
    assert isinstance(assert_type(arena.rwlock("rw"), RwLock), RwLock)
    assert isinstance(assert_type(arena.rwlock("rw").read, Side), Side)
    assert isinstance(assert_type(arena.channel("c"), Channel), Channel)
    assert isinstance(assert_type(arena.condition("c", arena.mutex("m")), Condition), Condition)
    assert isinstance(assert_type(arena.record(Queue), Queue), Queue)
    assert isinstance(assert_type(arena.record({"space": int}), Record), Record)


def test_a_lock_and_what_it_says_have_their_types(arena: Arena) -> None:
    lock = arena.mutex("m")

    with lock as got:
        assert_type(got, bool)
        holder = assert_type(lock.holder(), hangdog.Holder | None)
        assert holder is not None
        assert assert_type(holder.pid, int) > 0
    assert assert_type(lock.acquire(blocking=False, timeout=-1), bool)
    lock.release()
    with lock.repaired_by(lambda died: assert_type(died, hangdog.OwnerDied)) as repaired:
        assert assert_type(repaired, bool) is False


def test_a_session_and_its_result_have_their_types() -> None:
    def work(context: hangdog.WorkerContext) -> None:
        context.send(assert_type(context.index, int))

    with Session(workers=1) as session:
        arena = assert_type(session.arena, Arena)
        result = assert_type(session.run(work), RunResult)

    assert assert_type(result.raise_for_findings(), RunResult) is result
    assert assert_type(result.findings, tuple[hangdog.Finding, ...]) == ()
    assert arena.name
