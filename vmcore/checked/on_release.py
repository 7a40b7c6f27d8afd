"""Invariants that hold at every instant, looked at when the lock that guards them is let go (A1-A14).

In checked mode only.  Each look is at what one lock guards, by the thread that is about to release it;
so a violation is found in the thread that made it, with the lock still held.  Most looks are at what this
thread touched; what costs a walk is done at every so many releases, of another record each time.

A12 needs the swap file and belongs to the audit at rest; A15 and A16 are checked by the locks and the links
themselves.  A release inside ``channel.sleep`` is not looked at: the same thread's next one is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.locks.observed import observe
from vmcore.checked.mappings import check_frames, check_pmap, check_rights
from vmcore.checked.objects import check_object
from vmcore.checked.pages import check_queues
from vmcore.checked.records import Records
from vmcore.checked.store import check_cache, check_name, check_pager
from vmcore.constants import VM_PROT_WRITE
from vmcore.structs import Mapping as MappingRecord
from vmcore.vm import Vm

View = Callable[[Any], None]  # is told of a view


@dataclass(frozen=True)
class Observers:
    """For the makers of checked records: by table name."""

    prepare: Mapping[str, View]  # done to each view that is made
    wrote: Mapping[str, Mapping[str, View]]  # field -> told of each write


def observers(vm: Vm) -> Observers:
    """Observe the locks of the VM in this process; the plain views are taken now."""
    records = Records(vm)
    touched = records.touched

    def check_under_object(plain: Any) -> None:
        check_object(records, plain)
        check_name(records, plain)
        check_rights(records, plain)

    def on_release(look: View, views: Any) -> View:
        def prepare(view: Any) -> None:
            plain = views[view.slot]
            view.lock = observe(view.lock, lambda: look(plain))

        return prepare

    def page_written(view: Any) -> None:
        touched.pages.add(view.slot)

    def list_written(view: Any) -> None:
        touched.frames.add(view.slot)

    frame, prot = MappingRecord.frame.__get__, MappingRecord.prot.__get__

    def link_written(view: Any) -> None:
        touched.frames.add(frame(view))

    def rights_written(view: Any) -> None:
        if prot(view) & VM_PROT_WRITE:
            touched.mappings.add(view.slot)

    vm.page_queue_lock = observe(vm.page_queue_lock, lambda: check_queues(records))
    vm.cache_lock = observe(vm.cache_lock, lambda: check_cache(records))
    vm.pv_locks = [
        observe(lock, lambda group=group: check_frames(records, group))  # type: ignore[misc]
        for group, lock in enumerate(vm.pv_locks)
    ]
    return Observers(
        prepare={
            "objects": on_release(check_under_object, records.objects),
            "pagers": on_release(lambda plain: check_pager(records, plain), records.pagers),
            "pmaps": on_release(lambda plain: check_pmap(records, plain), records.pmaps),
        },
        wrote={
            "pages": {
                **dict.fromkeys(("flags_o", "flags_p", "object", "wire_count"), page_written),
                "pv_first": list_written,
            },
            "mappings": {"pv_next": link_written, "prot": rights_written},
        },
    )
