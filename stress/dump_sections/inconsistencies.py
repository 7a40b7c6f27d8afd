"""What cannot be, in the picture that a dump shows: records that contradict each other or themselves.

The cheap instant invariants, looked at without a lock, twice: what others are changing at that moment
looks different the second time and is left out.  What is left may still be half of a change that a thread
was stopped in; then that thread holds the record's lock, and the line names it.  Nothing is
found by this: it is made for a dump, after the verdict.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from harness.errors import HarnessError
from harness.shm.checked import unguarded
from vmcore.checked.objects import object_facts, resident_facts
from vmcore.checked.records import SLOT, Records
from vmcore.checked.store import name_facts, pager_facts
from vmcore.constants import OBJ_DYING, OBJ_INTERNAL, PG_SWAP
from vmcore.vm import Vm
from vmcore.vm_error import broken

APART_S = 0.004  # between the two looks
LOOK_S = 0.1  # a look at very many records ends here
MOST = 12  # lines


@unguarded()
def contradictions(vm: Vm) -> list[str]:
    """Lines; empty when nothing contradicts anything."""
    records = Records(vm)
    first = dict(facts(vm, records))
    if not first:
        return []
    time.sleep(APART_S)
    second = {fact for fact, _ in facts(vm, records)}
    lasting = [f"{fact}{owner(lock)}" for fact, lock in first.items() if fact in second]
    more = [f"and {len(lasting) - MOST} more"] if len(lasting) > MOST else []
    return [*lasting[:MOST], *more]


def facts(vm: Vm, records: Records) -> Iterator[tuple[str, Any]]:
    """(violation, the lock of the record that it is about)."""
    end = time.monotonic() + LOOK_S
    for pager in vm.pagers.live():
        plain = records.pagers[pager.slot]
        yield from attempt(plain.lock, owner_facts(records, plain))
        if plain.pg_type == PG_SWAP:
            yield from attempt(plain.lock, pager_facts(records, plain))
    for one in vm.objects.live():
        if time.monotonic() > end:
            return
        plain = records.objects[one.slot]
        for found in (object_facts, dying_copy, name_facts, resident_facts):
            yield from attempt(plain.lock, found(records, plain))


def attempt(lock: Any, found: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """What a look comes to; a link that leads nowhere while we look ends it."""
    try:
        for fact in found:
            yield fact, lock
    except (HarnessError, LookupError):
        return


def owner_facts(records: Records, pager: Any) -> Iterator[str]:
    """A9, A11 of a pager: it is installed where it says, and holds no more than it can."""
    name, owner = f"pager {pager.slot}", records.objects[pager.pg_object & SLOT]
    if pager.pg_type != PG_SWAP or not pager.pg_object:
        return
    size = pager.sw_osize // records.vm.page_size
    held = f"{name} (valid {pager.sw_cnt} of {size})"
    if not records.object_lives(owner.slot) or owner.generation != pager.pg_object >> 32:
        yield broken("A9", f"{held} belongs to object {owner.slot}, which is gone", owner)
    elif owner.pager & SLOT != pager.slot:
        yield broken(
            "A9", f"{held} belongs to object {owner.slot}, whose pager is {owner.pager & SLOT}", owner
        )
    if pager.sw_cnt > size:
        yield broken("A11", f"{name} counts {pager.sw_cnt} valid pages of {size}")
    if pager.is_named and owner.flags & OBJ_INTERNAL:
        yield broken(
            "A9",
            f"object {owner.slot} has a name ({name}), and is INTERNAL as if no file could name it",
            owner,
        )


def dying_copy(records: Records, object: Any) -> Iterator[str]:
    """A7: no link tells a copy to push pages into a copy-object that is on its way out."""
    copy = records.objects[object.copy & SLOT]
    if object.copy and copy.generation == object.copy >> 32 and copy.flags & OBJ_DYING:
        yield broken(
            "A7",
            f"object {copy.slot} is dying, and still the copy-object of object {object.slot}",
            copy,
            object,
        )


def owner(lock: Any) -> str:
    """The thread that may be in the middle of a change there: the holder of the lock."""
    holder = lock.holder()
    return f" (while {holder[3]} holds its lock)" if holder else ""
