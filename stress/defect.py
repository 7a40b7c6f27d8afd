"""Defect: a historical mistake, as one replaced step of vmcore or a declared group of steps.

vmcore never mentions defects; ``harness.locks.contract.bind`` puts the functions of a defect in
the place of the named steps.  The instrument does not know which defect is on, if any: runs with
and without one are otherwise the same.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Literal

from harness.errors import BadInput
from stress.script.script import Script

ALIASES = {"H6": "H6a"}
SEED_NAMED = 13
LOOKS = ("checks",)
_ID = re.compile(r"^([A-Z]+)(\d+)([a-z]*)$")


@dataclass(frozen=True)
class Defect:
    """One entry of the catalogue.

    ``origin`` is "documented" when a log of the time names the mistake (``quote`` says it in our
    words), "reconstructed" when the mechanism had to be inferred.  ``verdicts`` are those that
    count as finding it: a race may show its contract before its hang.

    ``scenario`` with ``options`` (of RunOptions: workers, disk_ms, checked...) is the run that shows it
    soonest.  ``script`` plays the interleaving with real workers; ``notes`` is what a reader of the
    catalogue must know beside all that.
    """

    id: str
    name: str
    origin: Literal["documented", "reconstructed"]
    quote: str
    interleaving: tuple[str, ...]
    symptom: str
    verdicts: tuple[str, ...]
    scenario: str = "fork-storm"
    options: Mapping[str, Any] = field(default_factory=dict)
    replacements: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    script: Script | None = None
    notes: str = ""

    @property
    def command(self) -> str:
        """What to type to see it by chance."""
        words = f"hangdog run --scenario {self.scenario} --defect {self.id}"
        for name, value in self.options.items():
            option = name.replace("_", "-")
            if isinstance(value, bool):
                words += f" --{option}" if value else f" --no-{option}"
            else:
                words += f" --{option} {value}"
        return words

    @property
    def seed_named(self) -> bool:
        """Whether the log that began the catalogue tells of it: H1 to H13, every form."""
        kind, number, _ = in_order(self.id)
        return kind == "H" and number <= SEED_NAMED

    @property
    def looks(self) -> dict[str, Any]:
        """Of its options those that its script needs as well: what is looked at, not how chance is helped."""
        return {name: value for name, value in self.options.items() if name in LOOKS}

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
    return {defect.id: defect for defect in sorted(found, key=lambda defect: in_order(defect.id))}


def in_order(id: str) -> tuple[str, int, str]:
    """What ids are sorted by: H2 before H10, H6a before H6b."""
    match = _ID.match(id)
    return (match[1], int(match[2]), match[3]) if match else (id, 0, "")


def find_defect(id: str) -> Defect:
    """The defect of this id, or of this file; "H6" is its first form, "H2+H6a" are two at once.

    Errors: BadInput naming the nearest one, or the step that two replace.
    """
    if "+" in id and not Path(id).is_file():
        return together([find_defect(part) for part in id.split("+")])
    if id.endswith(".py"):
        return load_defect(id)
    known = all_defects()
    wanted = ALIASES.get(id, id)
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(id, known, n=1)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    raise BadInput(f"no defect is named {id!r}{guess}", "hangdog list defects")


def load_defect(path: str) -> Defect:
    """The ``defect`` of a file, with the path as its id.  Errors: BadInput.

    The file is a module of its own, so that its functions can be sent to a worker by name.
    """
    name = f"defect_file_{re.sub(r'[^0-9A-Za-z]', '_', path)}"
    found = getattr(sys.modules.get(name), "defect", None)
    if found is None:
        spec = spec_from_file_location(name, Path(path).absolute())
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # whatever the file does is the file's mistake
            del sys.modules[name]
            raise BadInput(
                f"{path}: no defect can be read from it: {type(error).__name__}: {error}", "hangdog defects"
            ) from error
        found = getattr(module, "defect", None)
    if not isinstance(found, Defect):
        raise BadInput(f"{path}: it has no 'defect = Defect(...)'", "hangdog defects")
    return replace(found, id=path)


def together(defects: Sequence[Defect]) -> Defect:
    """Several at once, where the first of them shows best; the right verdicts are those of any.

    Options of another scenario's are left out.  BadInput when two replace one step.
    """
    replacements: dict[str, Callable[..., Any]] = {}
    for defect in defects:
        if both := set(defect.steps) & set(replacements):
            raise BadInput(
                f"{' and '.join(one.id for one in defects)} replace the same step, {min(both)}",
                f"hangdog run --defect {defects[0].id}",
            )
        replacements |= defect.replacements
    return Defect(
        id="+".join(defect.id for defect in defects),
        name=" and ".join(defect.name for defect in defects),
        origin="reconstructed",
        quote="; ".join(defect.quote for defect in defects),
        interleaving=tuple(step for defect in defects for step in defect.interleaving),
        symptom="; ".join(defect.symptom for defect in defects),
        verdicts=tuple(dict.fromkeys(verdict for defect in defects for verdict in defect.verdicts)),
        scenario=defects[0].scenario,
        options={
            name: value
            for defect in defects
            if defect.scenario == defects[0].scenario
            for name, value in defect.options.items()
        },
        replacements=replacements,
    )
