"""Every way in which a holder can end, for every kind of hold: what the next one gets."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.errors import OwnerDied
from tests.harness.actors import LIMIT_S, wait_until
from tests.harness.locks import held

HOLDER = """
import os, signal, sys, threading
from harness.shm.arena import Arena
import harness.locks

arena = Arena.attach(fd=int(sys.argv[1]))
arena.native.sit("holder")
mutex, written, upgraded, shared = arena.mutex("m"), arena.rwlock("w"), arena.rwlock("u"), arena.rwlock("r")

def take():
    arena.native.sit("holder")
    mutex.acquire(), written.write(), upgraded.read(), upgraded.upgrade(), shared.read()

def go_on():
    print("ready", flush=True)
    assert sys.stdin.readline() == "go\\n"

"""
ENDS = {
    "sys.exit": "take(); go_on(); sys.exit(0)",
    "an exception": "take(); go_on(); raise RuntimeError",
    "the end of the program": "take(); go_on()",
    "the end of a function": "def f(): take(); go_on()\nf(); del arena, mutex, written, upgraded, shared",
    "os._exit": "take(); go_on(); os._exit(0)",
    "SIGKILL": "take(); go_on(); os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "take(); go_on(); os.kill(os.getpid(), signal.SIGTERM)",
    "close, then the end": "take(); arena.close(); del arena, mutex, written, upgraded, shared; go_on()",
    "exec": "take(); go_on(); os.execv('/bin/cat', ['cat'])",
    "the end of a thread": "t = threading.Thread(target=lambda: (take(), go_on())); t.start(); t.join()\n"
    "print('ended', flush=True); sys.stdin.read()",
    "exit beside a forked child": "take()\nif (pid := os.fork()) == 0: sys.exit(0)\n"
    "os.waitpid(pid, 0); go_on(); sys.exit(0)",
    "exit beside a daemon thread": "take(); go_on()\n"
    "threading.Thread(target=lambda: os.read(0, 1), daemon=True).start(); sys.exit(0)",
}


@contextmanager
def program(arena, end: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program of its own that holds a mutex and three kinds of hold of a read/write lock."""
    made = subprocess.Popen(
        [sys.executable, "-c", HOLDER + end, str(arena.fd)],
        pass_fds=[arena.fd],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert made.stdout is not None
        assert made.stdout.readline() == "ready\n"
        yield made
    finally:
        made.kill()
        made.communicate(timeout=LIMIT_S)


def tell(made, how: str) -> None:
    """Let it end, and wait until it has."""
    made.stdin.write("go\n")
    made.stdin.flush()
    if how == "exec":
        wait_until(lambda: Path(f"/proc/{made.pid}/cmdline").read_bytes().startswith(b"cat"), "the exec")
    elif how == "the end of a thread":
        assert made.stdout is not None
        assert made.stdout.readline() == "ended\n"
    else:
        made.wait(LIMIT_S)


@pytest.mark.parametrize("how", ENDS)
def test_a_holders_end_is_told_once_and_a_readers_end_not_at_all(how, arena):
    arena.native.sit("test")
    told = {"m": arena.mutex("m"), "w": arena.rwlock("w"), "u": arena.rwlock("u")}
    shared = arena.rwlock("r")
    with program(arena, ENDS[how]) as made:
        assert not any(lock.try_acquire() for lock in [*told.values(), shared])
        assert {row.name for row in held.all_held(arena)} == {"m[0]", "w[0]", "u[0]", "r[0]"}

        tell(made, how)

        for lock in told.values():
            with pytest.raises(OwnerDied) as death:
                lock.acquire(timeout=LIMIT_S)
            assert (death.value.lock, death.value.holder.role) == (lock, "holder")
            assert death.value.holder.pid == made.pid
            lock.recover()
            lock.release()
            assert lock.acquire(timeout=0)
            lock.release()
        assert shared.write(LIMIT_S)
        shared.release()

    assert held.all_held(arena) == []


def test_close_while_a_lock_is_held_gives_nothing_up(arena):
    with program(arena, ENDS["close, then the end"]):
        assert arena.mutex("m").try_acquire() is False
        assert arena.rwlock("r").try_write() is False
        assert arena.mutex("m").holder().alive


def test_the_end_of_a_forked_child_is_no_end_of_its_parents_holds(arena):
    with program(arena, ENDS["exit beside a forked child"]) as made:
        locks = arena.mutex("m"), arena.rwlock("w"), arena.rwlock("u"), arena.rwlock("r")

        assert [lock.try_acquire() for lock in locks] == [False] * 4

        assert {lock.holder().pid for lock in locks} == {made.pid}
        assert made.pid != os.getpid()
