"""Instant invariants of names and backing store: A8, A9, A11.

A8 and A9 when the cache lock is let go, and for the object whose lock is; A11 when a pager's lock is.
That a file, a name or a device has one pager at most is the audit's: their locks are held across I/O.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmcore.checked.records import SLOT, Records, walk
from vmcore.constants import OBJ_CANPERSIST, OBJ_DYING, OBJ_INTERNAL
from vmcore.vm_error import an_object, broken


def check_cache(records: Records) -> None:
    """The cache lock is held, and about to be let go."""
    records.require(cache_facts(records))
    if records.due("hash"):
        records.require(hash_facts(records))


def cache_facts(records: Records) -> Iterator[str]:
    """A8: a cached object has no reference, and no thread can give it one without this lock."""
    length = 0
    for object in walk(records.objects, records.g.cached_first, "cached_next"):
        length += 1
        fits = object.is_cached and object.is_hashed and object.flags & OBJ_CANPERSIST
        if not fits or object.ref_count:
            yield (
                broken(
                    "A8",
                    f"object {object.slot} is on the cached list with {object.ref_count} references, "
                    f"cached {object.is_cached}, hashed {object.is_hashed}, flags {object.flags:#x}",
                    object,
                )
            )
    if length != records.g.vm_object_cached:
        yield broken("A8", f"{length} objects are cached, vm_object_cached is {records.g.vm_object_cached}")


def hash_facts(records: Records) -> Iterator[str]:
    """A9: a hashed object has a pager that hashes to this bucket, and no other object has that pager."""
    buckets = list(records.g.hash_buckets)
    for bucket, first in enumerate(buckets):
        seen = set()
        for object in walk(records.objects, first, "hash_next"):
            name, pager = f"object {object.slot} in bucket {bucket}", object.pager
            if not pager or (pager & SLOT) % len(buckets) != bucket:
                yield broken("A9", f"{name} has pager {pager & SLOT}, which does not hash there", object)
            elif records.pagers[pager & SLOT].generation != pager >> 32:
                yield broken("A9", f"{name} has a pager that is gone", object)
            if pager in seen:
                yield broken("A9", f"pager {pager & SLOT} has two objects, one is {object.slot}", object)
            if object.flags & OBJ_INTERNAL or not object.is_hashed:
                yield broken("A9", f"{name} is anonymous, or not marked as hashed", object)
            seen.add(pager)


def check_name(records: Records, object: Any) -> None:
    """The object is locked, and about to be let go."""
    if records.object_lives(object.slot):
        records.require(name_facts(records, object))


def name_facts(records: Records, object: Any) -> Iterator[str]:
    """A8, the other way round; A9: its pager is its own."""
    name, flags = f"object {object.slot}", object.flags
    if flags & OBJ_DYING:
        return  # the thread that terminates it gives the pager up in steps
    unused = not object.ref_count and flags & OBJ_CANPERSIST
    if unused and records.vm.cache_lock.held() and object.is_hashed and not object.is_cached:
        yield broken("A8", f"{name} has a name and no reference, and is not cached", object)
    if object.pager:
        pager = records.pagers[object.pager & SLOT]
        if pager.generation != object.pager >> 32:
            yield broken("A9", f"{name} has pager {pager.slot}, which is gone", object)
        elif pager.pg_object != object.generation << 32 | object.slot:
            yield broken(
                "A9",
                f"{name} has pager {pager.slot}, which is object {pager.pg_object & SLOT}'s",
                object,
                an_object(pager.pg_object & SLOT),
            )


def check_pager(records: Records, pager: Any) -> None:
    """The pager's lock is held, and about to be let go."""
    if records.pager_lives(pager.slot) and records.due("pager"):
        records.require(pager_facts(records, pager))


def pager_facts(records: Records, pager: Any) -> Iterator[str]:
    """A11: what the pager counts is what its blocks hold, and the swap map knows the blocks."""
    valid, owners = 0, records.swap_owners
    for block in walk(records.blocks, pager.sw_first, "next"):
        name, first = f"swap block {block.slot}", block.swb_block
        if block.pager & SLOT != pager.slot or not records.block_lives(block.slot):
            yield broken("A11", f"{name} of pager {pager.slot} is free, or belongs to {block.pager & SLOT}")
            return
        valid += int(block.swb_mask).bit_count()
        if block.swb_mask and not first:
            yield broken("A11", f"{name} has valid pages and no place in the swap file")
        if not block.swb_mask and not block.writes:
            yield broken("A11", f"{name} is kept with no valid page and no write in flight")
        others = (
            {owners[at] for at in range(first, first + pager.sw_bsize)} - {block.slot} if first else set()
        )
        if others:
            yield broken("A11", f"swap pages of {name} belong to {sorted(others)}")
    if valid != pager.sw_cnt:
        yield broken("A11", f"pager {pager.slot} counts {pager.sw_cnt} pages, its blocks hold {valid}")
