"""What a plan is built from: lives of pids, the address spaces they use, images and files.

Only ``stress.trace.build`` uses this.  Two views of a space are kept apart: ``picture`` is what the
*plan* maps (files are capped), ``ever`` is what the *recorded program* had mapped at any time.
"""

from functools import lru_cache

from stress.ops.address_map import EXECUTE, READ, WRITE, AddressMap, Range
from stress.trace.ops import PAGE, After, Exit, MapAnon, MapFile, Op
from stress.trace.plan import FileInfo

EVERYTHING = 1 << 64
TEXT_PAGES, DATA_PAGES, STACK_PAGES = 8, 4, 16
PROGRAM = 0x400000  # where the linker puts programs that cannot be moved
STACK_END = 0x7FFFFFFFF000
STRIDE = 1 << 20  # how far to look for a free place at a time
PROGRAM_FILE = -2  # a range of the program itself, whose file is not chosen yet

Span = tuple[int, int]


@lru_cache(maxsize=64)
def protection(text: str) -> int:
    """READ | WRITE | EXECUTE of a PROT_ expression; flags that are no rights count nothing."""
    words = text.split("|")
    return READ * ("PROT_READ" in words) | WRITE * ("PROT_WRITE" in words) | EXECUTE * ("PROT_EXEC" in words)


def merged(spans: list[Span]) -> list[Span]:
    """The same addresses as sorted spans that neither overlap nor touch."""
    joined: list[Span] = []
    for low, high in sorted(spans):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return joined


class Files:
    """Mapped files by path; each is as large as the farthest page mapped, and capped."""

    def __init__(self, max_pages: int) -> None:
        if max_pages < 1:
            raise ValueError(f"max_file_pages is {max_pages}, but a file needs at least one page")
        self.cap = max_pages * PAGE
        self.indexes: dict[str, int] = {}
        self.sizes: list[int] = []

    def of(self, descriptor: str) -> int:
        """The file behind ``3</path>`` (strace -y), or behind ``3`` for want of a path."""
        _, angle, path = descriptor.partition("<")
        return self.index_of(path.rsplit(">", 1)[0] if angle else f"descriptor {descriptor}")

    def index_of(self, path: str) -> int:
        if path not in self.indexes:
            self.indexes[path] = len(self.sizes)
            self.sizes.append(0)
        return self.indexes[path]

    def fit(self, r: Range) -> Range:
        """Cut r to the cap, moving its offset down until it fits; the file grows to hold it."""
        length = min(r.end - r.start, self.cap)
        offset = min(r.offset, self.cap - length)
        self.sizes[r.file] = max(self.sizes[r.file], offset + length)
        return Range(r.start, r.start + length, r.prot, r.shared, r.file, offset)

    def infos(self) -> tuple[FileInfo, ...]:
        return tuple(FileInfo(path, self.sizes[at]) for path, at in self.indexes.items())


class Image:
    """What one execve started: shared by every forked copy that still runs it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.missing: list[Span] = []  # used, but never mapped by a line of the log
        self.claimed: list[Span] = []  # mapped by some line of the log
        self.made: tuple[MapAnon | MapFile, ...] | None = None

    def mappings(self, files: Files) -> tuple[MapAnon | MapFile, ...]:
        """What execve must have mapped: program parts by address, then the stack."""
        if self.made is None:
            clusters = merged(self.missing)
            taken = AddressMap(tuple(Range(*span, 0) for span in merged(self.claimed + clusters)))
            if not clusters:
                program = _free(taken, PROGRAM, DATA_PAGES * PAGE, STRIDE)
                clusters = [(program, program + DATA_PAGES * PAGE)]
                taken.map(Range(*clusters[0], 0))
            stack = _free(taken, STACK_END - STACK_PAGES * PAGE, STACK_PAGES * PAGE, -STRIDE)
            taken.map(Range(stack, stack + STACK_PAGES * PAGE, 0))
            maps = [m for cluster in clusters for m in self._program(cluster, taken, files)]
            maps.append(MapAnon(stack, STACK_PAGES * PAGE, READ | WRITE, False, True))
            self.made = tuple(maps)
        return self.made

    def _program(self, cluster: Span, taken: AddressMap, files: Files) -> list[MapAnon | MapFile]:
        """Text below and data over one cluster of used addresses."""
        low, high = cluster
        below = [hole for hole in taken.holes(max(low - TEXT_PAGES * PAGE, 0), low) if hole[1] == low]
        above = [hole for hole in taken.holes(high, high + DATA_PAGES * PAGE) if hole[0] == high]
        end = above[0][1] if above else high
        text = below[0][0] if below else low
        taken.map(Range(text, end, 0))
        maps: list[MapAnon | MapFile] = []
        file, offset = files.index_of(f"program {self.path or 'of a task attached late'}"), 0
        if below:
            r = files.fit(Range(text, low, READ | EXECUTE, False, file, 0))
            maps.append(MapFile(r.start, r.end - r.start, r.prot, False, True, file, r.offset))
            offset = r.end - r.start
        if end - low > files.cap:
            maps.append(MapAnon(low, end - low, READ | WRITE, False, True))
        else:
            r = files.fit(Range(low, end, READ | WRITE, False, file, offset))
            maps.append(MapFile(low, end - low, READ | WRITE, False, True, file, r.offset))
        return maps


def _free(taken: AddressMap, start: int, length: int, step: int) -> int:
    """The first address from start on, going by step, where length bytes are free."""
    while taken.parts(start, start + length):
        start += step
    return start


class Space:
    """One address space, and its users."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.picture = AddressMap()
        self.ever: list[Span] = []
        self.brk: int | None = None
        self.users: set[int] = set()
        # While several lives use it: who changed which addresses last (file = index into stamps),
        # and the list of all changes.
        self.order = AddressMap()
        self.stamps: list[tuple[Life, int]] = []
        self.changes: list[tuple[int, int, int]] = []  # life, start, end
        self.left: list[Life] = []  # the tasks that exited while others went on

    def copy(self) -> "Space":
        """What a forked child gets; it has one user, so its history of changes starts empty."""
        other = Space(self.image)
        other.picture = self.picture.copy()
        other.ever = self.ever.copy()
        other.brk = self.brk
        return other

    def claim(self, start: int, end: int) -> None:
        """A line of the log maps these addresses."""
        self.ever.append((start, end))
        self.image.claimed.append((start, end))

    def expect(self, start: int, end: int) -> None:
        """The program uses these addresses as mapped; what never was, its execve must have mapped."""
        if not self.picture.holes(start, end):
            return
        self.ever = merged(self.ever)
        known = AddressMap(tuple(Range(*span, 0) for span in self.ever))
        for low, high in known.holes(start, end):
            self.image.missing.append((low, high))
            self.ever.append((low, high))
            self.picture.map(Range(low, high, READ | WRITE, False, PROGRAM_FILE))


class Life:
    """One life of a pid, while the log is read."""

    def __init__(self, index: int, pid: int, line: int, space: Space, parent: "Life | None") -> None:
        self.index, self.pid, self.parent = index, pid, parent
        self.first_line = self.last_line = line
        self.ops: list[Op] = []
        self.images: list[tuple[int, Image]] = []  # (index of the Exec op, what it starts)
        self.over = False  # has called exit
        self.gone = False  # the log says that it ended
        # Whatever others changed behind the parent's back is stale in the picture it passes on.
        self.avoid: list[Span] = merged(parent.avoid + parent.changed_by_others()) if parent else []
        self.ordered: dict[int, int] = {}  # life -> count of its ops that we are known to come after
        self.first_image = space.image
        self.enter(space)

    def enter(self, space: Space) -> None:
        """Start using a space; ``entered`` is how many changes it has seen before."""
        self.space = space
        self.entered = len(space.changes)
        space.users.add(self.index)

    def leave(self) -> None:
        """Stop using the space; remember what others did to it meanwhile."""
        self.space.users.discard(self.index)
        self.avoid += self.changed_by_others()

    def changed_by_others(self) -> list[Span]:
        """What others did to the space since we came."""
        return [(low, high) for who, low, high in self.space.changes[self.entered :] if who != self.index]

    def avoided(self) -> tuple[Span, ...]:
        return tuple(merged(self.avoid))

    def exit(self) -> None:
        """The last op.  It changes nothing that others see, so it waits for no other task."""
        self.ops.append(Exit())
        self.over = True
        self.leave()
        if self.space.users:
            self.space.left.append(self)

    def come_after(self, other: "Life", done: int) -> None:
        """Add an After unless we are known to come after that much of the other's program."""
        if other is not self and self.ordered.get(other.index, 0) < done:
            self.ordered[other.index] = done
            self.ops.append(After(other.index, done))

    def emit(self, op: Op, start: int, end: int, alters: bool = True) -> None:
        """Add an op that uses [start, end); in a shared space also its place in the order of changes.

        A task that is alone comes after those that left, but its change need not be recorded: a task that
        joins later is forked by it, and so comes after everything that it did.
        """
        space = self.space
        for r in space.order.parts(start, end) if space.stamps else ():
            other, at = space.stamps[r.file]
            self.come_after(other, at + 1)
        for other in space.left if alters else ():
            self.come_after(other, len(other.ops))  # its last touches may be anywhere
        if len(space.users) > 1:
            # One stamp hides an older one only after an op that came after it: the order is transitive.
            space.order.map(Range(start, end, 0, True, len(space.stamps)))
            space.stamps.append((self, len(self.ops)))
            if alters:
                space.changes.append((self.index, start, end))
        self.ops.append(op)
