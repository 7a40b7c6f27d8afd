"""The release list of a thread: references to be dropped once it holds nothing.

A file of its own because everybody below deallocate.py (collapse, maps, faults)
appends to the list, and only deallocate.py may work it off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmcore.structs import VmObject

if TYPE_CHECKING:
    from vmcore.vm import Vm


def release_later(vm: Vm, object: VmObject, via_shadow: bool) -> None:
    """Move one reference of the caller's to the list; any locks may be held."""
    vm.me.release_list.append((object, via_shadow))
