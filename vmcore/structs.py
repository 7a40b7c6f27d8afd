"""The records of the VM, exactly as they lie in the arena.

Guards (which lock protects the field):

    O  the object's own lock (pages: the lock of page.object)
    P  vm_page_queue_lock          Y  the record's own hint_lock
    F  free-list lock              H  page-hash bucket lock
    L  object-list lock            C  vm_cache_lock
    M  the map lock, write mode    R  the record's own ref_lock (vmspaces: its lock)
    V  pv lock of the frame        T  the pmap's own lock (translation)
    K  the pager's own lock        I  I/O list lock
    W  swap-map lock               N  pages-needed lock
    U  the vnode lock              S  the object lock of the object that is shadowed
    J  the lock of the object that the pager is installed in
    D  the handle lock of the named swap pagers
    E  the handle lock of the devices
    =  written once, before another thread can find the record
    .  the pool's own (generation, free list), or one writer only
    b  this thread owns the page BUSY       p  it owns a share of the object's paging count

Several letters: all of them to write, any of them to read.  Behind a slash: any of these is
enough to read, and ``?`` means that any thread may, as a hint that is worth nothing a moment later.

A ``Ref`` is generation << 32 | slot; 0 is null.  A ``Slot`` is a bare slot number
of a link that never outlives its list; 0 is null.
"""

from ctypes import Structure, c_int32, c_uint32, c_uint64

from harness.shm.layout import ChannelRecord, MutexRecord, RwLockRecord, guarded

Ref = c_uint64
Slot = c_uint32

# fmt: off


class VmObject(Structure):
    """A memory object: which pages it holds, and where the others come from."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "generation",          c_uint32,      "moves on when the record is freed"),
        (".", "next_free",           Slot,          "pool"),
        ("=", "lock_",               MutexRecord,   "the object lock"),
        ("=", "chan_",               ChannelRecord, "sleepers on paging_in_progress; never reset"),
        ("O", "flags",               c_uint32,      "OBJ_*"),
        ("O", "paging_in_progress",  c_uint32,      "above zero: do not collapse or destroy"),
        ("O", "ref_count",           c_int32,       "entries + shadowers + temporary holds"),
        ("O", "resident_page_count", c_uint32,      "length of memq"),
        ("O", "size",                c_uint64,      "bytes"),
        ("O", "copy",                Ref,           "gets our page before we change that"),
        ("O/OpC", "pager",               Ref,           "backing store; stays while we are paging"),
        ("O/Op", "paging_offset",       c_uint64,      "our offset 0 in the pager; stays as that does"),
        ("O", "shadow",              Ref,           "where missing pages come from; counted"),
        ("O", "shadow_offset",       c_uint64,      "our offset 0 inside the shadow"),
        ("O", "memq_first",          Slot,          "resident pages, insertion order"),
        ("O", "memq_last",           Slot,          ""),
        ("O", "shadowers_first",     Slot,          "objects whose shadow is this one"),
        ("S", "shadowers_next",      Slot,          "link in shadow.shadowers"),
        ("S", "shadowers_prev",      Slot,          ""),
        ("L", "object_list_next",    Slot,          "list of all objects"),
        ("L", "object_list_prev",    Slot,          ""),
        ("C", "cached_next",         Slot,          "cache list, least recent first"),
        ("C", "cached_prev",         Slot,          ""),
        ("C", "is_cached",           c_uint32,      "1: on the cached list"),
        ("C", "is_hashed",           c_uint32,      "1: findable by its pager"),
        ("C", "hash_next",           Slot,          "link in the pager hash"),
    )


class VmPage(Structure):
    """A physical page; its slot number is also its frame number."""

    _fields_, GUARDS, NOTES = guarded(
        ("=", "chan_",      ChannelRecord, "waiters for PG_BUSY"),
        ("O/OPb", "flags_o",    c_uint32,      "PG_CLEAN (P: a hint), BUSY (B), TABLED, FAKE..."),
        ("P", "flags_p",    c_uint32,      "PG_ACTIVE, INACTIVE, LAUNDRY; PG_FREE under F"),
        ("OP/OPHb", "object",     Ref,           "identity"),
        ("OP/OPHb", "offset",     c_uint64,      "identity, bytes"),
        ("P", "wire_count", c_uint32,      "above zero: on no queue"),
        ("P", "pageq_next", Slot,          "free (F), active or inactive"),
        ("P", "pageq_prev", Slot,          ""),
        ("O", "listq_next", Slot,          "object.memq"),
        ("O", "listq_prev", Slot,          ""),
        ("H", "hashq_next", Slot,          "bucket chain"),
        ("V", "pv_first",   Slot,          "mappings of this frame (Mapping.pv_next)"),
        ("V", "pv_bits",    c_uint32,      "saved PV_REFERENCED | PV_MODIFIED of removed mappings"),
    )


class Mapping(Structure):
    """One hardware mapping, va -> frame: at once a pmap entry and its pv entry."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "generation", c_uint32, "pool"),
        (".", "next_free",  Slot,     "pool"),
        ("TV", "va",         c_uint64, "page aligned"),
        ("TV", "pmap",       Slot,     "slot of the pmap"),
        ("TV", "frame",      Slot,     "slot of the page"),
        ("T/TV", "prot",       c_uint32, "VM_PROT_*; V keeps the mapping, not its rights"),
        ("T", "wired",      c_uint32, ""),
        ("T/TV", "bits",       c_uint32, "PV_*, set by the access; under V alone as of a moment"),
        ("T", "hash_next",  Slot,     "chain of the pmap's bucket"),
        ("T", "pmap_next",  Slot,     "list of all mappings of the pmap"),
        ("T", "pmap_prev",  Slot,     ""),
        ("V", "pv_next",    Slot,     "list of all mappings of the frame"),
        ("V", "pv_prev",    Slot,     ""),
    )


class Pmap(Structure):
    """A hardware map."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "generation", c_uint32,    "pool"),
        (".", "next_free",  Slot,        "pool"),
        ("=", "lock_",      MutexRecord, "pmap lock, leaf"),
        ("T", "first",      Slot,        "list of all mappings"),
        ("T", "count",      c_uint32,    "mappings"),
        ("T", "buckets",    Slot * 256,  "by (va / page size) % 256"),
    )


class VmMapEntry(Structure):
    """One address range of one map."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "generation",     c_uint32, "pool"),
        (".", "next_free",      Slot,     "pool"),
        ("M", "home",           c_uint64, "arena offset of the lock of the map that it is linked in"),
        ("M", "prev",           Slot,     "sorted list; 0 at the ends"),
        ("M", "next",           Slot,     ""),
        ("M", "start",          c_uint64, "bytes"),
        ("M", "end",            c_uint64, "bytes, exclusive"),
        ("M", "object",         Ref,      "VmObject, or VmMap when is_a_map"),
        ("M", "offset",         c_uint64, "of start in the object or sharing map"),
        ("M", "is_a_map",       c_uint32, "1: object is a sharing map"),
        ("M", "copy_on_write",  c_uint32, "data is (or was) shared copy-on-write"),
        ("M", "needs_copy",     c_uint32, "a shadow must be interposed before the first write"),
        ("M", "protection",     c_uint32, "VM_PROT_*"),
        ("M", "max_protection", c_uint32, ""),
        ("M", "inheritance",    c_uint32, "VM_INHERIT_*"),
        ("M", "wired_count",    c_uint32, "wirings of this range"),
    )


class VmMap(Structure):
    """An address map, or a sharing map interposed for inherited shared memory."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "generation",  c_uint32,     "pool"),
        (".", "next_free",   Slot,         "pool"),
        ("=", "lock_",       RwLockRecord, "the map lock"),
        ("=", "ref_lock_",   MutexRecord,  "guards ref_count"),
        ("=", "hint_lock_",  MutexRecord,  "guards hint"),
        ("=", "chan_",       ChannelRecord, "sleepers on wirings"),
        ("M", "first",       Slot,         "entries, sorted"),
        ("M", "last",        Slot,         ""),
        ("M", "nentries",    c_uint32,     ""),
        ("M", "size",        c_uint64,     "bytes mapped"),
        ("=", "min_offset",  c_uint64,     ""),
        ("=", "max_offset",  c_uint64,     ""),
        ("=", "pmap",        Ref,          "0 for a sharing map"),
        ("=", "is_main_map", c_uint32,     ""),
        ("R", "ref_count",   c_int32,      "references to the map (sharing maps: entries)"),
        ("Y/?", "hint",        Slot,         "last entry found; moved away, under M, before that goes"),
        ("M", "timestamp",   c_uint64,     "moves at every write lock"),
        ("R", "wirings",     c_uint32,     "sharing map: wirers whose pages are not all wired yet"),
    )


class Vmspace(Structure):
    """What a process owns: a map, a pmap, and how many share them."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "generation", c_uint32,    "pool"),
        (".", "next_free",  Slot,        "pool"),
        ("=", "lock_",      MutexRecord, "guards vm_refcnt"),
        ("=", "map",        Ref,         ""),
        ("=", "pmap",       Ref,         ""),
        ("R/?", "vm_refcnt",  c_int32,     "processes in this space; 1 changes only by that process"),
    )


class Pager(Structure):
    """Backing store of one object: a swap pager, a vnode pager or a device pager."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "generation",  c_uint32,      "pool"),
        (".", "next_free",   Slot,          "pool"),
        ("=", "lock_",       MutexRecord,   "pager lock, leaf"),
        ("=", "chan_",       ChannelRecord, "dealloc waits for sw_poip == 0"),
        ("=", "pg_type",     c_uint32,      "PG_SWAP, PG_VNODE, PG_DEVICE"),
        ("=", "pg_handle",   Ref,           "vnode; slot of a device; name of a swap pager, 0: without one"),
        ("K", "pg_object",   Ref,           "the one object this pager is installed in"),
        ("=", "sw_osize",    c_uint64,      "bytes backed"),
        ("=", "sw_bsize",    c_uint32,      "pages per block"),
        ("K", "sw_poip",     c_uint32,      "asynchronous page-outs in flight"),
        ("K/KJ", "sw_cnt",      c_uint32,      "valid pages; J: no thread pages then, so none changes it"),
        ("K", "sw_first",    Slot,          "SwapBlocks that exist (sparse, unsorted)"),
        ("U", "vnp_size",    c_uint64,      "file size the VM believes"),
        ("U", "vnp_resizing", c_uint32,     "a size change is under way"),
        ("D", "is_named",    c_uint32,      "1: on the list of named swap pagers"),
        ("D", "named_next",  Slot,          "that list"),
        ("P", "devp_pglist", Slot,          "device: its fictitious pages in use, linked by pageq"),
    )


class SwapBlock(Structure):
    """One block of a swap pager: a run of swap pages and which of them are valid."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "generation", c_uint32, "pool"),
        (".", "next_free",  Slot,     "pool"),
        ("K", "next",       Slot,     "list of the pager's blocks"),
        ("K", "pager",      Ref,      "owner"),
        ("K/?", "index",      c_uint32, "number in the pager; never changes, nor goes during a write"),
        ("K", "swb_mask",   c_uint32, "one valid bit per page"),
        ("K/?", "swb_block",  c_uint32, "first page in the swap file, never 0; as index"),
        ("K", "writes",     c_uint32, "writes into this block in flight"),
    )


class PendingClean(Structure):
    """An asynchronous page-out on its way to the swap file: a run of pages, written at once.

    The rows that name a page mean the first of the run; the others have a PendingPage each.
    """

    _fields_, GUARDS, NOTES = guarded(
        ("I", "state",  c_uint32, "SPC_FREE, BUSY, WRITING, DONE, ERROR, REAPING"),
        ("I", "next",   Slot,     "free list or in-use list"),
        ("I/?", "object", Ref,      "whose paging count we hold; as all ? here: its one owner reads"),
        ("I/?", "page",   Slot,     "the first page, BUSY until reaped"),
        ("I/?", "count",  c_uint32, "pages of the run, the first included"),
        ("I/?", "pager",  Ref,      ""),
        ("I/?", "block",  Slot,     "SwapBlock"),
        ("I/?", "index",  c_uint32, "first page's place within the block"),
        ("I/?", "frame",  Slot,     "raw frame that holds the copy of the first page"),
        ("I", "pip_address", c_uint64, "arena address of object.paging_in_progress while we own a share"),
        ("I", "busy_address", c_uint64, "arena address of page.flags_o while we own PG_BUSY"),
    )


class PendingPage(Structure):
    """One more page of an asynchronous page-out, written from its own frame.

    A row per page, because each is BUSY and each may have sleepers, and a watcher must find
    the thread that will wake them.  The state is the record's, changed together with it.
    """

    _fields_, GUARDS, NOTES = guarded(
        ("I", "state",        c_uint32, "as the record's; SPC_FREE when the run is shorter"),
        ("I/?", "page",         Slot,     "the page, BUSY until reaped; its frame is what is written"),
        ("I", "busy_address", c_uint64, "arena address of page.flags_o while the record owns PG_BUSY"),
    )


class Vnode(Structure):
    """A file."""

    _fields_, GUARDS, NOTES = guarded(
        (".", "generation",  c_uint32,      "pool"),
        (".", "next_free",   Slot,          "pool"),
        ("=", "lock_",       MutexRecord,   "vnode lock: may be held across I/O"),
        ("=", "chan_",       ChannelRecord, "waiters for a dying pager or a resize"),
        ("=", "number",      c_uint32,      "which file of the world (index of vm.files)"),
        ("U", "v_vmdata",    Ref,           "its pager"),
        ("U/?", "v_size",      c_uint64,      "bytes; without U only a hint"),
        ("U", "v_usecount",  c_uint32,      "references"),
    )


class Device(Structure):
    """A piece of memory that is no part of the machine's own: frames behind the last managed one."""

    _fields_, GUARDS, NOTES = guarded(
        ("=", "chan_", ChannelRecord, "waiters for a dying pager"),
        ("E", "pager", Ref,           "its pager"),
    )


class VmGlobals(Structure):
    """The one record of everything that exists once."""

    _fields_, GUARDS, NOTES = guarded(
        ("=", "cache_lock_",        MutexRecord,   "vm_cache_lock"),
        ("=", "page_queue_lock_",   MutexRecord,   "vm_page_queue_lock"),
        ("=", "free_lock_",         MutexRecord,   "free list"),
        ("=", "object_list_lock_",  MutexRecord,   "list of all objects"),
        ("=", "io_list_lock_",      MutexRecord,   "pending-clean lists"),
        ("=", "swap_map_lock_",     MutexRecord,   "swap map"),
        ("=", "pages_needed_lock_", MutexRecord,   "daemon and memory waiters"),
        ("=", "handle_lock_",       MutexRecord,   "named swap pagers"),
        ("=", "named_chan_",        ChannelRecord, "waiters for a dying named pager"),
        ("=", "device_lock_",       MutexRecord,   "pagers of devices"),
        ("=", "daemon_chan_",       ChannelRecord, "the page-out daemon sleeps here"),
        ("=", "free_chan_",         ChannelRecord, "memory waiters sleep here"),
        ("=", "disk_chan_",         ChannelRecord, "disk workers sleep here"),
        ("F/?", "v_free_count",       c_uint32,      "on the free list; a thread that is short asks again"),
        ("F", "free_first",         Slot,          ""),
        ("F", "free_last",          Slot,          ""),
        ("P/?", "v_active_count",     c_uint32,      "of no use but to guess: see v_free_count"),
        ("P", "active_first",       Slot,          ""),
        ("P", "active_last",        Slot,          ""),
        ("P/?", "v_inactive_count",   c_uint32,      "the same"),
        ("P", "inactive_first",     Slot,          ""),
        ("P", "inactive_last",      Slot,          ""),
        ("P/?", "v_wire_count",       c_uint32,      "pages with wire_count > 0; others see a hint"),
        ("L/?", "vm_object_count",    c_uint32,      "objects alive"),
        ("L", "object_list_first",  Slot,          ""),
        ("C/?", "vm_object_cached",   c_uint32,      "length of the cached list"),
        ("C", "cached_first",       Slot,          "least recent"),
        ("C", "cached_last",        Slot,          "most recent"),
        ("C", "hash_buckets",       Slot * 157,    "pager hash: objects by Pager slot % 157"),
        ("D", "named_first",        Slot,          "named swap pagers"),
        ("I/?", "inuse_first",        Slot,          "PendingClean in use"),
        ("I", "spc_free_first",     Slot,          "PendingClean free"),
        ("I", "writes_queued",      c_uint32,      "records BUSY: no disk worker has them yet"),
        ("I/?", "writes_in_flight",   c_uint32,      "records BUSY or WRITING (not DONE)"),
        ("I", "daemons",            c_uint32,      "threads in the page-out loop; may still queue writes"),
        ("W/?", "swap_used",          c_uint32,      "swap pages allocated"),
        ("W/?", "swap_total",         c_uint32,      "never changes"),
        ("N/?", "pages_needed",       c_uint32,      "a poke: the daemon must look again"),
        ("N", "memory_waiters",     c_uint32,      "threads in VM_WAIT"),
        ("N", "memory_epoch",       c_uint32,      "moves when waiters are woken: they may retry"),
        ("N", "no_memory",          c_uint32,      "last epoch was woken with 'no memory'"),
        ("N", "fruitless",          c_uint32,      "consecutive fruitless scans"),
        ("N/?", "daemon_stop",        c_uint32,      "1: services leave their loops; they look again"),
        ("=", "v_free_min",         c_uint32,      ""),
        ("=", "v_free_target",      c_uint32,      ""),
        (".", "v_inactive_target",  c_uint32,      "daemon writes"),
        ("=", "v_free_reserved",    c_uint32,      "last frames: kernel and daemon only"),
        ("=", "v_wire_max",         c_uint32,      "most frames that may be wired"),
        ("=", "kernel_object",      Ref,           ""),
        ("=", "kmem_object",        Ref,           ""),
    )


class LockCell(Structure):
    """A lock that guards a group: frames (pv), hash buckets, the free list of one pool."""

    _fields_, GUARDS, NOTES = guarded(
        ("=", "lock_", MutexRecord, "its class says which group"),
    )


# What is no record but an array of words: attribute of Vm -> (guard of element n, table, what n is)
ARRAYS = {
    "heads":       ("H", "vm_page_hash",   "first"),  # page hash: slot of a page, by bucket
    "swap_map":    ("W", "vm_swap_map",    "taken"),  # a byte for each page of the swap file, 1 is taken
    "swap_owners": ("W", "vm_swap_owners", "block"),  # slot of the SwapBlock that owns the page
}  # "pmap_buckets" are the rows ``buckets`` of Pmap, each made once


class VmBoot(Structure):
    """What a process needs to attach: the sizes, and where to get the store."""

    _fields_, GUARDS, NOTES = guarded(
        *(("=", name, c_uint32, "Config") for name in (
            "pages", "objects", "entries", "maps", "sharing_maps", "pmaps", "mappings", "vmspaces",
            "pagers", "swap_blocks", "swap_pages", "vnodes", "pending", "cache_max", "page_size",
            "cluster_pages", "devices", "device_pages", "alias_distance", "contracts", "checked",
        )),
        ("=", "creator",     c_uint32, "pid that holds the descriptors below"),
        ("=", "swap_fd",     c_uint32, "its descriptor of the swap file"),
        ("=", "file_count",  c_uint32, ""),
        ("=", "file_fds",    c_uint32 * 192, "its descriptors of the files"),
    )


class Stats(Structure):
    """Counters of one thread (row = seat number); the sum over all rows is the VM's ``cnt``."""

    _fields_, GUARDS, NOTES = guarded(
        *((".", name, c_uint64, "") for name in (
            "v_faults", "v_cow_faults", "v_zfod", "v_nzfod", "v_pageins", "v_pgpgin", "v_pageouts",
            "v_pgpgout", "v_intrans", "v_reactivated", "v_rev", "v_scan", "v_dfree", "v_pfree",
            "v_lookups", "v_hits", "object_collapses", "object_bypasses", "fault_restarts",
            "memory_waits", "map_forks", "release_list", "pager_reads", "pager_writes",
            "colour_conflicts",
        )),
    )
