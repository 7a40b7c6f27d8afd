"""The numbers of the VM under their historic names; values as in docs/reference, section 2.

Nothing here depends on anything, so every file may import it.
"""

from typing import Final

# fmt: off

# Rights of a mapping or an entry (vm_prot.h).
VM_PROT_NONE: Final = 0
VM_PROT_READ: Final = 1
VM_PROT_WRITE: Final = 2
VM_PROT_EXECUTE: Final = 4
VM_PROT_DEFAULT: Final = VM_PROT_READ | VM_PROT_WRITE
VM_PROT_ALL: Final = VM_PROT_READ | VM_PROT_WRITE | VM_PROT_EXECUTE

# What fork does with an entry (vm_inherit.h).
VM_INHERIT_SHARE: Final = 0
VM_INHERIT_COPY: Final = 1
VM_INHERIT_NONE: Final = 2

# Page flags.  The bits of the two words are disjoint: one word would do, and did.
PG_INACTIVE: Final = 0x0001      # P  on the inactive queue
PG_ACTIVE: Final = 0x0002        # P  on the active queue
PG_LAUNDRY: Final = 0x0004       # P  inactive, dirty, not yet handed to a pager
PG_CLEAN: Final = 0x0008         # O  equals the pager's copy, as far as software knows
PG_BUSY: Final = 0x0010          # B  in transit; only its owner touches it
PG_WANTED: Final = 0x0020        # O  a thread sleeps on it; only while BUSY
PG_TABLED: Final = 0x0040        # O  in the hash and in a memq
PG_COPYONWRITE: Final = 0x0080   # O  advisory; the map entry is the authority
PG_FICTITIOUS: Final = 0x0100    # O  no managed frame behind it
PG_FAKE: Final = 0x0200          # O  reserves its place, has no valid data
PG_FILLED: Final = 0x0400        # for file systems
PG_DIRTY: Final = 0x0800         # for file systems
PG_FREE: Final = 0x1000          # F  on the free list (lies in flags_p)
PG_FAULTING: Final = 0x2000      # O  diagnostic: inside a pager read
PG_PAGEROWNED: Final = 0x4000    # debug: asynchronous paging in flight
PG_PTPAGE: Final = 0x8000        # debug: page-table page

# Object flags.
OBJ_CANPERSIST: Final = 0x0001   # may be cached at ref_count 0
OBJ_INTERNAL: Final = 0x0002     # anonymous; contents die with it
OBJ_ACTIVE: Final = 0x0004       # accounting mark
OBJ_FADING: Final = 0x0008       # terminating, or the back side of an overlay
OBJ_COLLAPSING: Final = 0x0010   # R: front of a running overlay
OBJ_PAGERALLOC: Final = 0x0020   # R: a pager is being allocated, lock dropped; pip > 0
OBJ_DYING: Final = 0x0040        # R: ref_count reached 0, no resurrection
OBJ_FIXED: Final = 0x0080        # R: a caller chose an address of another colour for it
OBJ_DRAINING: Final = 0x0100     # R: one of those sleepers goes on when any share is given back
OBJ_WAITING: Final = 0x8000      # a thread sleeps until paging_in_progress is 0

# Kinds of pager.
PG_SWAP: Final = 0
PG_VNODE: Final = 1
PG_DEVICE: Final = 2

# What a pager answers.
VM_PAGER_OK: Final = 0
VM_PAGER_BAD: Final = 1          # offset outside the pager's range
VM_PAGER_FAIL: Final = 2         # in range, no such data
VM_PAGER_PEND: Final = 3         # asynchronous: page and pip belong to the completion now
VM_PAGER_ERROR: Final = 4        # I/O error
VM_PAGER_AGAIN: Final = 5        # temporary shortage

# What a map operation or a fault answers (kern_return.h).
KERN_SUCCESS: Final = 0
KERN_INVALID_ADDRESS: Final = 1
KERN_PROTECTION_FAILURE: Final = 2
KERN_NO_SPACE: Final = 3
KERN_INVALID_ARGUMENT: Final = 4
KERN_FAILURE: Final = 5
KERN_RESOURCE_SHORTAGE: Final = 6
KERN_MEMORY_ERROR: Final = 10

# Bits of a mapping, and of a frame after its mappings are gone.
PV_REFERENCED: Final = 1
PV_MODIFIED: Final = 2

# States of a pending-clean record.
SPC_FREE: Final = 0
SPC_BUSY: Final = 1              # waits for a disk worker
SPC_WRITING: Final = 2           # a disk worker has it
SPC_DONE: Final = 3              # waits for a reaper
SPC_ERROR: Final = 4             # the same, and nothing was written
SPC_REAPING: Final = 5           # one reaper has it

# Kind of a report to the watcher (HD_REPORT_INVARIANT of the instrument; a test compares).
REPORT_INVARIANT: Final = 6

# Of our own: groups of locks, and the page hash.
PV_LOCKS: Final = 64  # a lock per group of frames; no thread ever needs two of them
BUCKET_LOCKS: Final = 16  # more would only spread contention that Python never reaches
HASH_SPREAD: Final = 37  # neighbours in the table must not be neighbours in the hash
