"""A record of a program's own: five lines, the same memory in every process."""

import ctypes
import pickle
from dataclasses import dataclass
from typing import Annotated

import pytest

from harness.errors import BadInput, StaleArena
from harness.shm import Arena
from tests.harness.actors import LIMIT_S


class Queue:
    """What two processes share."""

    space: int = 8
    load: float
    closed: bool

    def is_empty(self) -> bool:
        return self.space == 8


FIELDS = {"space": 8, "load": float, "closed": bool}


@pytest.fixture(params=[Queue, FIELDS], ids=["class", "dict"])
def fields(request):
    return request.param


def test_it_begins_as_told_and_is_the_same_memory_in_another_process(arena, actors, fields):
    queue = arena.record(fields)
    assert (queue.space, queue.load, queue.closed) == (8, 0.0, False)

    def other(me):
        queue.space -= 3
        queue.load, queue.closed = 0.5, True
        me.say("changed")

    actor = actors.actor(other, "process")
    actor.expect("changed")
    actor.end()

    assert (queue.space, queue.load, queue.closed) == (5, 0.5, True)


def test_the_same_name_gives_the_same_record_and_no_name_a_new_one(arena, fields):
    one, same, other, third = (
        arena.record(fields, "queue"),
        arena.record(fields, "queue"),
        arena.record(fields),
        arena.record(fields),
    )
    one.space = 1

    assert same is one
    assert (other.space, third.space) == (8, 8)
    assert len({one.address, other.address, third.address}) == 3


def test_a_process_that_attaches_finds_the_record_as_it_is(arena, actors, fields):
    arena.record(fields, "queue").space = 2
    path = f"/proc/self/fd/{arena.fd}"

    def other(me):
        fresh = Arena(arena.mapping, arena.fd, path)
        me.say(fresh.record(fields, "queue").space)

    actor = actors.actor(other, "process")
    actor.expect("2")
    actor.end()


def test_it_is_begun_again_when_its_maker_was_killed_before_it_had_begun(arena, actors, fields):
    def maker(me):
        queue = arena.record(fields, "queue")
        queue._ready, queue.space = 0, 3  # as it is between the two
        me.say("made")
        me.hear("never")

    actor = actors.actor(maker, "process")
    actor.expect("made")
    actor.kill()

    assert arena.record(fields, "queue").space == 8


def test_it_goes_to_other_processes_with_its_arena(arena, fields):
    queue = arena.record(fields)

    assert pickle.loads(pickle.dumps(queue)) is queue


def test_a_condition_can_be_waited_for(arena, fields):
    queue, lock, room = arena.record(fields), arena.mutex("m"), arena.channel("room")

    with lock:
        assert room.wait_for(lock, (queue, "space", ">=", 8), LIMIT_S)
        assert room.wait_for(lock, (queue, "closed", 1), 0.01) is False


def test_a_class_keeps_its_methods_and_is_what_the_record_is(arena):
    queue = arena.record(Queue)

    assert isinstance(queue, Queue)
    assert queue.is_empty()
    assert repr(queue) == "<Queue space=8, load=0.0, closed=False>"
    assert Queue.space == 8, "the class itself is as it was"


def test_dataclasses_and_types_of_ctypes_will_do(arena):
    @dataclass
    class Cell:
        word: Annotated[int, ctypes.c_uint8] = 7

    cell, row = arena.record(Cell), arena.record({"bytes": ctypes.c_uint8 * 4})
    cell.word += 250
    row.bytes[3] = 9

    assert (cell.word, list(row.bytes)) == (1, [0, 0, 0, 9])


def test_a_misspelt_field_is_an_error_and_no_private_word(arena):
    queue = arena.record(FIELDS)

    with pytest.raises(AttributeError):
        queue.spcae = 3
    with pytest.raises(AttributeError):
        queue.spcae  # noqa: B018 - the look-up is the act
    with pytest.raises(BadInput, match=r"Arena\.record"):
        type(queue)()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (3, "fields=3"),
        ({}, "it has no field"),
        ({"name": str}, "'name'"),
        ({"a b": int}, "'a b'"),
        ({"slot": int}, "'slot'"),
        ({"address": int}, "'address'"),
        ({"word": ctypes.c_char_p}, "'word'"),
        (type("Wrong", (), {"__annotations__": {"n": int}, "n": "many"}), "'n'"),
    ],
)
def test_what_cannot_be_shared_is_refused_by_name(arena, wrong, said):
    with pytest.raises(BadInput) as caught:
        arena.record(wrong)

    assert said in str(caught.value)


def test_a_name_that_is_none_and_one_of_another_shape_are_refused(arena):
    arena.record({"a": int}, "taken")

    with pytest.raises(BadInput, match="name=7"):
        arena.record({"a": int}, 7)
    with pytest.raises(StaleArena):
        arena.record({"a": float, "b": int}, "taken")
    with pytest.raises(BadInput, match="must have 1 to 47"):
        arena.record({"a": int}, "x" * 48)


def test_a_class_whose_fields_have_no_types_says_how_one_is_written(arena):
    class Cell:
        word = 0

    with pytest.raises(BadInput, match="it has no field; one is written with its type: `items: int`"):
        arena.record(Cell)
