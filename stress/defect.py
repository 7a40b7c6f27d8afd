"""Defect: a historical mistake, as one replaced step of vmcore or a declared group of steps.

vmcore never mentions defects; ``harness.locks.contract.bind`` puts the functions of a defect in
the place of the named steps.  The instrument does not know which defect is on, if any: runs with
and without one are otherwise the same.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.errors import BadInput

ALIASES = {"H6": "H6a"}


@dataclass(frozen=True)
class Defect:
    """One entry of the catalogue.

    ``origin`` is "documented" when a log of the time names the mistake (``quote`` says it in our
    words), "reconstructed" when the mechanism had to be inferred.  ``verdicts`` are those that
    count as finding it: a race may show its contract before its hang.
    """

    id: str
    name: str
    origin: Literal["documented", "reconstructed"]
    quote: str
    interleaving: tuple[str, ...]
    symptom: str
    verdicts: tuple[str, ...]
    scenario: str = "fork-storm"
    replacements: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of the replaced steps."""
        return tuple(self.replacements)


def all_defects() -> dict[str, Defect]:
    """The catalogue by id, in the order of the ids."""
    package = importlib.import_module("stress.defects")
    found: list[Defect] = []
    for module in pkgutil.iter_modules(package.__path__):
        value = getattr(importlib.import_module(f"stress.defects.{module.name}"), "defect", None)
        if isinstance(value, Defect):
            found.append(value)
    return {defect.id: defect for defect in sorted(found, key=lambda defect: defect.id)}


def find_defect(id: str) -> Defect:
    """The defect of this id; "H6" is its first face.  Errors: BadInput naming the nearest one."""
    known = all_defects()
    wanted = ALIASES.get(id, id)
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(id, known, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    raise BadInput(f"no defect is named {id!r}{guess}", "hangdog list defects")
