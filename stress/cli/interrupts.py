"""Ctrl-C and SIGTERM during a command of many runs."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """SIGINT and SIGTERM raise KeyboardInterrupt, whatever a run makes of them.

    A run that has found something is ending already, and forgets an interrupt; here hours would follow.
    What is yielded raises it once more: out of a handler inside a destructor it is lost.
    """
    heard: list[int] = []

    def interrupt(number: int, _frame: Any) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    def heed() -> None:
        if heard:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
