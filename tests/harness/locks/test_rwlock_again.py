"""A read/write lock that one thread reads twice: at a time, or one time after the other."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import SelfDeadlock
from tests.harness.locks.test_rwlock import FREE, counts
from tests.waiting import LIMIT_S

READERS, TURNS = 6, 200


@pytest.fixture
def lock(arena):
    arena.native.sit("test")
    return arena.rwlock("map")


@pytest.fixture(params=["thread", "process"])
def mode(request):
    return request.param


def test_a_thread_that_reads_twice_is_a_reader_until_its_second_release(lock, mode, actors):
    lock.read()
    lock.read(pass_writers=True)

    def waits_for_some_slices(me):
        lock.home.native.sit("writer")
        me.say(lock.write(0.35))
        me.say(lock.write())
        lock.release()

    writer = actors.actor(waits_for_some_slices, mode)
    writer.expect("False")

    assert counts(lock)["readers"] == 1
    lock.release()
    assert (counts(lock)["readers"], lock.held()) == (1, "read")
    assert writer.says_nothing_for(0.05)
    lock.release()
    writer.expect("True")
    writer.end()
    assert counts(lock) == FREE


def test_a_double_reader_cannot_upgrade_as_it_would_wait_for_itself(lock):
    lock.read()
    lock.read(pass_writers=True)

    with pytest.raises(SelfDeadlock, match="its own other read"):
        lock.upgrade()

    assert (lock.held(), counts(lock)["upgrader"]) == ("read", 0)
    lock.release()
    assert lock.upgrade() is True
    lock.release()


def test_readers_that_pass_writers_do_not_keep_one_out_for_ever(lock, actors):
    """Some of them overlap without a gap, unless each gives a waiting writer its moment first.

    With that moment a turn is a matter of milliseconds, without it one of seconds: the limit of the wait
    lies far from both.
    """

    def reads_again_and_again(me):
        lock.read()
        me.say("reading")
        while not me.inbox.filled():
            lock.release()
            lock.read(pass_writers=True)
            time.sleep(0.002)  # as long as it reads
        lock.release()
        me.hear("enough")

    readers = [actors.actor(reads_again_and_again) for _ in range(READERS)]
    for reader in readers:
        reader.expect("reading")

    until = time.monotonic() + LIMIT_S
    for turn in range(TURNS):
        assert lock.write(max(0.0, until - time.monotonic())), f"only {turn} turns in {LIMIT_S:g} s"
        lock.release()

    for reader in readers:
        reader.tell("enough")
    for reader in readers:
        reader.end()


COUNTER = """
#include <sys/syscall.h>
#include <unistd.h>
unsigned yields;
int sched_yield(void) { yields++; return (int)syscall(SYS_sched_yield); }
"""
LET_IN = f"""
import ctypes, sys, threading, time
from harness import _native
from harness.shm import native
from harness.shm.arena import Arena

yields = ctypes.c_uint.in_dll(ctypes.CDLL(None), "yields")

def read(times):
    before = yields.value
    for _ in range(times):
        assert lock.read({LIMIT_S})
        lock.release()
    return yields.value - before

def body():
    seats.append(arena.native.sit("reader"))
    got.extend([read(1), read(1), read(1)])
    done.set()

def beside():
    seats.append(arena.native.sit("other reader"))
    lock.read({LIMIT_S})
    done.wait({LIMIT_S})
    lock.release()

def waits(seat):
    row = native.RwLock.from_buffer(arena.mapping, lock.offset)
    return row.cells[(seat - 1) // 32] >> (seat - 1) % 32 * 2 & 3 == _native.CONSTANTS["WANTS"]

with Arena.create("a") as arena:
    lock, seats, got, done = arena.rwlock("map"), [], [], threading.Event()
    bodies = [body, beside][: int(sys.argv[1])]
    print("never kept out:", read(3))
    lock.write()
    readers = [threading.Thread(target=body) for body in bodies]
    for reader in readers:
        reader.start()
    end = time.monotonic() + {LIMIT_S}
    while len(seats) < len(bodies) or not all(map(waits, seats)):
        assert time.monotonic() < end, "a reader does not wait"
        time.sleep(0.001)
    lock.release()
    for reader in readers:
        reader.join({LIMIT_S})
    print("kept out once:", got)
"""


@pytest.mark.parametrize(("readers", "yields"), [(1, [0, 0, 0]), (2, [0, 1, 0])])
def test_readers_that_were_kept_out_make_room_once_before_they_read_again(tmp_path: Path, readers, yields):
    """The processor that one gives up is counted by a library that is loaded before libc.

    One that is alone gives nothing up: it keeps no writer out for long.
    """
    source, library = tmp_path / "counter.c", tmp_path / "counter.so"
    source.write_text(COUNTER, encoding="utf-8")
    compiler = os.environ.get("CC", "gcc")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True, timeout=LIMIT_S)

    run = subprocess.run(
        [sys.executable, "-c", LET_IN, str(readers)],
        env={**os.environ, "LD_PRELOAD": str(library)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=3 * LIMIT_S,
        check=True,
    )

    assert run.stdout == f"never kept out: 0\nkept out once: {yields}\n"
