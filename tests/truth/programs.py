"""All programs; importing this module declares them."""

from tests.truth import (  # noqa: F401
    awaited,
    deadlocks,
    healthy,
    late,
    lost,
    order,
    orphans,
    silent,
    spinners,
    stalls,
    stopped,
    usual,
)  # fmt: skip
from tests.truth.program import PROGRAMS

__all__ = ["PROGRAMS"]
