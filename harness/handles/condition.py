"""A channel with its lock: the interface of threading.Condition, between processes."""

from types import TracebackType
from typing import Any

from harness.errors import NotOwner
from harness.handles.channel import AnyLock, Channel, Predicate


class Condition:
    """As threading.Condition: a lock, and a channel to sleep at until what it guards has changed.

    ``with condition: condition.wait_for(...)``; the thread that makes it true calls ``notify_all()``.  Here
    the predicate is best given as (record, field, operator, value): then a lost wakeup can be proved.
    ``lock`` and ``channel`` are the two parts.  Made by Arena.condition().
    """

    def __init__(self, lock: AnyLock, channel: Channel) -> None:
        self.lock, self.channel = lock, channel

    def __reduce__(self) -> tuple[Any, ...]:
        """It travels to other processes with its parts."""
        return (Condition, (self.lock, self.channel))

    def __repr__(self) -> str:
        return f"<Condition {self.channel.name} with {self.lock.name}>"

    def __enter__(self) -> bool:
        return self.lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lock.__exit__(kind, value, trace)

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Take the lock: as Mutex.acquire(); ``timeout`` in seconds."""
        return self.lock.acquire(blocking, timeout)

    def release(self) -> None:
        """Give the lock back.  Error: NotOwner when this thread does not hold it."""
        self.lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, sleep until a wakeup, take it back.  False after ``timeout`` seconds.

        Error, as of all that follow: NotOwner when this thread does not hold the lock.
        """
        self._require_held("wait")
        return self.channel.wait(self.lock, timeout=timeout)

    def wait_for(self, predicate: Predicate, timeout: float | None = None) -> bool:
        """Release the lock, sleep until the predicate holds, take it back.  False at a timeout (seconds).

        ``predicate``: (record, field, operator, value), or a function.
        """
        self._require_held("wait_for")
        return self.channel.wait_for(self.lock, predicate, timeout)

    def notify(self, n: int = 1) -> None:
        """Wake up to ``n`` of the threads that wait.  Change what they wait for first, under the lock."""
        self._require_held("notify")
        self.channel.notify(n)

    def notify_all(self) -> None:
        """Wake every thread that waits.  Change what they wait for first, under the lock."""
        self._require_held("notify_all")
        self.channel.notify_all()

    def _require_held(self, verb: str) -> None:
        if not self.lock.held():
            raise NotOwner(f"{verb} on {self.channel.name}: this thread does not hold {self.lock.name}")
