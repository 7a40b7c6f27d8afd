"""Arenas that are not what they were: copies, left-overs, not sealed, or changed by others while in use."""

import fcntl
import os
import shutil

import pytest

from harness.errors import ArenaError, NotAnArena, OwnerDied
from harness.shm import Arena, native
from harness.watch.snapshot import Reader, take
from tests.harness.actors import fork
from tests.harness.shm.records import Plain
from tests.waiting import reap

LOCKS = {
    "acquire": lambda arena: arena.mutex("m").acquire(timeout=60),
    "try": lambda arena: arena.mutex("m").try_acquire(),
    "with": lambda arena: arena.mutex("m").__enter__(),
    "read": lambda arena: arena.rwlock("rw").read(timeout=60),
    "write": lambda arena: arena.rwlock("rw").write(timeout=60),
    "block": lambda arena: arena.channel("c").block(0, "wmesg", timeout=60),
    "sit": lambda arena: arena.native.sit("me"),
    "begin": lambda arena: arena.native.begin("op"),
    "table": lambda arena: arena.table("new", Plain, 3),
    "area": lambda arena: arena.reserve("new", 100),
}


@pytest.fixture
def left(tmp_path):
    """The file of an arena whose mutex was held by a process that is gone."""
    with Arena.create("left", size=40_000, seats=4, path=tmp_path / "arena") as arena:
        lock = arena.mutex("m")
        arena.rwlock("rw"), arena.channel("c")
        arena.native.leave()

        def holder():
            arena.native.sit("holder")
            lock.acquire()

        reap(fork(holder))
    return tmp_path / "arena"


@pytest.fixture
def copied(left):
    shutil.copy(left, left.with_name("copy"))
    return left.with_name("copy")


@pytest.fixture
def old(left):
    """The same file, as if another boot of the kernel had made it."""
    with left.open("r+b") as file:
        file.seek(native.Header.kernel_boot.offset)
        file.write(b"another!")
    return left


@pytest.mark.parametrize("call", LOCKS.values(), ids=LOCKS)
def test_no_lock_of_a_copy_can_be_used(call, copied):
    with Arena.attach(path=copied) as arena:
        assert arena.read_only

        with pytest.raises(
            ArenaError, match=r"arena file '.*copy' is a copy of another one: its locks"
        ) as told:
            call(arena)

        assert told.value.hint == f"hangdog dump {copied}"
        assert arena.native.seat() == 0


def test_no_lock_of_an_earlier_boot_can_be_used(old):
    with Arena.attach(path=old) as arena, pytest.raises(ArenaError, match="left over by an earlier boot"):
        arena.mutex("m").acquire(timeout=60)


@pytest.mark.parametrize("which", ["copied", "old"])
def test_it_can_be_read(which, request):
    with Arena.attach(path=request.getfixturevalue(which)) as arena:
        holder = arena.mutex("m").holder()
        assert holder is not None
        assert holder.role == "holder"
        assert [seat.role for seat in take(Reader(arena)).seats] == ["holder"]
        with pytest.raises(ArenaError, match="which is for reading, has no mutex 'other'"):
            arena.named_lock("mutex", "other", 0, 64, print)


def test_the_file_itself_can_be_used(left):
    with Arena.attach(path=left) as arena:
        assert not arena.read_only
        with pytest.raises(OwnerDied):
            arena.mutex("m").acquire()
        arena.mutex("m").recover()
        arena.mutex("m").release()


# --- memory that others can take away


SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


@pytest.mark.parametrize("seals", [0, SEALS & ~fcntl.F_SEAL_SHRINK, SEALS & ~fcntl.F_SEAL_SEAL, SEALS])
def test_a_memfd_that_could_be_cut_off_is_refused(seals, arena):
    fd = os.memfd_create("hangdog:foreign", os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, bytes(arena.mapping))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        if seals == SEALS:
            with Arena.attach(fd=fd) as other:
                assert other.read_only
            return
        with pytest.raises(NotAnArena, match="it is not sealed"):
            Arena.attach(fd=fd)
    finally:
        os.close(fd)


# --- another process writes what never changes


@pytest.mark.parametrize("value", [0, 1 << 31, 511])
@pytest.mark.parametrize(
    "field", ["seat_count", "size", "seats", "classes", "sites", "names", "reports", "edges", "instances"]
)
def test_a_header_that_is_overwritten_leads_no_process_outside(field, value, arena):
    """In a child: where it would be led outside, it would be killed by a signal."""
    lock, shared, bell = arena.mutex("m"), arena.rwlock("rw"), arena.channel("c")
    at = getattr(native.Header, field)

    def victim():
        arena.native.sit("victim")
        os.pwrite(arena.fd, value.to_bytes(at.size, "little"), at.offset)
        for _ in range(2):
            with lock, shared.reading():
                pass
            shared.write()
            shared.release()
            bell.wakeup_one()
            bell.wakeup()
            arena.native.report(1, "text")
            arena.mutex(f"another {field}").locked()
            assert shared.holders() == []
            assert [seat.role for seat in take(Reader(arena)).seats][-1] == "victim"
        arena.native.leave()

    assert reap(fork(victim)) == 0
