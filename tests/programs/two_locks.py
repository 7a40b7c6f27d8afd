"""Two processes in one arena.  "hang": they wait for each other for ever; "calm": one waits, holding a lock.

Says "ready" when both hold their first lock; ends when its standard input is closed.
"""

import os
import sys

from harness.shm.arena import Arena


def main(what: str) -> None:
    """One child; both sides of the story."""
    arena = Arena.create("two_locks")
    alpha, beta = arena.mutex("alpha"), arena.mutex("beta")
    to_child, from_child = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(to_child[1])  # so that its read ends with the parent
        arena.native.sit("child")
        with beta:
            os.write(from_child[1], b"x")
            if os.read(to_child[0], 1) and what == "hang":
                alpha.acquire()
            os.read(to_child[0], 1)
        os._exit(0)
    arena.native.sit("parent")
    with alpha:
        os.read(from_child[0], 1)
        os.write(to_child[1], b"x")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if what == "hang":
            beta.acquire()
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
