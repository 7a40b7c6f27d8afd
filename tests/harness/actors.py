"""Threads and processes that a test leads step by step, through pipes.

An actor runs ``body(me)``; ``me.say(word)`` and ``me.hear(word)`` are its half of the protocol,
``expect(word)`` and ``tell(word)`` the test's.  Guarantees: no wait lasts longer than LIMIT_S,
an exception in the body is the word that the test reads next, and at the end of ``stage()``
every process has been reaped (killed if it had to be).
"""

import os
import select
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.waiting import LIMIT_S, TooLate, join, reap, wait_until

__all__ = ["LIMIT_S", "Actor", "Me", "Pipe", "Stage", "TooLate", "fork", "stage", "wait_until"]

Body = Callable[["Me"], None]


class Pipe:
    """Whole lines, with a limit on how long one may take; ``filled()``: there is something to get."""

    def __init__(self) -> None:
        self.out, self.into = os.pipe()
        self.rest = b""

    def put(self, word: str) -> None:
        os.write(self.into, word.replace("\n", "\\n").encode() + b"\n")

    def get(self, limit: float = LIMIT_S) -> str:
        deadline = time.monotonic() + limit
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.out], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TooLate(f"no word within {limit} s")
            chunk = os.read(self.out, 4096)
            if not chunk:
                raise TooLate("the other side is gone")
            self.rest += chunk
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()

    def filled(self) -> bool:
        return bool(self.rest or select.select([self.out], [], [], 0)[0])

    def close(self) -> None:
        for fd in (self.out, self.into):
            with suppress(OSError):
                os.close(fd)


class Me:
    """The actor's own half."""

    def __init__(self, inbox: Pipe, outbox: Pipe) -> None:
        self.inbox, self.outbox = inbox, outbox

    def say(self, word: object) -> None:
        self.outbox.put(str(word))

    def hear(self, word: str) -> None:
        got = self.inbox.get()
        assert got == word, f"heard {got!r} instead of {word!r}"


class Actor:
    """The test's half: one thread or one forked process."""

    def __init__(self, mode: str, body: Body) -> None:
        self.mode, self.body = mode, body
        self.to_actor, self.from_actor = Pipe(), Pipe()
        self.pid = 0
        self.thread: threading.Thread | None = None
        if mode == "process":
            self.pid = fork(self._run)
        else:
            self.thread = threading.Thread(target=self._run, daemon=True)
            self.thread.start()

    def _run(self) -> None:
        try:
            self.body(Me(self.to_actor, self.from_actor))
        except BaseException as error:  # noqa: BLE001 - the test reads it
            where = traceback.extract_tb(error.__traceback__)[-1].lineno
            self.from_actor.put(f"{type(error).__name__}: {error} (line {where})")
        else:
            self.from_actor.put("end")

    def tell(self, word: str) -> None:
        self.to_actor.put(word)

    def expect(self, word: str) -> None:
        got = self.from_actor.get()
        assert got == word, f"the actor said {got!r} instead of {word!r}"

    def listen(self) -> str:
        return self.from_actor.get()

    def has_spoken(self) -> bool:
        """Is there a word that was not read yet?"""
        return self.from_actor.filled()

    def says_nothing_for(self, seconds: float) -> bool:
        try:
            self.from_actor.get(seconds)
        except TooLate:
            return True
        return False

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.reap()

    def interrupt(self) -> None:
        os.kill(self.pid, signal.SIGINT)

    def reap(self) -> None:
        if self.pid:
            reap(self.pid)
            self.pid = 0
        elif self.thread is not None:
            join(self.thread)

    def end(self) -> None:
        """Read its last word, which must be the ordinary one, and reap it."""
        self.expect("end")
        self.reap()

    def clean_up(self) -> None:
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            reap(self.pid)
            self.pid = 0
        if self.thread is not None:
            self.thread.join(0.5)
            if self.thread.is_alive():
                return  # it may still use the pipes; the daemon thread ends with the process
        self.to_actor.close()
        self.from_actor.close()


class Stage:
    """Makes actors, and ends them."""

    def __init__(self) -> None:
        self.actors: list[Actor] = []

    def actor(self, body: Body, mode: str = "process") -> Actor:
        actor = Actor(mode, body)
        self.actors.append(actor)
        return actor


@contextmanager
def stage() -> Iterator[Stage]:
    it = Stage()
    try:
        yield it
    finally:
        for actor in it.actors:
            actor.clean_up()


def fork(body: Callable[[], None]) -> int:
    """Run ``body`` in a child; the child never comes back from here."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Forking beside threads is the situation that several tests are about.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        body()
        status = 0
    finally:
        os._exit(status)
