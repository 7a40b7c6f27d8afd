"""Which defects are meant, and which of them can be run as asked: the policy of ``hangdog defects``.

Guarantees: each defect once, in the order in which they were named, else in that of the catalogue.  What
cannot be run is refused before the first run.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from harness.run.plan import STOP_ON
from stress.defect import Defect, all_defects
from stress.detect.detect import pairs_of
from stress.scenario.scenario import all_scenarios


class NothingToRun(Exception):
    """No run can be made of what was asked for; ``without``: it could be without this option of it.

    ``without`` is "scripts", "pairs", "filters", or empty: leaving something out does not help.
    """

    def __init__(self, why: str, without: str = "") -> None:
        super().__init__(why)
        self.without = without


def known_names() -> dict[str, list[str]]:
    """What the filters by name can ask for, sorted."""
    return {"verdict": sorted({*STOP_ON, "order_violation"}), "scenario": sorted(all_scenarios())}


def chosen(
    named: Sequence[Defect], origin: str | None, verdict: str | None, scenario: str | None
) -> list[Defect]:
    """Those of the named ones that pass every filter; of the whole catalogue when none is named."""
    found = {one.id: one for one in named} or all_defects()
    return [
        one
        for one in found.values()
        if origin in (None, one.origin)
        and (verdict is None or verdict in one.verdicts)
        and scenario in (None, one.scenario)
    ]


def to_run(found: list[Defect], scripts: bool, pairs: bool, named: bool, asked: str) -> list[Defect]:
    """What is to be run of those found: themselves, or every two of them.  NothingToRun.

    ``named``: ids were given; else pairs are those of H1-H13.  ``asked``: ids and filters as typed.
    """
    if scripts and pairs:
        raise NothingToRun("a script is that of one defect: --pairs needs chance", "scripts")
    if not found:
        raise NothingToRun(f"there is no defect left to run: none fits {asked}", "filters")
    if scripts and (without := [one.id for one in found if one.script is None]):
        have = "has" if len(without) == 1 else "have"
        raise NothingToRun(f"{', '.join(without)} {have} no script: only chance shows it", "scripts")
    return every_two(found, named, asked) if pairs else found


def every_two(found: list[Defect], named: bool, asked: str) -> list[Defect]:
    """Every two that can be on at once.  NothingToRun."""
    names = ", ".join(one.id for one in found)
    if not named:
        found = [one for one in found if one.seed_named]
    if pairs := pairs_of(found):
        return pairs
    if len(found) < 2:
        why = f"{names} alone is none" if named else f"of H1-H13 {len(found)} fit {asked}"
        raise NothingToRun(f"a pair needs two defects: {why}")
    why = "; ".join(
        f"{one.id} and {two.id} replace the same step, {min(set(one.steps) & set(two.steps))}"
        for one, two in combinations(found, 2)
    )
    raise NothingToRun(f"no two of {names} can be on at once: {why}", "pairs")
