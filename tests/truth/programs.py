"""All programs; importing this module declares them."""

from tests.truth import deadlocks, healthy, late, lost, order, orphans, stalls, stopped  # noqa: F401
from tests.truth.program import PROGRAMS

__all__ = ["PROGRAMS"]
