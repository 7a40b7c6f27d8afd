from ctypes import Structure, c_uint32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RecordError
from harness.shm.layout import guarded
from harness.shm.queue import Queue, validate_queue

SLOTS = 8


class Node(Structure):
    _fields_, GUARDS, NOTES = guarded(
        ("Q", "next", c_uint32, ""), ("Q", "prev", c_uint32, ""), ("O", "other", c_uint32, "not a link")
    )
    slot: int


class Head(Structure):
    _fields_, GUARDS, NOTES = guarded(
        ("Q", "first", c_uint32, ""), ("Q", "last", c_uint32, ""), ("Q", "length", c_uint32, "")
    )


def new_queue(count_field: str | None = "length") -> Queue[Node]:
    nodes = [Node(0, 0, 77) for _ in range(SLOTS + 1)]
    for slot, node in enumerate(nodes):
        node.slot = slot
    return Queue(nodes, Head(), "first", "last", "next", "prev", count_field)


def slots(queue: Queue[Node]) -> list[int]:
    return [node.slot for node in queue]


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["append", "prepend", "remove", "pop"]), st.integers(1, SLOTS)), max_size=60
)


@given(ACTIONS, st.sampled_from(["length", None]))
def test_a_queue_behaves_like_a_list(actions, count_field):
    queue, model = new_queue(count_field), list[int]()

    for what, slot in actions:
        node = queue.views[slot]
        if what == "pop":
            popped = queue.pop_first()
            assert (popped.slot if popped else None) == (model.pop(0) if model else None)
        elif (what == "remove") != (slot in model):
            with pytest.raises(RecordError):
                getattr(queue, what)(node)
        else:
            getattr(queue, what)(node)
            model.remove(slot) if what == "remove" else model.insert(
                len(model) if what == "append" else 0, slot
            )

        assert validate_queue(queue) == slots(queue) == model
        assert len(queue) == len(model)
        assert bool(queue) == bool(model)
        assert all(not node.next and not node.prev for node in queue.views if node.slot not in model)
    assert all(node.other == 77 for node in queue.views)


def test_the_record_in_hand_may_be_removed_while_walking():
    queue = new_queue()
    for slot in (1, 2, 3, 4):
        queue.append(queue.views[slot])

    for node in queue:
        if node.slot % 2:
            queue.remove(node)

    assert validate_queue(queue) == [2, 4]


def test_a_record_alone_on_the_queue_cannot_be_put_there_again():
    queue = new_queue()
    queue.append(queue.views[5])

    with pytest.raises(RecordError, match="record 5 is on a queue already"):
        queue.append(queue.views[5])

    assert validate_queue(queue) == [5]


def test_a_record_of_another_queue_cannot_be_removed():
    one, other = new_queue(), new_queue()
    other.views = one.views
    for slot in (1, 2):
        one.append(one.views[slot])
    other.append(one.views[3])

    with pytest.raises(RecordError, match="record 1 is not on the queue"):
        other.remove(one.views[1])

    assert validate_queue(one) == [1, 2]
    assert validate_queue(other) == [3]


def damaged(change) -> Queue[Node]:
    queue = new_queue()
    for slot in (1, 2, 3):
        queue.append(queue.views[slot])
    change(queue)
    return queue


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda q: setattr(q.views[2], "next", 99), "2 leads to 99, the table ends at 8"),
        (lambda q: setattr(q.views[3], "next", 2), "3 leads to 2, which leads back to 1"),
        (lambda q: setattr(q.views[3], "next", 1), "3 leads to 1, which leads back to 0"),
        (lambda q: setattr(q.views[2], "prev", 3), "1 leads to 2, which leads back to 3"),
        (lambda q: setattr(q.head, "last", 2), "ends with 3, but 'last' says 2"),
        (lambda q: setattr(q.head, "length", 2), "has 3 records, but 'length' says 2"),
        (lambda q: setattr(q.head, "first", 3), "0 leads to 3, which leads back to 2"),
    ],
    ids=["outside", "ring", "whole ring", "back link", "last", "length", "first"],
)  # fmt: skip
def test_validate_names_the_first_wrong_link(change, said):
    with pytest.raises(RecordError, match=said):
        validate_queue(damaged(change))
