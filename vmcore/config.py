"""How large a VM is: every table's size, fixed at boot.

A full table is a clear error that names the option of ``OPTIONS`` that enlarges it.
Page-out thresholds follow from the number of pages (docs/reference, section 7.1); no option
sets them, so that a small test machine and a large one behave alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.errors import BadInput

OPTIONS: Final[dict[str, str]] = {
    "pages": "--pages",
    "objects": "--objects",
    "entries": "--entries",
    "maps": "--maps",
    "sharing_maps": "--sharing-maps",
    "pmaps": "--pmaps",
    "mappings": "--mappings",
    "vmspaces": "--vmspaces",
    "pagers": "--pagers",
    "swap_blocks": "--swap-blocks",
    "swap_pages": "--swap-pages",
    "vnodes": "--vnodes",
    "pending": "--pending",
}

KIB: Final = 1024
CLAMP_MIN: Final = 16 * KIB  # free_min is free pages / 20, but at least this much memory
CLAMP_MAX: Final = 256 * KIB
RESERVED_LEAST: Final = 10
MAX_FILES: Final = 192  # VmBoot.file_fds
MAX_CLUSTER: Final = 16  # MAXPHYS: 64 KiB of 4 KiB pages in one transfer


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Sizes of one VM.  Everything counts records, except page_size (bytes) and files (bytes each)."""

    pages: int = 2048
    objects: int = 4096
    entries: int = 8192
    maps: int = 512
    sharing_maps: int = 512
    pmaps: int = 512
    mappings: int = 16384
    vmspaces: int = 512
    pagers: int = 2048
    swap_blocks: int = 8192
    swap_pages: int = 16384
    vnodes: int = 64
    pending: int = 64
    cache_max: int = 100
    cluster_pages: int = 8  # most pages that one page-out or page-in moves; 1: each by itself
    page_size: int = 4096
    devices: int = 1
    device_pages: int = 8  # of each device; frames beyond the managed ones
    alias_distance: int = 64 * KIB  # bytes; colours of a virtually indexed cache, 0: physically indexed
    files: tuple[int, ...] = ()  # sizes of the files that boot creates; vm.files in this order
    directory: str = ""  # where swap and files live (unlinked at once); "" is the system's choice
    contracts: bool = True
    checked: bool = False  # every access to a record verifies its guard and its generation

    def __post_init__(self) -> None:
        for name, option in OPTIONS.items():
            count = getattr(self, name)
            if count < 1:
                raise BadInput(f"{name} must be at least 1, not {count}", f"hangdog run {option} 64")
        if not 1 <= self.cluster_pages <= MAX_CLUSTER:
            raise BadInput(f"cluster_pages must be from 1 to {MAX_CLUSTER}, not {self.cluster_pages}")
        if self.page_size < 512 or self.page_size & (self.page_size - 1):
            raise BadInput(f"page_size must be a power of two of at least 512, not {self.page_size}")
        if self.devices < 1 or self.device_pages < 1:
            raise BadInput(f"{self.devices} devices of {self.device_pages} pages: at least 1 of each")
        if self.alias_distance < 0 or self.alias_distance & (self.alias_distance - 1):
            raise BadInput(f"alias_distance must be 0 or a power of two, not {self.alias_distance}")
        if self.pages <= self.free_reserved + 2:
            raise BadInput(
                f"{self.pages} pages are too few: {self.free_reserved} of them are the reserve",
                "hangdog run --pages 64",
            )
        if len(self.files) > MAX_FILES:
            raise BadInput(f"{len(self.files)} files are more than the {MAX_FILES} that a boot record names")
        if len(self.files) > self.vnodes:
            raise BadInput(f"{len(self.files)} files need as many vnodes, there are {self.vnodes}")

    @property
    def frames(self) -> int:
        """Frames in the arena: the managed ones, then those of the devices."""
        return self.pages + self.devices * self.device_pages

    @property
    def colours(self) -> int:
        """Colours of the cache; 0 when one frame may be mapped anywhere."""
        return self.alias_distance // self.page_size

    @property
    def free_min(self) -> int:
        """Below this many free frames the daemon is poked whatever the queues look like."""
        least, most = CLAMP_MIN // self.page_size, CLAMP_MAX // self.page_size
        return max(3, least, min(self.pages // 20, most))

    @property
    def free_target(self) -> int:
        """The daemon frees until this many frames are free."""
        return max(self.free_min * 4 // 3, self.free_min + 1)

    @property
    def wire_max(self) -> int:
        """Most frames that may be wired: a third of those that are free at boot."""
        return self.pages // 3

    @property
    def free_reserved(self) -> int:
        """Frames that only the kernel objects and the daemon may take.

        NetBSD has max(free_min / 2, 10).  On a small machine that exceeds free_min, even
        free_target: allocation would fail while the daemon sees no shortage.  So it stays
        below free_min, where every allocation pokes the daemon.
        """
        return min(max(self.free_min // 2, RESERVED_LEAST), self.free_min - 1)
