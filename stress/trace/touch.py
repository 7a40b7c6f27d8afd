"""Which pages a traced program would have touched: drawn from a seeded model, strace shows none.

The touches of an operation depend on the seed, the task, the position of the operation and the
task's own history, never on how workers interleave.  The model promises that every touched page is
mapped in the task's picture with the rights needed, inside its file's capped size (the plan maps
nothing beyond), and outside ``picture.avoid``.

Only the first HOT_PAGES of a range are ever touched: a trace reserves far more memory than any
machine has, and touching the same pages again is what finds them shared, copied or paged out.
"""

from stress.ops.address_map import AddressMap, Range
from stress.trace.ops import (
    PAGE,
    DontNeed,
    Exec,
    Exit,
    MapAnon,
    MapFile,
    Mremap,
    Op,
    OpKind,
    Protect,
    Unmap,
)

HOT_PAGES = 8
SHARED_WRITES = 4  # one write to a shared range in this many stays a write; programs mostly read them
BIRTH = -1  # the op index under which a child's first touches are drawn
MASK = (1 << 64) - 1

# How busy a task is after (Exit: before) an operation of each kind, as multiples of reads_per_op and
# writes_per_op.  Forks are followed by writes on both sides: that is what makes shadow chains.
READS = {
    OpKind.EXEC: 3.0, OpKind.FORK: 1.5, OpKind.EXIT: 3.0, OpKind.WAIT: 1.5, OpKind.UNMAP: 0.5,
    OpKind.PROTECT: 0.5, OpKind.LOCK: 0.5, OpKind.UNLOCK: 0.0, OpKind.MSYNC: 0.5, OpKind.AFTER: 0.0,
}  # fmt: skip
WRITES = {
    OpKind.EXEC: 3.0, OpKind.FORK: 3.0, OpKind.EXIT: 0.0, OpKind.WAIT: 1.0, OpKind.UNMAP: 0.5,
    OpKind.PROTECT: 0.5, OpKind.LOCK: 0.0, OpKind.UNLOCK: 0.0, OpKind.MSYNC: 0.0, OpKind.AFTER: 0.0,
}  # fmt: skip

Touch = tuple[bool, int]  # is it a write, the address of the page


def apply(picture: AddressMap, op: Op) -> None:
    """Do to the picture what op does to the address space."""
    if isinstance(op, MapAnon):
        picture.map(Range(op.addr, op.addr + op.length, op.prot, op.shared))
    elif isinstance(op, MapFile):
        picture.map(Range(op.addr, op.addr + op.length, op.prot, op.shared, op.file, op.offset))
    elif isinstance(op, Protect):
        picture.protect(op.addr, op.addr + op.length, op.prot)
    elif isinstance(op, Unmap):
        picture.unmap(op.addr, op.addr + op.length)
    elif isinstance(op, Mremap):
        picture.move(op.old, op.old_length, op.new, op.new_length)
    elif isinstance(op, Exec | Exit):
        picture.clear()
        for made in op.maps if isinstance(op, Exec) else ():
            apply(picture, made)


class TouchModel:
    """Draws touches.  Holds nothing but its parameters: one model serves every task and worker.

    With the defaults the whole ``configure`` trace touches about 200,000 pages, 7 of 10 to read.
    """

    def __init__(self, seed: int, reads_per_op: float = 3.4, writes_per_op: float = 1.3) -> None:
        """reads_per_op, writes_per_op: the mean for an ordinary operation.  Errors: ValueError below 0."""
        if reads_per_op < 0 or writes_per_op < 0:
            raise ValueError(f"touches per operation cannot be negative: {reads_per_op}, {writes_per_op}")
        self.seed = seed
        self.reads_per_op = reads_per_op
        self.writes_per_op = writes_per_op

    def at_birth(self, picture: AddressMap, task_index: int) -> list[Touch]:
        """What a forked child touches before its first operation."""
        return self._draw(picture, task_index, BIRTH, OpKind.FORK, None)

    def touches(self, picture: AddressMap, task_index: int, op_index: int, op: Op) -> list[Touch]:
        """Apply op to the picture and draw what the task touches *after* it; for Exit, *before* it."""
        if isinstance(op, Exit):
            drawn = self._draw(picture, task_index, op_index, op.kind, None)
            picture.clear()
            return drawn
        apply(picture, op)
        return self._draw(picture, task_index, op_index, op.kind, _target(op))

    def _draw(
        self, picture: AddressMap, task: int, op_index: int, kind: OpKind, target: tuple[int, int] | None
    ) -> list[Touch]:
        dice = _Dice(self.seed, task, op_index)
        drawn: list[Touch] = []
        for write, mean in (
            (True, self.writes_per_op * WRITES.get(kind, 1.0)),
            (False, self.reads_per_op * READS.get(kind, 1.0)),
        ):
            count = dice.about(mean)
            anywhere = picture.touchable(write) if count else []
            if not anywhere:
                continue
            near = _within(anywhere, target) if target else []
            for nth in range(count):
                # What was just mapped is touched first and in order, as a loader does; every other
                # touch goes anywhere, so that old pages stay in use.
                if near and nth % 2 == 0:
                    chosen = near[nth // 2 % len(near)]
                    page = nth // 2 // len(near)
                else:
                    chosen = anywhere[dice.below(len(anywhere))]
                    page = dice.below(HOT_PAGES)
                page %= min((chosen.end - chosen.start) // PAGE, HOT_PAGES)
                rare = write and chosen.shared and dice.below(SHARED_WRITES)
                drawn.append((write and not rare, chosen.start + page * PAGE))
        return drawn


def _target(op: Op) -> tuple[int, int] | None:
    """The addresses that op brings to attention."""
    if isinstance(op, Mremap):
        return op.new, op.new + op.new_length
    if isinstance(op, MapAnon | MapFile | Protect | DontNeed):
        return op.addr, op.addr + op.length
    return None


def _within(ranges: list[Range], target: tuple[int, int]) -> list[Range]:
    """The pieces of ranges inside target."""
    low, high = target
    return [
        r if low <= r.start and r.end <= high else r.part(max(r.start, low), min(r.end, high))
        for r in ranges
        if r.start < high and r.end > low
    ]


class _Dice:
    """A small generator: seeding random.Random costs more than all the draws of one operation."""

    __slots__ = ("state",)

    def __init__(self, seed: int, task: int, op_index: int) -> None:
        # splitmix64's finalizer, so that neighbouring tasks and operations have nothing in common.
        x = (seed * 0x9E3779B97F4A7C15 + task * 0xD1B54A32D192ED03 + op_index * 0x8CB92BA72F3D8DD7) & MASK
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
        self.state = x ^ (x >> 31)

    def below(self, n: int) -> int:
        """Uniform in 0..n-1; n far below 2**31.  The low bits of this generator are poor: not used."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & MASK
        return (self.state >> 33) % n

    def about(self, mean: float) -> int:
        """A whole number of touches: mean on average."""
        whole = int(mean)
        return whole + (self.below(1 << 20) < (mean - whole) * (1 << 20))
