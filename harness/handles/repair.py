"""``with lock.repaired_by(rebuild):`` a block under a lock whose holder may have died inside."""

from collections.abc import Callable
from types import TracebackType

from harness import _native
from harness.errors import OwnerDied


class Repaired:
    """Holds a lock for the length of a block; ``repair(died)`` comes first when its holder died inside.

    Not a generator: the frame of contextlib would then be the place where the lock was taken.
    """

    def __init__(self, lock: _native.Mutex | _native.RwLock, repair: Callable[[OwnerDied], object]) -> None:
        if not callable(repair):
            raise TypeError(f"repair={repair!r}: it must be a function of one argument, the OwnerDied")
        self.lock, self.repair = lock, repair

    def __enter__(self) -> bool:
        """Take the lock; True when it had to be repaired."""
        try:
            self.lock.acquire()
        except OwnerDied as died:
            try:
                self.repair(died)
                self.lock.recover()
            except BaseException:
                # Half repaired is not repaired: the next thread must not find a lock that seems whole.
                self.lock.release()
                raise
            return True
        return False

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lock.__exit__(kind, value, trace)
