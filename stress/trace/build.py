"""Events -> Plan: follow every address space of a trace and write down what changes it.

The model, where strace shows less than happened:

* execve maps the program without mmap lines.  Whatever a task later protects, unmaps, moves or locks
  without ever having mapped it was mapped by its last execve: such ranges become private writable
  file mappings of the Exec op ("data"), with TEXT_PAGES of code below and DATA_PAGES of data above
  as far as the program maps nothing there itself; an image of which nothing is known gets a program at
  PROGRAM.  Ranges larger than a file may be are anonymous.  A stack of STACK_PAGES is always there.
* Files are capped at max_file_pages: mappings are cut to that length and their offset moves down
  until they fit.  What is cut off is not mapped in the plan; Protect is split around such holes.
* An mremap of anything but one whole anonymous range is an Unmap and a new mapping.
* Failed calls, calls that never returned and calls after the exit did not happen.
* Tasks that share an address space get After ops wherever two of them change the same addresses:
  the recorded program ordered these by means that are not in the log.
* A task that the log does not end gets an Exit; a task whose fork is not in the log is a root.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from stress.ops.address_map import ANON, Range
from stress.trace.errors import TraceError
from stress.trace.ops import (
    PAGE,
    After,
    DontNeed,
    Exec,
    Fork,
    Lock,
    MapAnon,
    MapFile,
    Mremap,
    Msync,
    Op,
    Protect,
    Unlock,
    Unmap,
    Wait,
    page_down,
    page_up,
)
from stress.trace.parse import Event, Kind, parse_trace
from stress.trace.plan import Plan, Task
from stress.trace.traced_spaces import EVERYTHING, Files, Image, Life, Space, protection

MAX_FILE_PAGES = 64


def plan_trace(path: str | Path, max_file_pages: int = MAX_FILE_PAGES) -> Plan:
    """The validated plan of the log at path.  Errors: TraceError."""
    return build_plan(parse_trace(path), str(path), max_file_pages)


def build_plan(events: Iterable[Event], source: str = "-", max_file_pages: int = MAX_FILE_PAGES) -> Plan:
    """The validated plan of the events.  Errors: TraceError, naming the line if one is to blame."""
    builder = _Builder(source, Files(max_file_pages))
    for event in in_causal_order(list(events)):
        builder.event(event)
    plan = builder.plan()
    plan.validate()
    return plan


FORKS = frozenset(("clone", "clone3", "fork", "vfork"))


def in_causal_order(events: list[Event]) -> list[Event]:
    """Events by completion, but a fork before the first event of the child that it made.

    Completion alone would show a child running before its parent's call returned.  The start of the
    call is too early: the child's pid may still be in use by a thread that is about to exit.
    """
    split = [e for e in events if e.end_line != e.line and e.name in FORKS and e.result]
    lines: dict[int, list[tuple[int, bool]]] = {e.result: [] for e in split if e.result}
    for e in events:
        if e.pid in lines:
            lines[e.pid].append((e.line, e.kind in (Kind.EXITED, Kind.KILLED)))
    place = {}
    for e in split:
        first = None
        for line, ends in sorted(lines[e.result or 0]):
            if e.line < line < e.end_line:
                # A life that ends without a line of its own before is the previous owner's.
                first = None if ends and first is None else first or line
        place[e.line] = 2 * (first or e.end_line) - 1
    return sorted(events, key=lambda e: place.get(e.line) or 2 * e.end_line)


class _Builder:
    """The state of the traced world while its log is read."""

    def __init__(self, source: str, files: Files) -> None:
        self.source = source
        self.files = files
        self.lives: list[Life] = []
        self.by_pid: dict[int, Life] = {}  # the latest life of each pid, also when it is over
        self.handlers: dict[str, Callable[[Life, Event], None]] = {
            "mmap": self.mmap, "mmap2": self.mmap, "munmap": self.munmap, "mremap": self.mremap,
            "mprotect": self.mprotect, "pkey_mprotect": self.mprotect, "madvise": self.madvise,
            "brk": self.brk, "mlock": self.mlock, "mlock2": self.mlock, "munlock": self.mlock,
            "mlockall": self.mlock, "munlockall": self.mlock, "msync": self.msync,
            "clone": self.fork, "clone3": self.fork, "fork": self.fork, "vfork": self.fork,
            "execve": self.execve, "execveat": self.execve,
            "wait4": self.wait4, "waitpid": self.wait4, "waitid": self.waitid,
        }  # fmt: skip

    def event(self, event: Event) -> None:
        """Take one event, in causal order."""
        if event.kind == Kind.SIGNAL:
            return
        life = self.by_pid.get(event.pid)
        if life is None or (life.gone and event.kind == Kind.CALL):
            life = self.born(event.pid, event.line, Space(Image("")))
        life.last_line = max(life.last_line, event.end_line)
        if event.kind == Kind.CALL:
            self.call(life, event)
            return
        self.finish(life)
        life.gone = True
        if event.kind == Kind.SUPERSEDED and event.result in self.by_pid:
            # execve by a thread that does not lead its process: it takes over the leader's pid.
            self.by_pid[event.pid] = self.by_pid.pop(event.result)

    def call(self, life: Life, event: Event) -> None:
        if life.over:
            return
        if event.name in ("exit", "exit_group"):
            self.finish(life)
        elif event.result is not None and event.errno is None and event.result != -1:
            handler = self.handlers.get(event.name)
            if handler is not None:
                try:
                    handler(life, event)
                except (ValueError, IndexError) as error:
                    shown = f"{event.name}({', '.join(event.args)})"
                    why = f"{event.name} with arguments that cannot be understood"
                    raise TraceError(self.source, why, event.line, shown) from error

    def born(self, pid: int, line: int, space: Space, parent: Life | None = None) -> Life:
        life = Life(len(self.lives), pid, line, space, parent)
        self.lives.append(life)
        if pid in self.by_pid:
            self.finish(self.by_pid[pid])  # its end is missing: no other task can have its pid
        self.by_pid[pid] = life
        return life

    def finish(self, life: Life) -> None:
        if not life.over:
            life.exit()

    # Address space calls -------------------------------------------------------------------------

    def mmap(self, life: Life, event: Event) -> None:
        length, flags, descriptor = page_up(_int(event.args[1])), event.args[3].split("|"), event.args[4]
        shared = "MAP_SHARED" in flags or "MAP_SHARED_VALIDATE" in flags
        file, offset = ANON, 0
        if "MAP_ANONYMOUS" not in flags and "/dev/zero" not in descriptor:
            file, offset = self.files.of(descriptor), page_down(_int(event.args[5]))
        start, prot = event.result or 0, protection(event.args[2])
        new = Range(start, start + length, prot, shared, file, offset)
        self.lay(life, new, any(flag.startswith("MAP_FIXED") for flag in flags))

    def lay(self, life: Life, new: Range, fixed: bool) -> None:
        """Map new, cut to what its file may hold."""
        if new.end <= new.start:
            return
        life.space.claim(new.start, new.end)
        if new.file != ANON:
            new = self.files.fit(new)
        # The kernel never picks a mapped address; where it seems so, the map that it saw was another
        # one (a task that was attached late).  What the log says wins.
        fixed = fixed or bool(life.space.picture.parts(new.start, new.end))
        life.emit(mapping(new, fixed), new.start, new.end)
        life.space.picture.map(new)

    def munmap(self, life: Life, event: Event) -> None:
        start, end = _range(event)
        life.space.expect(start, end)
        self.unmap(life, start, end)

    def unmap(self, life: Life, start: int, end: int) -> None:
        if life.space.picture.parts(start, end):
            life.emit(Unmap(start, end - start), start, end)
            life.space.picture.unmap(start, end)

    def mprotect(self, life: Life, event: Event) -> None:
        start, end = _range(event)
        prot = protection(event.args[2])
        life.space.expect(start, end)
        for low, high in life.space.picture.runs(start, end):
            life.emit(Protect(low, high - low, prot), low, high)
        life.space.picture.protect(start, end, prot)

    def mremap(self, life: Life, event: Event) -> None:
        old, old_length, new_length = _int(event.args[0]), *map(page_up, map(_int, event.args[1:3]))
        new, flags = event.result or 0, event.args[3] if len(event.args) > 3 else ""
        life.space.expect(old, old + max(old_length, PAGE))
        pieces = life.space.picture.parts(old, old + max(old_length, PAGE))
        life.space.claim(new, new + new_length)
        whole = len(pieces) == 1 and pieces[0].file == ANON and pieces[0].end - pieces[0].start == old_length
        if whole and old_length and "DONTUNMAP" not in flags:
            life.emit(Mremap(old, old_length, new, new_length), *_hull(old, old_length, new, new_length))
            life.space.picture.move(old, old_length, new, new_length)
            return
        if "DONTUNMAP" not in flags:
            self.unmap(life, old, old + old_length)
        like = pieces[0] if pieces else Range(0, 0, 3)
        self.lay(life, like._replace(start=new, end=new + new_length), fixed=True)

    def madvise(self, life: Life, event: Event) -> None:
        if event.args[2] != "MADV_DONTNEED":
            return
        start, end = _range(event)
        life.space.expect(start, end)
        for r in life.space.picture.parts(start, end):
            if r.file == ANON and not r.shared:
                life.emit(DontNeed(r.start, r.end - r.start), r.start, r.end)

    def brk(self, life: Life, event: Event) -> None:
        asked, now = _int(event.args[0]), page_up(event.result or 0)
        old = life.space.brk
        if old is None:
            life.space.brk = now
        elif asked == event.result and now != old:
            life.space.brk = now
            if now > old:
                self.lay(life, Range(old, now, 3), fixed=True)
            else:
                self.unmap(life, now, old)

    def mlock(self, life: Life, event: Event) -> None:
        make = Unlock if event.name.startswith("munlock") else Lock
        if event.name.endswith("all"):
            life.emit(make(0, 0), 0, EVERYTHING, alters=False)
            return
        start, end = page_down(_int(event.args[0])), page_up(_int(event.args[0]) + _int(event.args[1]))
        life.space.expect(start, end)
        for low, high in life.space.picture.runs(start, end):
            life.emit(make(low, high - low), low, high, alters=False)

    def msync(self, life: Life, event: Event) -> None:
        start, end = _range(event)
        life.space.expect(start, end)
        for low, high in life.space.picture.runs(start, end):
            life.emit(Msync(low, high - low), low, high, alters=False)

    # Process calls -------------------------------------------------------------------------------

    def execve(self, life: Life, event: Event) -> None:
        path = event.args[1] if event.name == "execveat" else event.args[0]
        life.leave()
        life.enter(Space(Image(path.strip('"'))))
        life.images.append((len(life.ops), life.space.image))
        life.ops.append(Exec(()))  # its mappings are known when the whole log has been read

    def fork(self, life: Life, event: Event) -> None:
        if not event.result:
            return
        flags = " ".join(event.args)
        share = event.name == "vfork" or "CLONE_VM" in flags
        release = event.name == "vfork" or "CLONE_VFORK" in flags
        space = life.space
        child = self.born(event.result, event.line, space if share else space.copy(), life)
        fork = Fork(child.index, share, release)
        if release:  # whatever the child does in our space is over when we go on
            life.ordered[child.index] = EVERYTHING
        if share:  # changes nothing, and must not wait for the child that it starts
            life.ops.append(fork)
        else:
            life.emit(fork, 0, EVERYTHING, alters=False)

    def wait4(self, life: Life, event: Event) -> None:
        if event.result and not any(word in event.args[1] for word in ("WIFSTOPPED", "WIFCONTINUED")):
            self.wait(life, event.result)

    def waitid(self, life: Life, event: Event) -> None:
        facts = event.args[2]
        if "si_pid=" in facts and not any(word in facts for word in ("_STOPPED", "_CONTINUED", "_TRAPPED")):
            self.wait(life, int(facts.split("si_pid=")[1].split(",")[0].rstrip("}")))

    def wait(self, life: Life, pid: int) -> None:
        child = self.by_pid.get(pid)
        if child is not None and child is not life:
            life.ops.append(Wait(child.index))

    # The end ---------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Everything that was seen, numbered so that parents come before children."""
        for life in self.lives:
            self.finish(life)
            if life.parent is None and not (life.images and life.images[0][0] == 0):
                life.images.insert(0, (-1, life.first_image))
        order = sorted(self.lives, key=lambda life: (life.first_line, life.parent is not None))
        index = {life.index: at for at, life in enumerate(order)}
        tasks = []
        for at, life in enumerate(order):
            parent = index[life.parent.index] if life.parent else None
            ops = tuple(self.final(life, index))
            tasks.append(Task(at, life.pid, parent, ops, life.first_line, life.last_line, life.avoided()))
        return Plan(self.source, tuple(tasks), self.files.infos())

    def final(self, life: Life, index: dict[int, int]) -> Iterable[Op]:
        """The ops of a life with final task numbers and the mappings of its images."""
        images = dict(life.images)
        if -1 in images:
            yield Exec(images[-1].mappings(self.files), seen=False)
        for at, op in enumerate(life.ops):
            if isinstance(op, Exec):
                yield Exec(images[at].mappings(self.files))
            elif isinstance(op, Fork | Wait):
                yield op._replace(task=index[op.task])
            elif isinstance(op, After):
                other = self.lives[op.task]
                shift = int(bool(other.images) and other.images[0][0] == -1)
                yield op._replace(task=index[op.task], done=op.done + shift)
            else:
                yield op


def mapping(r: Range, fixed: bool) -> MapAnon | MapFile:
    """The op that maps r."""
    if r.file == ANON:
        return MapAnon(r.start, r.end - r.start, r.prot, r.shared, fixed)
    return MapFile(r.start, r.end - r.start, r.prot, r.shared, fixed, r.file, r.offset)


def _int(text: str) -> int:
    return 0 if text == "NULL" else int(text, 0)


def _range(event: Event) -> tuple[int, int]:
    """The pages that the first two arguments (address, length) name."""
    start = _int(event.args[0])
    return start, start + page_up(_int(event.args[1]))


def _hull(old: int, old_length: int, new: int, new_length: int) -> tuple[int, int]:
    return min(old, new), max(old + old_length, new + new_length)
