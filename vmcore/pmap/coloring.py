"""Colours of a virtually indexed cache: which mappings of one frame alias.

Such a cache finds a line by its virtual address.  A frame that is mapped at two addresses
which differ modulo the *alias distance* is in it twice, and a store through one is not
seen through the other.  Addresses of one colour, ``va / page size % colours``, do not
alias.  object_prefer.py sees to it that all mappings of a page have one.

It cannot, where programs choose addresses themselves.  Then the object is marked
(``OBJ_FIXED``), and what comes of it is counted, not forbidden.  The cache itself, with
stale data in it, is not simulated.
"""

from __future__ import annotations

from harness.shm.checked import unguarded
from harness.shm.facts import Fact
from vmcore.constants import OBJ_FIXED, VM_PROT_WRITE
from vmcore.structs import VmPage
from vmcore.vm import Vm
from vmcore.vm_error import Facts, a_page


def congruent(vm: Vm, va: int, addr: int) -> int:
    """The smallest address >= addr that has the colour of va."""
    distance = vm.config.colours * vm.page_size
    return addr + (va - addr) % distance if distance else addr


def count_conflict(vm: Vm, page: VmPage, va: int) -> None:
    """Count it if the page, just made writable at va, is writable at another colour too.

    The pv lock of the page is held.  The other mappings' rights are read without their
    pmap locks: this is a number to look at.
    """
    colours, views = vm.config.colours, vm.mappings.views
    slot = page.pv_first
    while slot and colours:
        mapping = views[slot]
        if mapping.prot & VM_PROT_WRITE and (mapping.va - va >> vm.page_shift) % colours:
            vm.me.stats.colour_conflicts += 1
            return
        slot = mapping.pv_next


@unguarded()
def colour_conflicts(vm: Vm) -> dict[int, set[int]]:
    """Page slot -> the colours of its writable mappings, where there is more than one.  No lock taken."""
    if not vm.config.colours:
        return {}
    found = {}
    views = vm.mappings.views
    for page in vm.pages.views[1:]:
        slot, colours, steps = page.pv_first, set(), 0
        while slot and steps <= len(views):
            if views[slot].prot & VM_PROT_WRITE:
                colours.add((views[slot].va >> vm.page_shift) % vm.config.colours)
            slot, steps = views[slot].pv_next, steps + 1
        if len(colours) > 1:
            found[page.slot] = colours
    return found


@unguarded()
def audit_colours(vm: Vm) -> list[Fact]:
    """Violations: frames writable at two colours, though no caller chose an address for their object."""
    bad = Facts()
    for slot, colours in colour_conflicts(vm).items():
        object = vm.objects(vm.pages.views[slot].object)
        if not object.flags & OBJ_FIXED:
            text = f"page {slot} of object {object.slot} may be written at colours {sorted(colours)}"
            bad.add("colours", text, object, a_page(slot))
    return bad
