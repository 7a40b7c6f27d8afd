"""What the kernel says of a thread that goes."""

import os
import threading

from harness.watch import kernel
from tests.harness.actors import wait_until
from tests.waiting import reap


def test_a_process_that_has_ended_and_is_not_reaped_is_on_its_way_out():
    child = os.fork()
    if child == 0:
        os._exit(0)
    wait_until(lambda: kernel.state(child, child) == "Z", "the end of the child")

    assert kernel.exiting(child, child)
    reap(child)
    assert not kernel.exiting(child, child)


def test_a_thread_that_runs_is_not():
    assert not kernel.exiting(os.getpid(), threading.get_native_id())
