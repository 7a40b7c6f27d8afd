"""What was found wrong, as data: which mistake, which rules are broken, which records it is about.

A report in the arena has a text for people and this for programs; nothing reads the text.
"""

from collections.abc import Iterable
from typing import Self

import msgspec

from harness import _native
from harness.errors import DoubleFree, HarnessError, StaleReference, UnguardedAccess
from harness.shm import native
from harness.shm.table import Home

MISTAKES = {v: name[8:].lower() for name, v in _native.CONSTANTS.items() if name.startswith("MISTAKE_")}
_CODES = {name: code for code, name in MISTAKES.items()}
_Packed = tuple[tuple[str, ...], tuple[tuple[str, int, int], ...]]
_ROOM = native.Report.details.size


class Subject(msgspec.Struct, frozen=True):
    """A record that a fact is about; ``at``: the address inside of it, where it is a space."""

    table: str
    slot: int
    at: int = 0


class Details(msgspec.Struct, frozen=True):
    """What is known beside a text.  All of it may be empty.

    ``mistake``: a name of MISTAKES; ``step``: the function or operation that made it.
    ``rules``: those that are broken, by the names that the system under test gives them.
    """

    mistake: str = ""
    step: str = ""
    rules: tuple[str, ...] = ()
    about: tuple[Subject, ...] = ()


NO_DETAILS = Details()


class Fact(str):
    """One thing that is wrong: a sentence, and what it was made of."""

    __slots__ = ("about", "rule")
    rule: str
    about: tuple[Subject, ...]

    def __new__(cls, rule: str, text: str, about: Iterable[Subject] = ()) -> Self:
        """``rule`` may be empty: then the sentence is the text alone."""
        made = super().__new__(cls, f"{rule}: {text}" if rule else text)
        made.rule, made.about = rule, tuple(about)
        return made


def details_of(facts: Iterable[str]) -> Details:
    """What some facts are about, each rule and record once; a plain sentence is about nothing."""
    known = [fact for fact in facts if isinstance(fact, Fact)]
    return Details(
        rules=tuple(dict.fromkeys(fact.rule for fact in known if fact.rule)),
        about=tuple(dict.fromkeys(subject for fact in known for subject in fact.about)),
    )


def said_by(error: BaseException) -> Details:
    """What an error is about: its ``mistake``, its ``facts``, and the record that it names."""
    found = details_of(error.facts if isinstance(error, HarnessError) else ())
    if isinstance(error, StaleReference | DoubleFree | UnguardedAccess):
        found = Details(about=(Subject(error.table, error.slot),))
    return msgspec.structs.replace(found, mistake=getattr(error, "mistake", ""))


def report(arena: Home, kind: int, text: str, details: Details, here: bool = True) -> None:
    """Tell the watcher, and return when it has seen it.  Of more subjects than fit the first are kept.

    ``here``: the calling line is where it is wrong; not so of an exception that is caught there.
    """
    rules, about = details.rules[:16], [msgspec.structs.astuple(one) for one in details.about]
    while len(packed := msgspec.msgpack.encode((rules, about))) > _ROOM:
        about.pop()
    arena.native.report(kind, text, 0, 0, _CODES.get(details.mistake, 0), packed, here)


def unpacked(mistake: int, step: str, packed: bytes) -> Details:
    """The details of a row in the table of reports; what cannot be read is nothing."""
    try:
        rules, about = msgspec.msgpack.decode(packed, type=_Packed) if packed else ((), ())
    except msgspec.DecodeError:
        rules, about = (), ()
    return Details(
        mistake=MISTAKES.get(mistake, ""), step=step, rules=rules, about=tuple(Subject(*one) for one in about)
    )
