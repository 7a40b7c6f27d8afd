"""Programs as a strategy of Hypothesis, and the search for one that fails.

Hypothesis draws and shrinks.  It shrinks best by putting the simplest value in a value's place, so the
simplest operation is none at all: what it makes simple is gone from the program.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random

from hypothesis import Phase, Verbosity, find, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.errors import NoSuchExample

from stress.fuzz.programs import KINDS, LIMITS, MOST_OPERATIONS, MOST_ROLES, Operation, Program

LEAST_OPERATIONS = 4  # of a role as it is drawn
EXAMPLES = 1_000_000  # the caller ends the search
NONE: Operation = ()


def operations() -> st.SearchStrategy[Operation]:
    """One operation; the simplest is NONE."""
    kinds = [kind for kind, (_, weight) in KINDS.items() for _ in range(weight)]
    return st.sampled_from(["", *kinds]).flatmap(operation_of)


def operation_of(kind: str) -> st.SearchStrategy[Operation]:
    """One operation of this kind."""
    if not kind:
        return st.just(NONE)
    arguments = (st.integers(0, LIMITS[name] - 1) for name in KINDS[kind][0])
    return st.tuples(st.just(kind), *arguments)


def programs(seed: int = 1, most_roles: int = MOST_ROLES) -> st.SearchStrategy[Program]:
    """Programs of two roles and more (one, where there can be no more) with the noise of this seed."""
    role = st.lists(operations(), min_size=LEAST_OPERATIONS, max_size=MOST_OPERATIONS)
    roles = st.lists(role, min_size=min(2, most_roles), max_size=most_roles)
    return roles.map(lambda drawn: Program(without_nothing(drawn), seed=seed))


def without_nothing(roles: Iterable[Iterable[Operation]]) -> tuple[tuple[Operation, ...], ...]:
    """What is left without NONE, and without roles that do nothing."""
    left = (tuple(operation for operation in role if operation) for role in roles)
    return tuple(role for role in left if role)


class Raised(BaseException):
    """An error of the search itself.  No ``Exception``: Hypothesis would shrink towards it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def search(drawn: st.SearchStrategy[Program], fails: Callable[[Program], bool], seed: int) -> None:
    """Draw programs until ``fails`` says yes, then ever simpler ones until none of those fails.

    Without end when none fails: ``fails`` raises to end it.  It must say the same of one program each time.
    Writes nothing, keeps no database.
    """

    def asked(program: Program) -> bool:
        try:
            return fails(program)
        except Exception as error:
            raise Raised(error) from error

    quiet = settings(
        database=None,
        deadline=None,
        derandomize=False,
        max_examples=EXAMPLES,
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
    )
    try:
        with no_files():
            find(drawn, asked, settings=quiet, random=Random(seed))
    except NoSuchExample:
        pass
    except Raised as raised:
        raise raised.error from None


@contextmanager
def no_files() -> Iterator[None]:
    """What Hypothesis would keep in ``.hypothesis`` of the current folder is forgotten with the search."""
    with tempfile.TemporaryDirectory(prefix="hangdog-fuzz-") as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)
