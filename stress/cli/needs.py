"""What a run needs of the machine, asked before anything is started.

A shortage met in the middle would look like a finding of the system under test.
"""

import os
import resource
import tempfile
from pathlib import Path

from harness.errors import BadInput, CannotRunHere

# The front process and the supervisor keep the ends of pipes to each worker, the arena, the store
# and what the interpreter itself has open.
DESCRIPTORS = 48
DESCRIPTORS_PER_WORKER = 8


def require_descriptors(workers: int) -> None:
    """CannotRunHere when this process may not open as many files as the run will."""
    needed = DESCRIPTORS + DESCRIPTORS_PER_WORKER * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft in {resource.RLIM_INFINITY, -1} or soft >= needed:
        return
    if hard in {resource.RLIM_INFINITY, -1} or hard >= needed:
        hint = f"ulimit -n {needed}"
    else:
        hint = "hangdog run --workers 1 --disks 1"
    raise CannotRunHere(
        f"a run of {workers} workers needs {needed} file descriptors, the limit is {soft}", hint
    )


def require_folder(folder: Path) -> None:
    """BadInput when no dump could be written there.  Makes nothing: most runs find nothing."""
    hint = "hangdog run --dump-dir /tmp/hangdog-dumps"
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise BadInput(f"cannot write dumps to {str(folder)!r}: {str(there)!r} is no folder", hint)
    try:
        # Asking for permission is not enough: a read-only file system, a full disk or /proc say yes.
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"\0" * os.sysconf("SC_PAGE_SIZE"))
    except OSError as error:
        raise BadInput(f"cannot write dumps to {str(folder)!r}: {error.strerror}", hint) from None
