"""The three recorded programs that come with hangdog."""

from importlib.resources import files
from pathlib import Path

from stress.trace.errors import TraceError

NAMES = ("configure", "make", "pool")


def shipped(name: str) -> Path:
    """The log for a shipped name, or for a file of the user's; a shipped name wins over a file.

    Errors: TraceError listing the names, when it is neither.
    """
    if name in NAMES:
        # The logs are read by offset and reopened by workers, so the package must be unpacked on disk.
        return Path(str(files("stress.trace") / "data" / f"{name}.strace.gz"))
    path = Path(name)
    if path.is_file():
        return path
    raise TraceError(name, f"neither a file nor one of the shipped traces {', '.join(NAMES)}")
