"""What is told of the VM: that an operation cannot be done, and that an invariant is broken."""

from collections.abc import Iterable
from typing import Any

from harness.errors import HarnessError, Panic
from harness.shm.facts import Fact, Subject
from vmcore import constants
from vmcore.structs import VmPage

MEANINGS = {
    value: name.removeprefix("KERN_").replace("_", " ").lower()
    for name, value in vars(constants).items()
    if name.startswith("KERN_")
}


def kern_text(code: int) -> str:
    """A KERN_* value for people: ``KERN code 6 (resource shortage)``."""
    return f"KERN code {code} ({MEANINGS.get(code, 'unknown')})"


class VmError(HarnessError):
    """A VM operation was refused; ``code`` is the historic KERN_* value."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(f"{what}: {kern_text(code)}")
        self.what, self.code = what, code
        self.exhausted = code == constants.KERN_RESOURCE_SHORTAGE


class VmFault(VmError):
    """An access that no fault handling could satisfy: the SIGSEGV or SIGBUS of this VM."""

    def __init__(self, va: int, write: bool, code: int) -> None:
        super().__init__(f"{'write' if write else 'read'} of address {va:#x} failed", code)
        self.va, self.write = va, write


class Left(Fact):
    """Something is still there although its last user has gone."""


class Facts(list[Fact]):
    """What an audit finds."""

    def add(self, rule: str, text: str, *about: Any) -> None:
        """One more; see ``broken``."""
        self.append(broken(rule, text, *about))


def an_object(slot: int) -> Subject:
    """The object in this slot."""
    return Subject("vm_objects", int(slot))


def a_page(slot: int) -> Subject:
    """The page in this slot."""
    return Subject("vm_pages", int(slot))


def subjects(records: Iterable[Any]) -> list[Subject]:
    """Records of objects and pages as subjects; a subject as it is."""
    return [
        one if isinstance(one, Subject) else (a_page if isinstance(one, VmPage) else an_object)(one.slot)
        for one in records
    ]


def broken(rule: str, text: str, *about: Any) -> Fact:
    """``rule``: its letter and number in docs/reference, section 6; ``about``: records or subjects."""
    return Fact(rule, text, subjects(about))


def panic(text: str, *about: Any) -> Panic:
    """The error for a state that cannot be; ``about`` as for ``broken``."""
    error = Panic(text)
    error.facts = [broken("", text, *about)]
    return error


def left(rule: str, text: str, *about: Any) -> Left:
    """As ``broken``, of what was left behind."""
    return Left(rule, text, subjects(about))
