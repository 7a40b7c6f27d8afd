"""vmcore: the Mach / BSD virtual-memory object layer in shared memory, under real locks.

``boot(arena, config)`` lays a VM down in an arena, ``attach(arena)`` finds it in another
process.  The rest is the historic interface: spaces, maps, memory, and the object layer
below.  Dumps use ``show_*``; ``audit`` says what does not fit together.
"""

from vmcore.audit.audit import all_gone, audit
from vmcore.boot import arena_size, attach, boot
from vmcore.config import Config
from vmcore.fault.fault import vm_fault
from vmcore.map.map import vm_map_remove
from vmcore.object.collapse import vm_object_collapse
from vmcore.object.deallocate import drain_release_list, pager_cache, vm_object_deallocate
from vmcore.object.object import vm_object_allocate, vm_object_reference
from vmcore.object.object_cache import cache_clear, cache_trim, vm_object_lookup
from vmcore.object.object_pages import vm_object_page_clean
from vmcore.page.vm_wait import stop_services
from vmcore.pageout.pageout import vm_pageout_loop
from vmcore.pager.swap_io import disk_worker_loop
from vmcore.show.show import show_chain, show_entry, show_map, show_object, show_page
from vmcore.space.access import vm_read, vm_write
from vmcore.space.map_protect import vm_map_inherit, vm_map_protect
from vmcore.space.map_user import vm_allocate, vm_deallocate, vm_map_discard, vm_map_file, vm_map_move
from vmcore.space.vmspace import (
    space_map,
    vmspace_alloc,
    vmspace_exec,
    vmspace_exit,
    vmspace_fork,
    vmspace_share,
)
from vmcore.vm import Vm
from vmcore.vm_error import VmError, VmFault

__all__ = [
    "Config", "Vm", "VmError", "VmFault", "arena_size", "attach", "boot",
    "vm_read", "vm_write", "vm_fault",
    "space_map", "vmspace_alloc", "vmspace_exec", "vmspace_exit", "vmspace_fork", "vmspace_share",
    "vm_allocate", "vm_deallocate", "vm_map_discard", "vm_map_file", "vm_map_inherit", "vm_map_move",
    "vm_map_protect", "vm_map_remove",
    "vm_object_allocate", "vm_object_collapse", "vm_object_deallocate", "vm_object_lookup",
    "vm_object_page_clean", "vm_object_reference",
    "cache_clear", "cache_trim", "drain_release_list", "pager_cache",
    "vm_pageout_loop", "disk_worker_loop", "stop_services",
    "all_gone", "audit", "show_chain", "show_entry", "show_map", "show_object", "show_page",
]  # fmt: skip
