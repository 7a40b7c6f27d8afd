"""Small acts that several scenarios have in common: which process runs, what it touches, how it leaves.

An act is made of steps (``stress.ops.core``); like them it keeps the content oracle's books.
"""

from __future__ import annotations

from functools import partial

from stress.ops.address_map import Range
from stress.ops.core import Actor, Process, allocate, create_process, leave, read, write
from stress.ops.placement import if_there_is_room
from stress.scenario.process_pool import ProcessPool

PAGE = 4096
READ, WRITE = 1, 2
READ_WRITE = READ | WRITE


def pages_of(start: int, count: int, prot: int = READ_WRITE, shared: bool = False) -> Range:
    """An anonymous range of so many pages."""
    return Range(start, start + count * PAGE, prot, shared)


def file_pages(
    start: int, count: int, file: int, shared: bool = False, first: int = 0, prot: int = READ_WRITE
) -> Range:
    """A range that shows a file from its page ``first`` on."""
    return Range(start, start + count * PAGE, prot, shared, file, first * PAGE)


def somewhere(actor: Actor, person: Process, writable: bool = True) -> int | None:
    """An address of a page that may be touched; None when nothing may."""
    pieces = person.picture.touchable(writable)
    if not pieces:
        return None
    piece = actor.rng.choice(pieces)
    return piece.start + actor.rng.randrange((piece.end - piece.start) // PAGE) * PAGE


def random_accesses(actor: Actor, person: Process, stores: int = 4, loads: int = 6) -> None:
    """Up to so many stores and loads, at least one of each."""
    for _ in range(actor.rng.randrange(1, stores + 1)):
        write_somewhere(actor, person)
    for _ in range(actor.rng.randrange(1, loads + 1)):
        va = somewhere(actor, person, False)
        if va is not None:
            read(actor, person, va)


def write_somewhere(actor: Actor, person: Process) -> None:
    """One store."""
    va = somewhere(actor, person)
    if va is not None:
        write(actor, person, va)


def write_all(actor: Actor, person: Process, start: int, count: int) -> None:
    """Store to so many pages from start on."""
    for page in range(count):
        write(actor, person, start + page * PAGE)


def with_written_heap(actor: Actor, start: int, count: int) -> Process:
    """A new process with so many pages of memory, all of them written."""
    person = create_process(actor)
    allocate(actor, person, pages_of(start, count))
    write_all(actor, person, start, count)
    return person


def read_all(actor: Actor, person: Process) -> None:
    """Load every page that may be read."""
    for piece in person.picture.touchable(False):
        for va in range(piece.start, piece.end, PAGE):
            read(actor, person, va)


def return_to_pool(actor: Actor, pool: ProcessPool, person: Process) -> None:
    """Put it into the pool for another worker; when the pool is full, it exits."""
    if not pool.put(actor, person):
        leave(actor, person)


def exit_with_probability(actor: Actor, pool: ProcessPool, person: Process, dies: float) -> None:
    """Die with this probability."""
    if actor.rng.random() < dies:
        leave(actor, person)
    else:
        return_to_pool(actor, pool, person)


def processes_read_everything(actor: Actor, pool: ProcessPool) -> None:
    """Q11: every mapped page of every space in the pool."""
    people = []
    while (person := pool.take(actor)) is not None:
        people.append(person)
        read_all(actor, person)
    for person in people:
        return_to_pool(actor, pool, person)


def processes_read_what_they_can(actor: Actor, pool: ProcessPool) -> None:
    """The same where a load may be refused for want of a frame; what it returns must be right."""
    people = []
    while (person := pool.take(actor)) is not None:
        people.append(person)
        for piece in person.picture.touchable(False):
            for va in range(piece.start, piece.end, PAGE):
                if_there_is_room(actor, partial(read, actor, person, va))
    for person in people:
        return_to_pool(actor, pool, person)
