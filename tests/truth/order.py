"""Orders of locks: what can become a deadlock on another day, and what never can."""

from itertools import pairwise

from tests.truth.program import program
from tests.truth.world import World


def one_after_the_other(w: World, *bodies) -> None:
    """Each body in a process of its own, the next one after the end of the last."""
    for i, body in enumerate(bodies):
        w.go(body, name=f"p{i}")
        w.join()


@program("order_violation", names=("x", "y"), count=2, quick=True)
def both_orders_of_two_threads(w):
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def xy():
        with x, y:
            pass

    def yx():
        with y, x:
            pass

    one_after_the_other(w, xy, yx)


@program("order_violation", count=3)
def a_round_of_three_classes(w):
    x, y, z = w.a.mutex("x"), w.a.mutex("y"), w.a.mutex("z")

    def pair(first, second):
        def body():
            with first, second:
                pass

        return body

    one_after_the_other(w, pair(x, y), pair(y, z), pair(z, x))


@program("order_violation", count=2)
def both_orders_of_two_instances_that_nest(w):
    one, two = w.a.mutex("node", 1, nest=True), w.a.mutex("node", 2, nest=True)

    def up():
        with one, two:
            pass

    def down():
        with two, one:
            pass

    one_after_the_other(w, up, down)


@program(None, quick=True)
def gate_lock_over_both_orders(w):
    gate, x, y = w.a.mutex("gate"), w.a.mutex("x"), w.a.mutex("y")

    def xy():
        with gate, x, y:
            pass

    def yx():
        with gate, y, x:
            pass

    one_after_the_other(w, xy, yx)


@program(None)
def inner_wait_with_a_time_limit(w):
    """One side gives up, so the two can never wait for each other for good."""
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def xy():
        with x, y:
            pass

    def yx():
        with y:
            if x.acquire(timeout=0.2):
                x.release()

    one_after_the_other(w, xy, yx)


@program(None)
def second_lock_by_try(w):
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def xy():
        with x, y:
            pass

    def yx():
        with y:
            if x.try_acquire():
                x.release()

    one_after_the_other(w, xy, yx)


@program(None, notices=("order_violation",))
def both_orders_of_one_thread(w):
    """One thread cannot meet itself: a note, no more."""
    x, y = w.a.mutex("x"), w.a.mutex("y")

    def both():
        with x, y:
            pass
        with y, x:
            pass

    one_after_the_other(w, both)


@program(None)
def hand_over_hand(w):
    nodes = [w.a.mutex("node", i, nest=True) for i in range(6)]

    def walk():
        for _ in range(100):
            nodes[0].acquire()
            for here, there in pairwise(nodes):
                there.acquire()
                here.release()
            nodes[-1].release()

    for i in range(3):
        w.go(walk, name=f"walker{i}", op="walk")
    w.join()


@program(None)
def the_same_order_of_many(w):
    locks = [w.a.mutex(f"level{i}") for i in range(5)]

    def work():
        for _ in range(100):
            with locks[0], locks[1], locks[2], locks[3], locks[4]:
                pass

    for i in range(3):
        w.go(work, name=f"p{i}")
    w.join()


@program("order_violation", names=("x", "map"), quick=True)
def upgrade_with_a_lock_that_readers_take(w):
    """The thread that upgrades waits for the readers, and one may wait for what it took since."""
    shared, x = w.a.rwlock("map"), w.a.mutex("x")

    def upgrades():
        shared.read()
        x.acquire()
        shared.upgrade()
        x.release()
        shared.release()

    def reads():
        shared.read()
        with x:
            pass
        shared.release()

    one_after_the_other(w, upgrades, reads)


@program(None)
def upgrade_below_a_lock_and_nothing_since(w):
    """The map is read and upgraded below x, and x is never taken below the map."""
    shared, x = w.a.rwlock("map"), w.a.mutex("x")

    def upgrades():
        with x:
            shared.read()
            shared.upgrade()
            shared.release()

    def reads():
        with x:
            shared.read()
            shared.release()

    one_after_the_other(w, upgrades, reads, upgrades)
