"""Every lock class of the VM in order: the one place where the order is written.

A lower rank is taken first.  Equal ranks are leaves that never nest in each other
(except where a row says NEST).  See docs/reference, section 3.2.
"""

from harness.locks.ranks import LockClass

MAP = LockClass("map", 10, may_sleep=True)  # taken with nothing held; a fault sleeps and restarts under read
SHARING_MAP = LockClass("sharing map", 20, may_sleep=True)  # inside the map whose entry points to it
VNODE = LockClass("vnode", 30, may_sleep=True)  # held across file I/O
HANDLE = LockClass("handle", 30, may_sleep=True)  # named swap pagers; never with a vnode
DEVICE_HANDLE = LockClass("device handle", 30, may_sleep=True)  # never with a vnode or a name
CACHE = LockClass("cache", 40)  # inside a vnode: the object of a file is looked up there
OBJECT = LockClass("object", 50, chain=("VmObject", "shadow"))  # front, then what it shadows
PAGE_QUEUES = LockClass("page queues", 60)  # inside objects: BUSY needs both
PV = LockClass("pv", 70)  # inside page queues; pmap inside pv
PMAP = LockClass("pmap", 72)
FREE_LIST = LockClass("free list", 74)  # leaf, inside page queues
BUCKET = LockClass("page hash", 74)  # leaf, inside page queues
OBJECT_LIST = LockClass("object list", 74)  # leaf
PAGES_NEEDED = LockClass("pages needed", 74)  # leaf: pokes are sent from anywhere
IO_LIST = LockClass("I/O list", 74)  # leaf
PAGER = LockClass("pager", 76)  # inside objects; never across I/O
SWAP_MAP = LockClass("swap map", 78)  # inside pager
MAP_REF = LockClass("map ref", 79)  # leaf
MAP_HINT = LockClass("map hint", 79)  # leaf, also under a map that is only read
VMSPACE = LockClass("vmspace", 79)  # leaf
POOL = LockClass("pool", 90)  # free lists of record tables; innermost mutex
CHANNEL = LockClass("channel", 99)  # no lock: what is slept on and woken

ALL = (
    MAP, SHARING_MAP, VNODE, HANDLE, DEVICE_HANDLE, CACHE, OBJECT, PAGE_QUEUES, PV, PMAP, FREE_LIST, BUCKET,
    OBJECT_LIST, PAGES_NEEDED, IO_LIST, PAGER, SWAP_MAP, MAP_REF, MAP_HINT, VMSPACE, POOL, CHANNEL,
)  # fmt: skip
