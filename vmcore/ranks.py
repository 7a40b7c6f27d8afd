"""Every lock class of the VM in order: the one place where the order is written.

A lower rank is taken first.  Equal ranks are leaves that never nest in each other
(except where a row says NEST).  See the reference, section 3.2.
"""

from harness.locks.ranks import LockClass

MAP = LockClass("map", 10, may_sleep=True)
SHARING_MAP = LockClass("sharing map", 20, may_sleep=True)
VNODE = LockClass("vnode", 30, may_sleep=True)  # held across file I/O
HANDLE = LockClass("handle", 30, may_sleep=True)  # named swap pagers; never with a vnode
DEVICE_HANDLE = LockClass("device handle", 30, may_sleep=True)  # never with a vnode or a name
CACHE = LockClass("cache", 40)
OBJECT = LockClass("object", 50, chain=("VmObject", "shadow"))  # front, then what it shadows
PAGE_QUEUES = LockClass("page queues", 60)
PV = LockClass("pv", 70)  # inside page queues; pmap inside pv
PMAP = LockClass("pmap", 72)
FREE_LIST = LockClass("free list", 74)
BUCKET = LockClass("page hash", 74)
OBJECT_LIST = LockClass("object list", 74)
PAGES_NEEDED = LockClass("pages needed", 74)
IO_LIST = LockClass("I/O list", 74)
PAGER = LockClass("pager", 76)
SWAP_MAP = LockClass("swap map", 78)  # inside pager
MAP_REF = LockClass("map ref", 79)
MAP_HINT = LockClass("map hint", 79)
VMSPACE = LockClass("vmspace", 79)
POOL = LockClass("pool", 90)  # free lists of record tables; innermost mutex
CHANNEL = LockClass("channel", 99)

ALL = (
    MAP, SHARING_MAP, VNODE, HANDLE, DEVICE_HANDLE, CACHE, OBJECT, PAGE_QUEUES, PV, PMAP, FREE_LIST, BUCKET,
    OBJECT_LIST, PAGES_NEEDED, IO_LIST, PAGER, SWAP_MAP, MAP_REF, MAP_HINT, VMSPACE, POOL, CHANNEL,
)  # fmt: skip
