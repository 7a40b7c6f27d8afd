"""What happens to a page's identity and contents, in the flight recorder's words.

An event's argument is one word, so it packs which page (frame), of which object, at which
page of it.  Slots are recycled: an argument names the records as they were at that moment.
"""

from __future__ import annotations

from typing import NamedTuple

from vmcore.structs import VmPage
from vmcore.vm import Vm

ENTERS = "page enters object"
LEAVES = "page leaves object"
ZEROED = "page is zeroed"
COPIED = "page is copied"  # the object's place holds the source's frame
OUT = "page-out begins"
OUT_DONE = "page-out is done"
OUT_FAILED = "page-out failed"
IN = "page-in begins"
IN_FAILED = "page-in failed"
FORGOTTEN = "pager forgets"  # the page's place holds how many
ALL = (ENTERS, LEAVES, ZEROED, COPIED, OUT, OUT_DONE, OUT_FAILED, IN, IN_FAILED, FORGOTTEN)
SLOTS, OBJECTS = 24, 20  # bits; the rest is the page number
NUMBER_AT = SLOTS + OBJECTS


class Place(NamedTuple):
    """A packed argument, read back."""

    page: int
    object: int
    number: int


def pack(page: int, object: int, number: int) -> int:
    """One word."""
    return page | object << SLOTS | number << NUMBER_AT


def unpack(word: int) -> Place:
    """What ``pack`` was given; a number beyond 20 bits has lost its upper ones."""
    return Place(word & (1 << SLOTS) - 1, word >> SLOTS & (1 << OBJECTS) - 1, word >> NUMBER_AT)


def event_text(what: str, word: int) -> str:
    """The argument of such an event, as dumps name pages."""
    page, owner, number = unpack(word)
    if what == COPIED:
        return f"P{owner} to P{page}"
    if what == FORGOTTEN:
        return f"{page} of O{owner} from +{number}"
    return f"P{page} O{owner}+{number}"


def passes(vm: Vm, what: str, page: VmPage) -> None:
    """Note that this happens to the page, where it is now."""
    vm.point(what, pack(page.slot, page.object & 0xFFFFFFFF, page.offset >> vm.page_shift))
