"""The declaration of a program: what is true of it, and what may be said of it.

``truth`` is the verdict that must come, or None for a healthy program, of which nothing may come but
the ``notices`` that are declared.  Why a notice of a healthy program is no false word is said in the
program's docstring.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

VERDICTS = {
    "deadlock", "self_deadlock", "orphaned_lock", "lost_wakeup", "frozen", "stall", "livelock",
    "order_violation", "contract_violation", "hung",
}  # fmt: skip


@dataclass(frozen=True)
class Program:
    """One program of known truth."""

    name: str
    body: Callable[[Any], None]
    truth: str | None
    also: frozenset[str] = frozenset()  # true as well: may come as findings or notices
    notices: frozenset[str] = frozenset()  # may come, but never as findings
    names: tuple[str, ...] = ()  # words that the sentence must contain
    count: int = 1  # findings of the truth, or of one kind where that is no verdict, at most
    notice_only: bool = False  # the truth comes as a notice and never as a finding
    at_end: bool = False  # the truth is told when the run ends
    quick: bool = False  # in the sample that runs with every test run
    limits: Mapping[str, float] = field(default_factory=dict)


PROGRAMS: dict[str, Program] = {}


def program(
    truth: str | None,
    *,
    also: tuple[str, ...] = (),
    notices: tuple[str, ...] = (),
    names: tuple[str, ...] = (),
    count: int = 1,
    notice_only: bool = False,
    at_end: bool = False,
    quick: bool = False,
    **limits: float,
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Declare a program; ``limits`` are those of the watchdog, in seconds (``stall_s=2``)."""
    unknown = {truth, *also, *notices} - VERDICTS - {None}
    if unknown:
        raise ValueError(f"no such verdict: {unknown}")

    def declare(body: Callable[[Any], None]) -> Callable[[Any], None]:
        name = body.__name__
        if name in PROGRAMS:
            raise ValueError(f"two programs are called {name}")
        PROGRAMS[name] = Program(
            name, body, truth, frozenset(also), frozenset(notices), names, count, notice_only, at_end,
            quick, limits,
        )  # fmt: skip
        return body

    return declare


def judge(it: Program, findings: list[dict[str, Any]], notices: list[dict[str, Any]]) -> tuple[str, str]:
    """("right" or "wrong" or "missed", why), from what was said of the program."""
    true = {it.truth} if it.truth else set()
    for said in findings:
        if said["verdict"] not in (true | it.also):
            return "wrong", f"said {said['verdict']}: {said['summary']}"
        if it.notice_only and said["verdict"] == it.truth:
            return "wrong", f"ended for a notice, {it.truth}: {said['summary']}"
    for said in notices:
        if said["verdict"] not in (true | it.also | it.notices):
            return "wrong", f"noticed {said['verdict']}: {said['summary']}"
    if it.truth is None:
        kinds = [said["verdict"] for said in findings]
        again = sorted(kind for kind in set(kinds) if kinds.count(kind) > it.count)
        said_all = " | ".join(said["summary"] for said in findings)
        return ("wrong", f"told {again} again: {said_all}") if again else ("right", "")
    told = [said for said in (notices if it.notice_only else findings) if said["verdict"] == it.truth]
    if not told:
        return "missed", f"no {it.truth}; said {sorted({said['verdict'] for said in findings + notices})}"
    if len(told) > it.count:
        return "wrong", f"told {len(told)} times: {' | '.join(said['summary'] for said in told)}"
    silent = [word for word in it.names if not any(word in said["summary"] for said in told)]
    if silent:
        return "wrong", f"does not name {silent}: {told[0]['summary']}"
    return "right", ""
