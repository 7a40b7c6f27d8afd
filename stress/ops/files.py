"""Steps: msync, and a file that is cut while others use it; with what the content oracle may then expect.

A cut makes the file shorter and at once as long as it was.  Pages behind the cut hold zeros then, until a
process stores to them; while the cut lasts, an access to them may be refused.  Cuts may overlap with
everything, other cuts included, so no observer can say *when* a page was cut.  What can be said is in two
counters per page of a file: ``begun`` moves before a cut, ``ended`` after it.  From them follows

* a refusal is legal only if some cut had begun by the end of the access and not ended at its beginning;
* zeros are legal only if more cuts have begun than had ended when the last stamp was seen there;
* what was seen (or stored) there is gone for good once more cuts have ended than had begun at that time.

Where files are cut, their pages are read and written by the steps of this file, never by those of
``stress.ops.core``, which know of no cuts; and not in a space that is crowded (threads).
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import Structure, c_uint64
from typing import Any
from weakref import WeakKeyDictionary

from harness.errors import BadInput
from harness.shm.arena import Arena
from harness.shm.layout import guarded
from stress.ops import core
from stress.ops.core import Actor, Process, Where, process_map
from stress.oracles.at_rest import InvariantViolated, require_done, wrong_data
from stress.oracles.contents import FILE_SPACES, NO_WRITER, SHARED_SPACES, ZERO, Mismatch, decode, space_name
from vmcore.constants import KERN_FAILURE, KERN_PROTECTION_FAILURE, KERN_SUCCESS
from vmcore.object.vnode_size import vnode_pager_cut_unused, vnode_pager_setsize
from vmcore.space.access import vm_read, vm_write
from vmcore.space.msync import vm_map_clean
from vmcore.vm_error import VmFault

Key = tuple[int, int]  # space of the file, page


class FileRow(Structure):
    """One file as it was at the beginning."""

    _fields_, GUARDS, NOTES = guarded(
        ("=", "first", c_uint64, "row of its page 0 in content_cuts"),
        ("=", "pages", c_uint64, ""),
    )


class CutRow(Structure):
    """Cuts that concern one page of a file."""

    _fields_, GUARDS, NOTES = guarded(
        ("t", "begun", c_uint64, "moves before the cut"),
        ("t", "ended", c_uint64, "moves when the file is as long as before"),
    )


def lay_down_cuts(arena: Arena, pages: Sequence[int]) -> None:
    """Make the tables, once per world, before any worker runs: how many pages each file has."""
    files: Any = arena.table("content_files", FileRow, len(pages)).views
    first = 1
    for number, count in enumerate(pages):
        files[number + 1].first, files[number + 1].pages = first, count
        first += count
    arena.table("content_cuts", CutRow, first - 1)


class Cuts:
    """The tables, and what one worker knows: cuts begun when it last saw, or stored to, a page."""

    def __init__(self, arena: Arena) -> None:
        self.files: Any = arena.table("content_files", FileRow).views
        self.rows: Any = arena.table("content_cuts", CutRow).views
        self.marks: dict[Key, int] = {}

    def pages(self, file: int) -> int:
        """How many pages the file has between cuts."""
        return int(self.files[file + 1].pages)

    def row(self, file: int, page: int) -> Any:
        """The counters of a page."""
        if not 0 <= page < self.pages(file):
            raise BadInput(f"file {file} has no page {page}: it has {self.pages(file)}")
        return self.rows[self.files[file + 1].first + page]


_known: WeakKeyDictionary[Actor, Cuts] = WeakKeyDictionary()


def cuts_of(actor: Actor) -> Cuts:
    """What this worker knows about cuts."""
    known = _known.get(actor)
    if known is None:
        known = _known[actor] = Cuts(actor.vm.arena)
    return known


def row_of(actor: Actor, where: Where) -> Any:
    """The counters of what an access shows."""
    return cuts_of(actor).row(where[0] - FILE_SPACES, where[1])


def file_page(actor: Actor, process: Process, va: int) -> Where | None:
    """The page of a file that an address shows; None: other memory, or a private copy."""
    where = core.behind(actor, process, va)
    if where is None or where[0] >= SHARED_SPACES or va // actor.page in process.journal.private:
        return None
    return where


# --- the steps


def truncate(actor: Actor, file: int, pages: int) -> None:
    """Cut the file down to its first ``pages`` pages, and extend it to what it was."""
    vm, cuts, lock = actor.vm, cuts_of(actor), actor.witness.turn_lock
    actor.native.begin("truncate", file)
    vnode, whole = vm.vnodes.views[file + 1], cuts.pages(file)
    rows = [cuts.row(file, page) for page in range(pages, whole)]
    with lock:
        for row in rows:
            row.begun += 1
    for size in (pages, whole):
        require_done("truncate", size, vnode_pager_setsize(vm, vnode, size * actor.page))
    with lock:
        for row in rows:
            row.ended += 1
    actor.native.end()


def replace(actor: Actor, file: int) -> bool:
    """Empty a file that no process has mapped, and extend it to what it was; False: it is mapped."""
    vm, cuts, lock = actor.vm, cuts_of(actor), actor.witness.turn_lock
    actor.native.begin("replace", file)
    vnode, whole = vm.vnodes.views[file + 1], cuts.pages(file)
    rows = [cuts.row(file, page) for page in range(whole)]
    with lock:
        for row in rows:
            row.begun += 1
    cut = vnode_pager_cut_unused(vm, vnode, 0) == KERN_SUCCESS
    if cut:
        require_done("replace", whole, vnode_pager_setsize(vm, vnode, whole * actor.page))
    with lock:
        for row in rows:
            if cut:
                row.ended += 1
            else:
                row.begun -= 1  # it was none
    actor.native.end()
    return cut


def sync(actor: Actor, process: Process, start: int, end: int, sync: bool, invalidate: bool) -> int:
    """Clean (msync) a range without holes; how many pages invalidation has left.

    A cut may take a page away just before it is written: then, and only then, may it fail.
    """
    vm = actor.vm
    actor.native.begin("sync", start)
    rows = shown_rows(actor, process, start, end)
    before = [row.ended for row in rows]
    code, left = vm_map_clean(vm, process_map(vm, process), start, end, sync, invalidate)
    cut = any(row.begun > ended for row, ended in zip(rows, before, strict=True))
    require_done("sync", start, KERN_SUCCESS if code == KERN_FAILURE and cut else code)
    actor.native.end()
    return left


def shown_rows(actor: Actor, process: Process, start: int, end: int) -> list[Any]:
    """The counters of every file page that a range shows; none where files are never cut."""
    if actor.vm.arena.entry("content_files") is None:
        return []
    cuts, size = cuts_of(actor), actor.page
    return [
        cuts.row(piece.file, page)
        for piece in process.picture.parts(start, end)
        if piece.file >= 0
        for page in range(piece.offset // size, (piece.offset + piece.end - piece.start) // size)
    ]


def read(actor: Actor, process: Process, va: int) -> bool:
    """Load a page of a file that may be cut, and check it; False: the access was refused, legally."""
    where = file_page(actor, process, va)
    if where is None:
        core.read(actor, process, va)
        return True
    vm, row = actor.vm, row_of(actor, where)
    actor.native.begin("read file", va)
    ended = int(row.ended)
    try:
        data = actor.witness.load_shared(where[0], where[1], lambda: vm_read(vm, process.space, va))
    except VmFault as fault:
        require_cut(fault, row, ended)
    else:
        try:
            check(actor, where, data, ended, row)
        except Mismatch as error:
            raise wrong_data(vm, process.space, va, str(error)) from None
        actor.native.end()
        return True
    actor.native.end()
    return False


def write(actor: Actor, process: Process, va: int) -> bool:
    """Store to a page of a file that may be cut; False: refused, legally, or another worker's turn."""
    where = file_page(actor, process, va)
    if where is None:
        core.write(actor, process, va)
        return True
    if core.behind(actor, process, va, True) is None:
        return write_private(actor, process, va, row_of(actor, where))
    turn = actor.witness.begin_store(where[0], where[1])
    if turn is None:
        return False
    return write_shared(actor, process, va, where, turn)


def write_private(actor: Actor, process: Process, va: int, row: Any) -> bool:
    """The first store to a private page: it copies the file's, which may be gone."""
    witness, page = actor.witness, va // actor.page
    actor.native.begin("write file page", va)
    ended = int(row.ended)
    stamp = witness.issue(process.journal.space, page)
    try:
        vm_write(actor.vm, process.space, va, stamp * witness.repeat)
    except VmFault as fault:
        require_cut(fault, row, ended)
        actor.native.end()
        return False
    process.journal.wrote(page, stamp)
    actor.native.end()
    return True


def write_shared(actor: Actor, process: Process, va: int, where: Where, turn: Any) -> bool:
    """Store to the file's own page; it is our turn."""
    space, page, _ = where
    witness, row = actor.witness, row_of(actor, where)
    actor.native.begin("write file", va)
    ended = int(row.ended)
    stamp = witness.issue(space, page)
    try:
        vm_write(actor.vm, process.space, va, stamp * witness.repeat)
    except VmFault as fault:
        require_cut(fault, row, ended)
        witness.end_store(turn)
        actor.native.end()
        return False
    witness.end_store(turn)
    witness.wrote_shared(space, page, stamp)
    no_zeros_before(actor, (space, page), ended)
    cuts_of(actor).marks[space, page] = int(row.begun)
    actor.native.end()
    return True


# --- what a page may hold


def require_cut(fault: VmFault, row: Any, ended: int) -> None:
    """A refusal needs a cut that overlapped the access."""
    if fault.code != KERN_PROTECTION_FAILURE:
        raise fault
    if row.begun <= ended:
        raise InvariantViolated([f"{fault}, and no cut overlapped: {row.begun} begun, {ended} had ended"])


def check(actor: Actor, where: Where, data: bytes, ended: int, row: Any) -> None:
    """Compare a page of a file with what cuts and stores explain.  ``ended``: before the load."""
    space, page, initial = where
    witness, cuts, key = actor.witness, cuts_of(actor), (space, page)
    begun = int(row.begun)
    if ended > cuts.marks.get(key, 0):
        invalidate_history(actor, key)
    if data == ZERO * witness.repeat:
        witness.row.reads += 1
        least = max(witness.floor.get(key, {}).get(NO_WRITER, 0), 1)
        if begun < least:
            raise Mismatch(f"page {page} of {space_name(space)}: found zeros, and no cut explains them")
        if witness.last.get(key) != ZERO:
            invalidate_history(actor, key)
            witness.last[key] = ZERO
    else:
        witness.check_shared(space, page, data, initial)
        if data[: len(ZERO)] != initial:
            no_zeros_before(actor, key, ended)
    cuts.marks[key] = begun


def invalidate_history(actor: Actor, key: Key) -> None:
    """A cut has come after what we saw there: it, and what the file held at first, cannot come back."""
    witness = actor.witness
    floor = witness.floor.setdefault(key, {})
    known = decode(witness.last.pop(key, ZERO))
    if known is not None:
        floor[known.writer] = max(floor.get(known.writer, 0), known.sequence + 1)
    floor[NO_WRITER] = max(floor.get(NO_WRITER, 0), 1)


def no_zeros_before(actor: Actor, key: Key, ended: int) -> None:
    """A stamp is there: only a cut that had not ended by then can make zeros of it."""
    floor = actor.witness.floor.setdefault(key, {})
    floor[NO_WRITER] = max(floor.get(NO_WRITER, 0), ended + 1)
