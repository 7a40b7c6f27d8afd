"""A mutex that checks what it guards just before each release: the moment at which that must be consistent.

``observe(lock, look)`` makes a lock object on the same record whose ``release`` calls ``look()`` first.
An exception from it leaves the lock held, so that a dump shows the state that was found.  Only releases
through this object are seen: one inside ``channel.sleep`` is not.
"""

from collections.abc import Callable
from typing import Any

from harness.handles.mutex import Mutex


class ObservedMutex(Mutex):
    """Made by ``observe``."""

    look: Callable[[], None]

    def release(self) -> None:
        """Look, then release."""
        self.look()
        super().release()

    def __exit__(self, *failure: Any) -> Any:  # noqa: PYI036 - passed on as they come
        if failure[0] is None:
            self.look()
        return super().__exit__(*failure)


def observe(lock: Mutex, look: Callable[[], None]) -> ObservedMutex:
    """The same mutex, observed by this process."""
    seen = ObservedMutex(lock.home.native, lock.offset)
    seen.home, seen.look = lock.home, look
    return seen
