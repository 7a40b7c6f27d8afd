"""What a lock needs to know of the arena that it lies in: this package lies below harness.shm."""

from typing import Protocol

from harness import _native


class Home(Protocol):
    """The Arena of harness.shm."""

    native: _native.Arena

    @property
    def name(self) -> str:
        """The arena's name."""
