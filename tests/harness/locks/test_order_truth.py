"""Programs of known truth: what the order checker says of each, in real threads and processes.

A program is a row of threads, one after the other; what each does is a line of words:

    a       waits for lock a without a limit        a?   tries it
    a~      waits with a limit                      -a   gives it back
    r:a     reads (a read/write lock)               p:a  reads past queued writers
    w:a     writes

What is still held at the end is given back, innermost first.  ``n0`` and ``n1`` are two locks of
class n.  The expected words name the pair whose taking is reported, held > wanted.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.locks import LockClass
from tests.harness.locks import reported


@dataclass(frozen=True)
class Program:
    name: str
    threads: tuple[str, ...]
    told: tuple[str, ...] = ()  # can hang
    noted: tuple[str, ...] = ()  # could, if it were two threads
    classes: dict[str, Any] = field(default_factory=dict)
    either_side: bool = False


RANKED = {"a": {"rank": 2}, "b": {"rank": 1}}
RING = tuple(f"{x} {y}" for x, y in zip("abcdefghi", "bcdefghia", strict=True))
NEST = {"n": {"nest": True}}
P = Program
PROGRAMS = (
    # two and three locks, without a limit
    P("both orders", ("a b", "b a"), ("b>a",)),
    P("one order twice", ("a b", "a b")),
    P("a ring of three", ("a b", "b c", "c a"), ("c>a",)),
    P("a ring of four, closed in the middle", ("a b", "c d", "d a", "b c"), ("b>c",)),
    P("a ring of nine is longer than what is searched", RING),
    P("a tree, never a ring", ("a b c d", "a c", "b d", "a d")),
    P("given back in between", ("a b", "b -b a")),
    P("given back out of order", ("a b -a c -b", "c a"), (), ("c>a",)),
    P("given back out of order, three threads", ("a b -a c -b", "b c", "c a"), ("c>a",)),
    # tries and limits
    P("the second by a try", ("a b", "b a?")),
    P("the first by a try", ("a b", "b? a"), ("b>a",)),
    P("both first by a try", ("a? b", "b? a"), ("b>a",)),
    P("the second with a limit", ("a b", "b a~")),
    P("the first with a limit", ("a b", "b~ a"), ("b>a",)),
    P("with a limit first, later without", ("a b", "b a~", "b a"), ("b>a",)),
    P("a ring of three, one side with a limit", ("a b", "b c", "c a~")),
    P("an innocent pair after a try", ("a b", "b a?", "a d", "d b")),
    # gates
    P("a gate", ("g a b", "g b a")),
    P("a gate that the other side has not", ("g a b", "b a"), ("b>a",)),
    P("a gate on one taking, not on a later one", ("g a b", "g b a", "a b"), ("a>b",)),
    P("two gates that are not the same", ("g a b", "h b a"), ("b>a",)),
    P("two locks of the gate's class are no gate", ("g0 a b", "g1 b a"), ("b>a",)),
    P("a lock taken between is no gate", ("a g b", "b g a"), ("b>g", "g>a")),
    P("one of two gates is common", ("g h a b", "h b a")),
    P("a ring of three, two of it under a gate", ("g a b", "g b c", "c a")),
    P("readers of a gate do not keep each other out", ("r:g a b", "r:g b a"), ("b>a",)),
    P("a reader and a writer of a gate do", ("r:g a b", "w:g b a")),
    # one thread
    P("both orders by one thread", ("a b -b -a b a",), (), ("b>a",)),
    P("and then another takes one of them", ("a b -b -a b a", "a b"), ("a>b",), ("b>a",)),
    P("a ring of three by two threads", ("a b -b -a b c", "c a"), (), ("c>a",)),
    # one bad edge
    P("innocent pairs after a bad one", ("a b", "b a", "a d", "d b"), ("b>a",)),
    P("a second ring through the good edge", ("a b", "b a", "b d", "d a"), ("b>a", "d>a")),
    P("the bad pair again, by others", ("a b", "b a", "b a", "a b"), ("b>a",)),
    # two of a class
    P("ascending", ("n0 n1 n2 n3", "n0 n1 n2 n3")),
    P("hand over hand", ("n0 n1 -n0 n2 -n1 n3", "n0 n1 -n0 n2 -n1 n3")),
    P("hand over hand, nest", ("n0 n1 -n0 n2 -n1 n3",), (), (), NEST),
    P("two of a class both ways", ("n0 n1", "n1 n0"), ("n1>n0",)),
    P("two of a nesting class both ways", ("n0 n1", "n1 n0"), ("n1>n0",), (), NEST),
    P("two of a class both ways, others between", ("n0 n1 n2", "n3 n4", "n2 n0"), ("n2>n0",)),
    P("philosophers", ("n0 n1", "n1 n2", "n2 n3", "n3 n0"), ("n3>n0",), (), NEST),
    P("philosophers, one is left-handed", ("n0 n1", "n1 n2", "n2 n3", "n0 n3"), (), (), NEST),
    P("two of a class both ways under a gate", ("g n0 n1", "g n1 n0")),
    P("two of a class both ways, the second with a limit", ("n0 n1", "n1 n0~")),
    P("two of a class both ways by one thread", ("n0 n1 -n1 -n0 n1 n0",), (), ("n1>n0",)),
    P("two of a class are each other's gate", ("n0 n1 x", "n0 x n1")),
    P("one of two that were each other's gate, too", ("n0 x -x -n0 n1 x", "n0 x n1"), ("x>n1",)),
    P("an outer lock that both had already", ("a b c", "a c b")),
    # readers
    P("both read both ways", ("r:a r:b", "r:b r:a")),
    P("and writers of both", ("r:a r:b", "r:b r:a", "w:a", "w:b"), ("a>b",)),
    P("and a writer of one", ("r:a r:b", "r:b r:a", "w:a")),
    P("writers of both came before", ("w:a", "w:b", "r:a r:b", "r:b r:a"), ("b>a",)),
    P("and writers that only try", ("r:a r:b", "r:b r:a", "w:a?", "w:b?")),
    P("and writers with a limit", ("r:a r:b", "r:b r:a", "w:a~", "w:b~")),
    P("read past writers", ("p:a p:b", "p:b p:a", "w:a", "w:b")),
    P("one reads past writers", ("r:a p:b", "r:b r:a", "w:a", "w:b")),
    P("written both ways", ("w:a w:b", "w:b w:a"), ("b>a",)),
    P("one reads, one writes", ("r:a w:b", "r:b w:a"), ("b>a",)),
    P("read against written", ("r:a r:b", "w:b w:a"), ("b>a",)),
    P("reads first, past writers, against written", ("p:a p:b", "w:b w:a"), ("b>a",)),
    P("two of a class read both ways", ("r:n0 r:n1", "r:n1 r:n0")),
    P(
        "two of a class read both ways, and writers",
        ("r:n0 r:n1", "r:n1 r:n0", "w:n0", "w:n1"),
        ("n0>n1",),
        either_side=True,
    ),
    # declared ranks: a rule of their own, whatever else there is
    P("against rank", ("a b",), ("a>b",), (), RANKED),
    P("against rank under a gate, with a limit", ("g a b~",), ("a>b",), (), RANKED),
    P("two of a class with a rank", ("n0 n1",), ("n0>n1",), (), {"n": {"rank": 1}}),
    P("two of a class with a rank that nests", ("n0 n1", "n0 n1"), (), (), {"n": {"rank": 1, "nest": True}}),
    P("its right order after one against rank", ("a b", "b a"), ("a>b",), (), RANKED),
)  # fmt: skip


def do(locks, held, word):
    """One word of a program."""
    how, _, name = word.partition(":") if ":" in word else ("m", "", word)
    name, ending = name.strip("-?~"), name[-1] if name[-1] in "?~" else ""
    lock = locks[name]
    limit = {"timeout": 60.0} if ending == "~" else {}
    if word.startswith("-"):
        lock.release()
        held.remove(name)
        return
    tried = {"m": "try_acquire", "r": "try_read", "w": "try_write"}
    if ending == "?":
        got = getattr(lock, tried[how])()
    elif how in "rp":
        got = lock.read(pass_writers=how == "p", **limit)
    else:
        got = lock.write(**limit) if how == "w" else lock.acquire(**limit)
    assert got, f"{word}: it is not held"
    held.append(name)


def made(arena, program):
    """Every lock of a program by its short name; all of a class declared before anything runs."""
    for name, options in program.classes.items():
        LockClass(name, **options).declare(arena)
    words = " ".join(program.threads).split()
    locks = {}
    for name in sorted({word.partition(":")[2] or word for word in words}):
        name = name.strip("-?~")
        known, number = name[0], name[1:]
        if name not in locks:
            shared = any(word[2:].strip("?~") == name for word in words if ":" in word)
            locks[name] = (arena.rwlock if shared else arena.mutex)(known, int(number or 0))
    return locks


def play(arena, actors, mode, program):
    """Run it, each thread to its end; the names of locks by their offsets."""
    locks = made(arena, program)

    def body(words):
        def run(me):
            held: list[str] = []
            for word in words.split():
                do(locks, held, word)
            for name in reversed(held):
                locks[name].release()

        return run

    for words in program.threads:
        actors.actor(body(words), mode).end()
    return {lock.offset: name for name, lock in locks.items()}


def pairs(reports, names):
    return tuple(f"{names[report.held_lock]}>{names[report.wanted_lock]}" for report in reports)


@pytest.mark.parametrize("mode", ["thread", "process"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_is_told_as_its_truth_is(arena, actors, mode, program):
    names = play(arena, actors, mode, program)

    told = pairs(reported.violations(arena), names)
    if program.either_side:  # the writer closes both edges at once; which of them is named first is chance
        told = tuple(">".join(sorted(pair.split(">"))) for pair in told)
    assert told == program.told
    assert pairs(reported.notes(arena), names) == program.noted
    assert {report.kind for report in reported.reports(arena)} <= {"order", "order_note"}


def test_every_program_has_a_name_of_its_own():
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS) >= 30
