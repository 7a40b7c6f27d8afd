"""What a run needs: of the machine, asked before anything is started; of its tables, seen at the end.

A shortage that the user asked for is no finding of the system under test.
"""

import os
import resource
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from glob import escape
from pathlib import Path

from harness.errors import BadInput, CannotRunHere, HarnessError
from harness.outcome import Failed
from harness.watch import dump as dumps
from stress.run.options import RunReport, tightest
from vmcore.config import OPTIONS, Config

# The front process and the supervisor keep the ends of pipes to each worker, the arena, the store
# and what the interpreter itself has open.
DESCRIPTORS = 48
DESCRIPTORS_PER_WORKER = 8
TINY = 16  # a table of this part of its usual size holds no run


def require_names(defect: str) -> None:
    """BadInput when a ``+`` joins a defect with nothing: "H6a+"."""
    parts = defect.split("+")
    if not all(parts):
        rest = "+".join(filter(None, parts))
        hint = f"hangdog run --defect {rest}" if rest else "hangdog list defects"
        raise BadInput(f"{defect!r}: a '+' joins two defects, and here one side of it is empty", hint)


def require_descriptors(workers: int, smaller: str = "hangdog run --workers 1 --disks 1") -> None:
    """CannotRunHere when this process may not open as many files as the run will."""
    needed = DESCRIPTORS + DESCRIPTORS_PER_WORKER * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft in {resource.RLIM_INFINITY, -1} or soft >= needed:
        return
    may_raise = hard in {resource.RLIM_INFINITY, -1} or hard >= needed
    hint = f"ulimit -n {needed}" if may_raise else smaller
    raise CannotRunHere(
        f"a run of {workers} workers needs {needed} file descriptors, the limit is {soft}", hint
    )


def require_here() -> None:
    """CannotRunHere when the current folder was removed: stacks and dumps are told by paths from it."""
    try:
        Path.cwd()
    except OSError as error:
        raise CannotRunHere(f"the current folder is gone: {error.strerror}", "cd /") from None


def require_folder(folder: Path, hint: str = "hangdog run --dump-dir /tmp/hangdog-dumps") -> None:
    """BadInput when no dump could be written there.  Makes nothing: most runs find nothing."""
    try:
        there = folder.absolute()  # fails in a folder that is gone
        while not there.exists() and there != there.parent:  # fails for a name that is too long
            there = there.parent
    except OSError as error:
        raise BadInput(f"cannot write dumps to {str(folder)!r}: {error.strerror}", hint) from None
    if not there.is_dir():
        raise BadInput(f"cannot write dumps to {str(folder)!r}: {str(there)!r} is no folder", hint)
    try:
        # Asking for permission is not enough: a read-only file system, a full disk or /proc say yes.
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"\0" * os.sysconf("SC_PAGE_SIZE"))
    except OSError as error:
        raise BadInput(f"cannot write dumps to {str(folder)!r}: {error.strerror}", hint) from None


def require_file(target: Path, hint: str) -> None:
    """BadInput when this file could not be written.  Leaves it, and its folder, as they are."""
    if not target.parent.is_dir():
        raise BadInput(f"cannot write {str(target)!r}: {str(target.parent)!r} is no folder", hint)
    try:
        if target.exists():
            target.open("ab").close()
        else:
            tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise BadInput(f"cannot write {str(target)!r}: {error.strerror}", hint) from None


def refuse_shortage(
    report: RunReport, given: Mapping[str, int], without: Callable[[], RunReport] | None = None
) -> None:
    """BadInput when all that was found is that a table, which the user had made tiny, was full.

    Tiny, because a leak fills a table of a reasonable size too, and that must stay a finding.  With a
    defect on, whatever the size, it may be the defect that filled the table: a lost record looks just
    like a table that is too small.  Only the VM ``without`` it can tell: if that runs short with the
    same options, the table is too small for any run; otherwise the finding stands.  The dumps of a
    refused run are taken away again: they explain nothing that the error does not.
    """
    if (found := shortage(report, given)) is None:
        return
    if without is not None:
        right = without()
        if shortage(right, given) is None:
            return
        forget(right)
    name, said = found
    forget(report)
    option, count = OPTIONS[name], given[name]
    raise BadInput(
        f"{option} {count} is too small for {report.scenario} with {report.workers} workers: {said}",
        f"hangdog run {option} {count * 2}",
    )


def shortage(report: RunReport, given: Mapping[str, int]) -> tuple[str, str] | None:
    """The tiny table, and a worker's last words, when a full table is all that was found."""
    failed = [outcome for outcome in report.outcomes if isinstance(outcome, Failed)]
    short = [outcome for outcome in failed if outcome.exhausted]
    usual = Config()
    tiny = {name: count for name, count in given.items() if count * TINY <= getattr(usual, name)}
    name = tightest(tiny)
    if name is None or not short or short != failed:
        return None
    if any(found.verdict != "panic" for found in report.findings):
        return None
    return name, short[0].text


def forget(report: RunReport) -> None:
    """Remove the dumps of a run, and their folder if it is empty then.

    Also those that came too late to be counted: where all workers run short at once, the watchdog is still
    writing about the second when the first has ended the run.  Their names begin with that of the arena.
    """
    folders = set()
    for found in report.findings:
        if found.dump:
            one = Path(found.dump)
            with suppress(HarnessError):  # it may be gone already
                for late in one.parent.glob(f"{escape(dumps.read(one).arena)}-*.json"):
                    late.unlink(missing_ok=True)
            one.unlink(missing_ok=True)
            folders.add(one.parent)
    for folder in folders:
        with suppress(OSError):  # others' dumps are there
            folder.rmdir()
