"""The quiescent audit: does everything in the arena fit together?

To be called when no operation runs, the daemon is idle and all asynchronous writes are
reaped; nothing here takes a lock.  Each function returns the violations it found as
sentences that name the records; an empty list means that all is well.  The letters are those of
docs/reference, section 6.

    audit_objects  Q1 Q2 Q3 Q6 Q7, A6-A9     audit_pages  Q3 Q4 Q5 Q13, A2 A3
    audit_maps     entries, sharing maps (Q2), A13 A14   audit_copies  A13 with a copy-object
    audit_shown    A13 of what is only read  audit_records  Q2 Q4 Q7 A14: each has an owner
    audit_swap     Q6 Q13, A9 A11            audit_contents A12, reads the swap file
    audit_sleepers Q12                       audit_wired    Q8
    audit_named    A8 A9 of files and named memory, sizes of files

Q9 and Q10 need a sweep first: sweep.py.  A link that leads nowhere ends the part that met
it, and is itself a violation (A16).
"""

from __future__ import annotations

from harness.errors import RecordError
from harness.shm.checked import unguarded
from harness.shm.facts import Fact
from vmcore.audit.contents import audit_contents
from vmcore.audit.copies import audit_copies
from vmcore.audit.maps import audit_maps
from vmcore.audit.named import audit_named
from vmcore.audit.objects import audit_objects, kernel_slots
from vmcore.audit.pages import audit_pages
from vmcore.audit.records import audit_records
from vmcore.audit.shown import audit_shown
from vmcore.audit.sleepers import audit_sleepers
from vmcore.audit.swap import audit_swap
from vmcore.audit.wired import audit_wired
from vmcore.vm import Vm
from vmcore.vm_error import Facts, left

PARTS = (
    audit_objects,
    audit_pages,
    audit_maps,
    audit_copies,
    audit_wired,
    audit_named,
    audit_shown,
    audit_records,
    audit_swap,
    audit_contents,
    audit_sleepers,
)


@unguarded()
def audit(vm: Vm) -> list[Fact]:
    """The violations of everything that must hold while nothing happens."""
    bad = Facts()
    for part in PARTS:
        try:
            bad += part(vm)
        except RecordError as error:
            bad.add("A16", f"a stale link ends {part.__name__}: {error}")
    return bad


@unguarded()
def all_gone(vm: Vm) -> list[Fact]:
    """Q6, second half: after all processes exited and cache_clear nothing is left."""
    bad = audit(vm)
    kernel = kernel_slots(vm)
    bad += [
        left("Q6", f"object {o.slot} is still alive", o) for o in vm.objects.live() if o.slot not in kernel
    ]
    for name in ("maps", "sharing_maps", "entries", "vmspaces", "pmaps", "mappings", "pagers", "swap_blocks"):
        count = getattr(vm, name).in_use()
        if count:
            bad.append(left("Q6", f"{count} records of {name} are still in use"))
    if vm.g.swap_used:
        bad.append(left("Q6", f"{vm.g.swap_used} swap pages are still allocated"))
    frames = vm.config.pages
    if vm.g.v_free_count + vm.g.v_wire_count != frames:
        bad.append(left("Q6", f"{vm.g.v_free_count} of {frames} frames are free"))
    return bad
