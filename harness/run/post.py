"""One worker of a plan: its number and role, and what its process needs to start."""

from dataclasses import dataclass
from typing import Any

from harness.run.plan import RoleSpec, RunPlan


@dataclass(frozen=True)
class Post:
    """``number`` counts all workers of the run from 0, ``index`` those of the role."""

    number: int
    index: int
    spec: RoleSpec

    @property
    def name(self) -> str:
        """The worker's name, role#index."""
        return f"{self.spec.name}#{self.index}"


def posts_of(plan: RunPlan) -> list[Post]:
    """All workers of a run, in the order of the roles."""
    rows = [(index, spec) for spec in plan.roles for index in range(spec.count)]
    return [Post(number, index, spec) for number, (index, spec) in enumerate(rows)]


@dataclass(frozen=True)
class Launch:
    """What a forked worker process needs: its posts with their pipes, and what it must close."""

    parent: int
    plan: RunPlan
    posts: tuple[tuple[Post, Any], ...]  # with the worker's connection
    foreign: tuple[int, ...]  # descriptors of others that came with the fork
