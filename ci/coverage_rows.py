"""Which function of docs/reference, section 4, is which function of this tree.

One row: (section, name in the reference, "module.function" in vmcore, tests).  The last is
only for functions that no test calls by their own name, because a step of a larger function
is tested through it; every name there must exist.
"""

Row = tuple[str, str, str, tuple[str, ...]]

OBJECT = [
    ("4.1", "init", "boot.make_kernel_objects", ("object/test_object_functions.py",)),
    ("4.1", "allocate", "object.vm_object_allocate", ()),
    ("4.1", "reference", "object.vm_object_reference", ()),
    ("4.1", "set_shadow", "object.vm_object_set_shadow", ("object/test_shadow.py",)),
    ("4.1", "deallocate", "deallocate.vm_object_deallocate", ()),
    ("4.1", "deallocate: take_reference", "deallocate.take_reference", ("object/test_deallocate.py",)),
    ("4.1", "deallocate: candidate", "deallocate.candidate", ("object/test_deallocate.py",)),
    ("4.1", "deallocate: after_collapse", "deallocate.after_collapse", ("object/test_deallocate.py",)),
    ("4.1", "deallocate: last_reference", "deallocate.last_reference", ("object/test_object_cache.py",)),
    ("4.1", "terminate", "terminate.vm_object_terminate", ("object/test_object_life.py",)),
    ("4.1", "terminate: detach_and_drain", "terminate.detach_and_drain", ("object/test_object_life.py",)),
    ("4.1", "page_clean", "object_pages.vm_object_page_clean", ()),
    ("4.1", "ensure_pager", "object_pager.ensure_pager", ()),
    ("4.1", "deactivate_pages", "object_pages.vm_object_deactivate_pages", ()),
    ("4.1", "cache_trim", "object_cache.cache_trim", ()),
    ("4.1", "cache_clear", "object_cache.cache_clear", ()),
    ("4.1", "pmap_copy", "object_pages.vm_object_pmap_copy", ()),
    ("4.1", "pmap_remove", "object_pages.vm_object_pmap_remove", ()),
    ("4.1", "copy", "object_copy.vm_object_copy", ()),
    ("4.1", "copy: the copy-object", "object_copy.copy_object_of", ("object/test_object_copy.py",)),
    ("4.1", "shadow", "shadow.vm_object_shadow", ("object/test_shadow.py",)),
    ("4.1", "setpager", "object.vm_object_setpager", ("object/test_object_life.py",)),
    ("4.1", "lookup", "object_cache.vm_object_lookup", ()),
    ("4.1", "enter", "object_cache.vm_object_enter", ()),
    ("4.1", "remove", "object_cache.vm_object_remove", ()),
    ("4.1", "remove_from_pager", "object_pager.remove_from_pager", ("object/test_collapse.py",)),
    ("4.1", "collapse", "collapse.vm_object_collapse", ()),
    ("4.1", "collapse: may_join", "collapse.may_join", ("object/test_collapse.py",)),
    ("4.1", "collapse: pip_rule", "collapse.pip_rule", ("object/test_collapse.py",)),
    ("4.1", "overlay", "overlay.overlay", ("object/test_collapse.py",)),
    ("4.1", "overlay: mark", "overlay.mark", ("object/test_collapse.py",)),
    ("4.1", "overlay: dispose_of_backing", "overlay.dispose_of_backing", ("object/test_collapse.py",)),
    ("4.1", "bypass", "bypass.bypass", ("object/test_collapse.py",)),
    ("4.1", "page_remove", "object_page_remove.vm_object_page_remove", ()),
    ("4.1", "coalesce", "object_coalesce.vm_object_coalesce", ()),
    ("4.1", "prefer", "object_prefer.vm_object_prefer", ()),
    ("4.1", "shutdown", "shutdown.vm_object_shutdown", ()),
    ("4.1", "paging: begin", "object_paging.vm_object_paging_begin", ()),
    ("4.1", "paging: end", "object_paging.vm_object_paging_end", ()),
    ("4.1", "paging: wait", "object_paging.vm_object_paging_wait", ()),
]

PAGE = [
    ("4.2", "lookup", "page.vm_page_lookup", ()),
    ("4.2", "insert", "page.vm_page_insert", ("page/test_page.py",)),
    ("4.2", "remove", "page.vm_page_remove", ("page/test_page.py",)),
    ("4.2", "alloc", "page.vm_page_alloc", ()),
    ("4.2", "free", "page.vm_page_free", ()),
    ("4.2", "rename", "page.vm_page_rename", ()),
    ("4.2", "activate", "page_queues.vm_page_activate", ()),
    ("4.2", "deactivate", "page_queues.vm_page_deactivate", ()),
    ("4.2", "wire", "page_queues.vm_page_wire", ()),
    ("4.2", "unwire", "page_queues.vm_page_unwire", ()),
    ("4.2", "zero_fill", "page.vm_page_zero_fill", ()),
    ("4.2", "copy", "page.vm_page_copy", ()),
    ("4.2", "wait", "page_wait.PAGE_ASSERT_WAIT", ()),
    ("4.2", "wakeup", "page_wait.page_wakeup", ()),
    ("4.2", "FREE_PAGE", "page_wait.FREE_PAGE", ()),
    ("4.2", "RELEASE_PAGE", "page_wait.RELEASE_PAGE", ()),
]

FAULT = [
    ("4.3", "vm_fault", "fault.vm_fault", ()),
    ("4.3", "step 2: the walk", "fault_search.fault_search", ("fault/test_fault.py",)),
    ("4.3", "step 3: copy up", "fault_copy.fault_copy", ("fault/test_fault.py",)),
    ("4.3", "step 4: the push", "fault_push.fault_push", ("object/test_object_copy.py",)),
    ("4.3", "step 5: look again", "fault.relookup", ("fault/test_fault.py",)),
    ("4.3", "step 6: enter", "fault.enter_page", ("fault/test_fault.py",)),
    ("4.3", "unlock_things", "fault_state.unlock_things", ("fault/test_fault.py",)),
    ("4.3", "unlock_and_deallocate", "fault_state.unlock_and_deallocate", ("fault/test_fault.py",)),
    (
        "4.3",
        "fault_wire",
        "fault_wire.vm_fault_wire",
        ("test_wired_pages_are_there_at_once_and_no_shortage_takes_them",),
    ),
    ("4.3", "fault_unwire", "unwire.vm_fault_unwire", ("test_unwired_pages_can_leave_again",)),
    (
        "4.3",
        "fault_copy_entry",
        "fault_copy_entry.vm_fault_copy_entry",
        ("test_a_fork_copies_wired_pages_at_once_and_the_child_has_nothing_wired",),
    ),
]

PAGEOUT = [
    ("4.4", "loop", "pageout.vm_pageout_loop", ("pageout/test_pageout_processes.py",)),
    ("4.4", "scan", "pageout.vm_pageout_scan", ()),
    ("4.4", "pageout_page", "pageout_page.pageout_page", ("pageout/test_pageout.py",)),
    ("4.4", "clustering", "pageout_cluster.gather_cluster", ("pageout/test_pageout_cluster.py",)),
    ("4.4", "out of swap, VM_WAIT", "vm_wait.VM_WAIT", ("test_exhaustion.py",)),
]

PAGERS = [
    ("4.5", "alloc", "swap.swap_pager_alloc", ("pager/test_swap.py",)),
    ("4.5", "alloc, named", "pager_named.swap_pager_named", ()),
    ("4.5", "dealloc", "swap.swap_pager_dealloc", ("pager/test_swap.py",)),
    ("4.5", "haspage", "swap.swap_pager_haspage", ("pager/test_swap.py",)),
    ("4.5", "getpage", "swap.swap_pager_getpage", ("pager/test_swap.py",)),
    ("4.5", "putpage, waiting", "swap.swap_pager_write_sync", ("pager/test_swap.py",)),
    ("4.5", "putpage, asynchronous", "swap_io.swap_pager_write_async", ("pageout/test_pageout.py",)),
    ("4.5", "completion", "swap_io.write_record", ()),
    ("4.5", "reap", "swap_io.reap", ()),
    ("4.5", "remove", "swap.swap_pager_remove", ("pager/test_swap.py",)),
    ("4.5", "next", "swap.swap_pager_next", ("pager/test_swap.py",)),
    ("4.5", "count", "pager.vm_pager_count", ()),
    ("4.5", "cluster", "cluster.swap_pager_cluster", ()),
    ("4.6", "alloc", "vnode.vnode_pager_alloc", ()),
    ("4.6", "dealloc", "vnode_pager.vnode_pager_dealloc", ("pager/test_vnode_pager.py",)),
    ("4.6", "io, reading", "vnode_pager.vnode_pager_getpage", ("pager/test_vnode_pager.py",)),
    ("4.6", "io, writing", "vnode_pager.vnode_pager_putpage", ("pager/test_vnode_pager.py",)),
    ("4.6", "haspage", "vnode_pager.vnode_pager_haspage", ("pager/test_vnode_pager.py",)),
    ("4.6", "setsize", "vnode_size.vnode_pager_setsize", ()),
    ("4.6", "uncache", "vnode_size.vnode_pager_uncache", ()),
    ("4.6", "pager_cache", "deallocate.pager_cache", ()),
    ("4.7", "alloc", "device.device_pager_alloc", ()),
    ("4.7", "getpage", "device_pager.device_pager_getpage", ("object/test_device.py",)),
]

MAPS = [
    ("4.8", "map_lookup", "map_lookup.vm_map_lookup", ("map/test_map.py",)),
    ("4.8", "allocate", "map_user.vm_allocate", ()),
    ("4.8", "map_insert", "map.vm_map_insert", ("map/test_map.py",)),
    ("4.8", "map_delete", "map.vm_map_delete", ("map/test_map.py",)),
    ("4.8", "mremap", "map_user.vm_map_move", ()),
    ("4.8", "don't need", "map_user.vm_map_discard", ()),
    ("4.8", "clip", "map_clip.vm_map_clip", ("map/test_map.py",)),
    ("4.8", "fork", "vmspace.vmspace_fork", ("map/test_map.py",)),
    ("4.8", "copy_entry", "map_fork.vm_map_copy_entry", ("map/test_map.py",)),
    ("4.8", "protect", "map_protect.vm_map_protect", ()),
    ("4.8", "pageable", "mlock.vm_map_pageable", ()),
    ("4.8", "clean", "msync.vm_map_clean", ()),
    ("4.8", "mmap of a file", "map_user.vm_map_file", ()),
    ("4.8", "vm_allocate_with_pager", "map_named.vm_allocate_with_pager", ()),
    ("4.9", "exit", "vmspace.vmspace_exit", ()),
    ("4.9", "exit: the last sharer", "vmspace.vmspace_free", ("map/test_map.py",)),
]

ROWS: list[Row] = [*OBJECT, *PAGE, *FAULT, *PAGEOUT, *PAGERS, *MAPS]
